"""What a document can have in common with another, as numbers: text, record, PMID, PMCID, abstract, sentences."""

import hashlib
import re
from dataclasses import dataclass, field

import numpy as np

from megatron_bio.corpus.building.normalise import ABSTRACT_LINES
from megatron_bio.corpus.building.tables import ABSTRACT, OTHER_ID, PMCID, PMID, RECORD, TEXT, Keys
from megatron_bio.corpus.building.word_hashes import Hashes, Words
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.identifiers import pmcid_of, pmid_of

LEAST_SENTENCE_WORDS = 8
SHINGLE_WORDS = 3

_OUR_IDS = re.compile(r"(?:pubmed:\d+|pmc:PMC\d+)")


@dataclass
class KeyCollector:
    """Collects the keys of the documents of a part."""

    shingle_words: int = SHINGLE_WORDS
    keys: dict[str, list[tuple[int, int]]] = field(
        default_factory=lambda: {kind: [] for kind in (TEXT, RECORD, OTHER_ID, PMID, PMCID, ABSTRACT)}
    )
    digests_low: list[int] = field(default_factory=list)
    plain_words: list[int] = field(default_factory=list)
    sentence_keys: list[Hashes] = field(default_factory=list)
    sentence_words: list[np.ndarray[tuple[int], np.dtype[np.uint32]]] = field(default_factory=list)
    shingles: list[Hashes] = field(default_factory=list)

    def add(self, document: Document) -> None:
        """The next document."""
        number = len(self.digests_low)
        words = Words.of(document.text)
        high, low = words.digest()
        self.digests_low.append(low)
        self.plain_words.append(words.count())
        self.keys[TEXT].append((high, number))
        self.shingles.append(words.shingles(self.shingle_words))
        sentences = words.sentences(LEAST_SENTENCE_WORDS)
        self.sentence_keys.append(sentences.keys)
        self.sentence_words.append(sentences.words)
        kind = RECORD if _OUR_IDS.fullmatch(document.id) else OTHER_ID
        self.keys[kind].append((_hash(document.id), number))
        self._add_links(document, high, number)

    def tables(self) -> dict[str, Keys]:
        """The keys of each kind but sentences, in order."""
        return {
            kind: Keys.sorted([key for key, _ in pairs], [number for _, number in pairs])
            for kind, pairs in self.keys.items()
        }

    def sentences(self) -> Keys:
        """The keys of the sentences, in order."""
        numbers = np.repeat(np.arange(len(self.sentence_keys)), [len(keys) for keys in self.sentence_keys])
        keys = np.concatenate([np.empty(0, np.uint64), *self.sentence_keys])
        return Keys.sorted(keys, numbers, np.concatenate([np.empty(0, np.uint32), *self.sentence_words]))

    def _add_links(self, document: Document, text_key: int, number: int) -> None:
        """What ties an abstract to the article that it stands in."""
        if is_article(document):
            abstract = abstract_of(document)
            if abstract is None:  # it is not known to be without one
                abstract = ""
            elif not abstract:
                return
            else:
                self.keys[ABSTRACT].append((Words.of(abstract).digest()[0], number))
        else:
            self.keys[ABSTRACT].append((text_key, number))
            if not document.id.startswith("pubmed:") and document.source != "pubmed":
                return
        if pmid := pmid_of(document):
            self.keys[PMID].append((_hash(str(pmid)), number))
        if pmcid := pmcid_of(document):
            self.keys[PMCID].append((_hash(pmcid), number))


def is_article(document: Document) -> bool:
    """Whether it is a full text that may hold its abstract."""
    return ABSTRACT_LINES in document.meta or document.id.startswith("pmc:")


def abstract_of(document: Document) -> str | None:
    """The abstract in an article; "" if it has none, None if that is not known."""
    count = document.meta.get(ABSTRACT_LINES)
    if not isinstance(count, int):
        return None
    return "\n".join(document.text.split("\n")[:count])


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
