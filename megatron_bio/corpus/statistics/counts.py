"""The counts of some documents, and how two of them are added."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Self

from megatron_bio.corpus.document import Document

NOT_STATED = "not stated"
OTHERS = "others"
MOST_VALUES = 2_000
"""How many sources, years, licences or languages are told apart; what comes later counts as `OTHERS`."""
LONGEST_NAME = 60


@dataclass(kw_only=True)
class Amount:
    """How much text."""

    documents: int = 0
    words: int = 0
    """Runs of characters between white space."""
    characters: int = 0
    """Unicode code points."""
    bytes: int = 0
    """In UTF-8."""

    def __iadd__(self, other: Self) -> Self:
        self.documents += other.documents
        self.words += other.words
        self.characters += other.characters
        self.bytes += other.bytes
        return self


@dataclass(kw_only=True)
class Counts:
    """The texts of documents; titles that are not part of the text are not in it. Each value of a `by_` has its own amount."""

    total: Amount = field(default_factory=Amount)
    by_source: dict[str, Amount] = field(default_factory=dict)
    by_year: dict[str, Amount] = field(default_factory=dict)
    by_license: dict[str, Amount] = field(default_factory=dict)
    by_language: dict[str, Amount] = field(default_factory=dict)
    by_split: dict[str, Amount] = field(default_factory=dict)
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    """Source to words per document to number of documents."""
    flags: Counter[str] = field(default_factory=Counter)
    """How many documents are marked as retracted, as withdrawn, or as having a title alone."""

    def add_document(self, document: Document, split: str) -> None:
        """Counts one document; `split` is empty where there is none."""
        text, meta = document.text, document.meta
        words, characters = len(text.split()), len(text)
        size = characters if text.isascii() else len(text.encode())
        amount = Amount(documents=1, words=words, characters=characters, bytes=size)
        self.total += amount
        source = _named(document.source)
        _add(self.by_source, source, amount)
        _add(self.by_year, _named(meta.get("year")), amount)
        _add(self.by_license, _named(meta.get("license")), amount)
        _add(self.by_language, _named(meta.get("languages")), amount)
        if split:
            _add(self.by_split, split, amount)
        self.lengths.setdefault(source, Counter())[words] += 1
        for flag in ("retracted", "abstract_withdrawn", "title_only"):
            if meta.get(flag):
                self.flags[flag] += 1

    def add(self, other: Self) -> None:
        """Adds the counts of documents that come after these."""
        self.total += other.total
        for name in (part.name for part in fields(self) if part.name.startswith("by_")):
            amounts: dict[str, Amount] = getattr(self, name)
            for value, amount in getattr(other, name).items():
                _add(amounts, value, amount)
        for source, lengths in other.lengths.items():
            known = source if source in self.lengths or len(self.lengths) < MOST_VALUES else OTHERS
            self.lengths.setdefault(known, Counter()).update(lengths)
        self.flags.update(other.flags)


def _add(amounts: dict[str, Amount], value: str, amount: Amount) -> None:
    found = amounts.get(value)
    if found is None:
        if len(amounts) >= MOST_VALUES:
            value = OTHERS
        found = amounts.setdefault(value, Amount())
    found += amount


def _named(value: object) -> str:
    """The value as a name to count under; several languages as `eng+fre`."""
    if isinstance(value, list):
        return "+".join(sorted({_one_line(str(part)) for part in value})) or NOT_STATED
    if value is None or isinstance(value, (Mapping, bool)):
        return NOT_STATED
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _one_line(str(value)) or NOT_STATED


def _one_line(name: str) -> str:
    """The name as it can be printed anywhere."""
    printable = " ".join(name[: 2 * LONGEST_NAME].split()).encode("utf-8", errors="replace").decode()
    return printable if len(printable) <= LONGEST_NAME else f"{printable[: LONGEST_NAME - 3]}..."


@dataclass(frozen=True)
class Lengths:
    """Words per document."""

    counts: Mapping[int, int]
    """Words to number of documents."""

    @property
    def documents(self) -> int:
        """How many."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """Words of the average document."""
        return sum(words * count for words, count in self.counts.items()) / max(1, self.documents)

    def percentile(self, percent: int) -> int:
        """The least number of words that at least `percent` of the documents do not exceed."""
        wanted = -(-self.documents * percent // 100)
        seen = 0
        for words, count in sorted(self.counts.items()):
            seen += count
            if seen >= wanted:
                return words
        return 0

    def histogram(self) -> dict[int, int]:
        """Documents by octave: 0, 1, 2 to 3, 4 to 7, ...; the key is the first number of words, without gaps."""
        octaves: Counter[int] = Counter()
        for words, count in self.counts.items():
            octaves[words.bit_length()] += count
        if not octaves:
            return {}
        return {(1 << octave) >> 1: octaves[octave] for octave in range(min(octaves), max(octaves) + 1)}


def all_lengths(counts: Counts) -> Lengths:
    """Of the documents of all sources."""
    together: Counter[int] = Counter()
    for lengths in counts.lengths.values():
        together.update(lengths)
    return Lengths(together)
