"""The common form of named entities: sentences of words with tags, and documents with entities at character offsets."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

OUTSIDE = "O"
UNNAMED_TYPE = "entity"
"""The type of entities in files whose tags are B, I and O alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """An entity as a run of words: words `first` to `last`, both in it."""

    type: str
    first: int
    last: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """Words with one IOB2 tag each: `B-TYPE` begins an entity, `I-TYPE` goes on, `O` is none."""

    text: str
    words: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    """Per word where it begins and ends (exclusive) in `text`, in characters."""
    tags: tuple[str, ...]
    document: str
    """PMID, or the number of the document in the file."""
    place: int
    """Line of its first word; of a PubTator file where it begins in the document's text, in characters."""

    def spans(self) -> Iterator[Span]:
        """The entities, in order."""
        return spans_of(self.tags)

    def mention(self, span: Span) -> str:
        """The text of an entity."""
        return self.text[self.offsets[span.first][0] : self.offsets[span.last][1]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entity:
    """A mention at character offsets of its document's text: `text[start:end] == mention`."""

    start: int
    end: int
    mention: str
    type: str
    identifier: str
    """In the data set's terminology; empty where the file gives none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """Title and abstract, one character between them, and their entities as the file has them."""

    id: str
    title: str
    abstract: str
    entities: tuple[Entity, ...]

    @property
    def text(self) -> str:
        """What the offsets count in."""
        return f"{self.title} {self.abstract}"


@dataclass(frozen=True, kw_only=True)
class EntitySet:
    """One file of named entities. What the sentences cannot hold is in `left_out`, by reason."""

    sentences: tuple[Sentence, ...]
    documents: int
    """Of files without document marks 0."""
    offsets_verified: int
    """Entities whose mention was compared with the text at its offsets; IOB files have no offsets to compare."""
    left_out: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    """What was read otherwise than it is written."""
    lines: int = 0
    """Of an IOB file all lines, blank ones and document marks too; Table 9 of the BioMegatron paper counts them."""

    def entities_by_type(self) -> Counter[str]:
        """How many entities the sentences have."""
        return Counter(span.type for sentence in self.sentences for span in sentence.spans())


def spans_of(tags: tuple[str, ...]) -> Iterator[Span]:
    """The entities of IOB2 tags. An `I` that continues nothing begins an entity, as in the official CoNLL script."""
    first, kind = -1, ""
    for index, tag in enumerate((*tags, OUTSIDE)):
        mark, _, name = tag.partition("-")
        if kind and (mark != "I" or name != kind):
            yield Span(type=kind, first=first, last=index - 1)
            kind = ""
        if mark != OUTSIDE and not kind:
            first, kind = index, name
