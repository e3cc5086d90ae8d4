"""The documents that a vocabulary is trained on: all of them, or a sample by a hash of their ids."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from megatron_bio.config.tokens import TrainVocabularyOptions
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.inputs import expand_inputs
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.progress import read_with_progress

HASH_BYTES = 8
NO_LIMIT = 1 << (8 * HASH_BYTES)


@dataclass
class TextReader:
    """Reads title and text of each document, as often as needed, and counts what it gave the last time."""

    options: TrainVocabularyOptions
    documents: int = 0
    words: int = 0
    characters: int = 0
    documents_read: int = 0
    """Those outside the sample included."""
    _limit: int | None = None

    def texts(self, title: str) -> Iterator[str]:
        """Title and text of each document of the sample; `title` is shown while reading."""
        limit = self._find_limit()
        self.documents = self.words = self.characters = self.documents_read = 0
        for document in self._read(title):
            self.documents_read += 1
            if limit < NO_LIMIT and place_in_sample(document.id, self.options.seed) >= limit:
                continue
            text = whole_text(document)
            self.documents += 1
            self.words += len(text.split())
            self.characters += len(text)
            yield text

    def check_words(self) -> None:
        """Raise TokenizerError if the last reading gave no words."""
        if not self.words:
            raise TokenizerError(
                f"--inputs: expected words to train on, found none in {self.documents} documents of "
                f"{', '.join(self.options.inputs)}. Nothing was written."
            )

    def _read(self, title: str) -> Iterator[Document]:
        return read_with_progress(title, self.options.inputs, self.options.progress)

    def _check_readable_twice(self) -> None:
        for path in expand_inputs(self.options.inputs):
            if not path.is_file():
                raise TokenizerError(
                    f"--sample: {path} is no regular file and can be read only once, but the sample is chosen in a reading of its "
                    f"own. Save it as a file, or leave --sample out."
                )

    def _find_limit(self) -> int:
        if self._limit is None:
            options = self.options
            self._limit = NO_LIMIT
            if options.sample:
                self._check_readable_twice()
                by_characters = options.sample_unit == "characters"
                sizes = (
                    (
                        place_in_sample(document.id, options.seed),
                        len(whole_text(document)) if by_characters else 1,
                    )
                    for document in self._read("choosing the sample")
                )
                self._limit = sample_limit(sizes, options.sample)
        return self._limit


def whole_text(document: Document) -> str:
    """Title and text."""
    return f"{document.title}\n{document.text}"


def place_in_sample(identifier: str, seed: int) -> int:
    """A number from 0 to 2⁶⁴ - 1 that depends on both; the documents with the smallest make up a sample."""
    return int.from_bytes(blake2b(f"{seed}:{identifier}".encode(), digest_size=HASH_BYTES).digest())


def sample_limit(documents: Iterable[tuple[int, int]], wanted: int) -> int:
    """The place below which documents, each a pair of place and size, have `wanted` or just more together.

    Does not depend on their order. Documents with equal ids stand at one place: they are in the sample together, or not.
    Keeps about 100 bytes for each document of the sample, and none for the others.
    """
    kept: list[tuple[int, int]] = []
    total = 0
    limit = NO_LIMIT
    for place, size in documents:
        if place >= limit:
            continue
        # A heap has its smallest on top; the one to go is the largest.
        heapq.heappush(kept, (-place, -size))
        total += size
        while total + kept[0][1] >= wanted:
            largest, lost = heapq.heappop(kept)
            total += lost
            limit = -largest
    return limit
