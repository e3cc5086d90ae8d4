"""Copies planted into clean documents: how many are found, and is anything else dropped?"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_bio.corpus.document import Document, read_documents
from tests.corpus.building.conftest import Corpus, Prose

REAL = Path(__file__).parents[4] / "shared" / "data" / "text" / "abstracts.jsonl.xz"
Build = Callable[..., Corpus]


class Editor:
    """Edits as people and publishers make them; words and sentences come from documents that are not in the corpus."""

    def __init__(self, strangers: Sequence[Document], seed: int) -> None:
        self.random = random.Random(seed)
        self.words = [word for document in strangers for word in document.text.split()]
        self.sentences = [s for document in strangers for s in split(document.text) if len(s.split()) > 8]

    def same(self, document: Document) -> str:
        return document.text

    def loud(self, document: Document) -> str:
        return document.text.upper().replace(",", " ;").replace(". ", " .\n")

    def few_words(self, document: Document) -> str:
        """Up to 2 % of the words, at least two."""
        words = document.text.split()
        for index in self.random.sample(range(len(words)), max(2, len(words) // 50)):
            words[index] = self.random.choice(self.words)
        return " ".join(words)

    def sentence_added(self, document: Document) -> str:
        sentences = split(document.text)
        sentences.insert(self.random.randrange(len(sentences) + 1), self.random.choice(self.sentences))
        return " ".join(sentences)

    def sentence_removed(self, document: Document) -> str:
        sentences = split(document.text)
        del sentences[self.random.randrange(len(sentences))]
        return " ".join(sentences)

    def title_moved(self, document: Document) -> str:
        return f"{document.text}\n{document.title}"

    def title_first(self, document: Document) -> str:
        return f"{document.title}. {document.text}"

    def words_and_sentence(self, document: Document) -> str:
        return self.sentence_added(replace(document, text=self.few_words(document)))

    def two_thirds(self, document: Document) -> str:
        """Two thirds of the sentences, between those of others."""
        sentences = split(document.text)
        kept = sentences[: max(1, round(len(sentences) * 2 / 3))]
        return " ".join([self.random.choice(self.sentences), *kept])


LEAST_RECALL = {
    "same": 0.99,
    "loud": 0.99,
    "few_words": 0.97,
    "sentence_added": 0.97,
    "sentence_removed": 0.97,
    "title_moved": 0.99,
    "title_first": 0.99,
    "words_and_sentence": 0.9,
    "two_thirds": 0.9,
}


def split(text: str) -> list[str]:
    return re.split(r"(?<=[.]) (?=[A-Z])", text)


def recall(build: Build, clean: list[Document], strangers: list[Document], each: int) -> dict[str, float]:
    """The part of the planted copies of each kind that was found; fails where anything else was dropped."""
    chooser = random.Random(7)
    editor = Editor(strangers, 11)
    originals = chooser.sample(
        [document for document in clean if len(split(document.text)) > 3], each * len(LEAST_RECALL)
    )
    planted, kind_of = [], {}
    for index, original in enumerate(originals):
        kind = list(LEAST_RECALL)[index % len(LEAST_RECALL)]
        planted.append(
            Document(id=f"copy:{original.id}", text=getattr(editor, kind)(original), source="planted")
        )
        kind_of[original.id] = kind
    documents = [*clean, *planted]
    chooser.shuffle(documents)
    copies = build(*documents, output="planted").copies()
    found = defaultdict(int)
    for name, (_, of) in copies.items():
        pair = {name.removeprefix("copy:"), of.removeprefix("copy:")}
        assert len(pair) == 1, f"{name} was dropped as a copy of {of}"
        found[kind_of[pair.pop()]] += 1
    return {kind: found[kind] / each for kind in LEAST_RECALL}


def test_made_up_documents(build: Build, prose: Prose) -> None:
    documents = [
        Document(id=f"x:{number}", title=prose.sentence(9), text=prose.text(prose.length()))
        for number in range(400)
    ]
    shares = recall(build, documents[:350], documents[350:], 30)
    assert {kind: share for kind, share in shares.items() if share < LEAST_RECALL[kind]} == {}


@pytest.mark.slow
def test_real_abstracts(build: Build) -> None:
    """2,000 clean abstracts, in which no two resemble each other, with 900 planted copies."""
    if not REAL.is_file():
        pytest.skip(f"the shared abstracts are not at {REAL}")
    documents = list(read_documents([REAL]))
    random.Random(5).shuffle(documents)
    clean = build(*documents[:2_000], output="clean")
    shares = recall(build, clean.documents(), documents[2_000:2_300], 100)
    print(shares, clean.copies())
    assert len(clean.copies()) <= 3, "copies among real abstracts are few, and were all read"
    assert {kind: share for kind, share in shares.items() if share < LEAST_RECALL[kind]} == {}
