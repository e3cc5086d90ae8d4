"""The common form of relations: a sentence with two arguments and a class, marked or anonymised for a classifier."""

from collections import Counter
from dataclasses import dataclass, field

FALSE = "false"
"""The class of pairs between which the data set states no evaluated relation."""
FIRST_MARKS = ("[E1]", "[/E1]")
SECOND_MARKS = ("[E2]", "[/E2]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """A mention at characters `start` to `end` (exclusive) of the sentence."""

    id: str
    type: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """A relation that the data set states, whether or not a sentence can hold it."""

    document: str
    label: str
    first: str
    second: str
    """Ids of the arguments in the document."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two mentions of a sentence."""

    document: str
    text: str
    first: Argument
    second: Argument
    label: str

    def marked(self) -> str:
        """The sentence with `[E1]` and `[/E1]` around the first argument, `[E2]` and `[/E2]` around the second.

        They may overlap or be nested; the longer one is then outside.
        """
        places = []
        for argument, other, (opening, closing) in (
            (self.first, self.second, FIRST_MARKS),
            (self.second, self.first, SECOND_MARKS),
        ):
            is_inner = (
                argument is self.second
                if _length(argument) == _length(other)
                else _length(argument) < _length(other)
            )
            # At one place ends come before beginnings, an inner end before an outer one, an outer beginning before an inner.
            places.append((argument.end, 0, not is_inner, f" {closing}"))
            places.append((argument.start, 1, is_inner, f"{opening} "))
        text = self.text
        for position, _, _, mark in sorted(places, reverse=True):
            text = text[:position] + mark + text[position:]
        return text

    def anonymised(self) -> str:
        """The sentence with `@TYPE$` instead of each argument; arguments that overlap become one `@TYPE-TYPE$`."""
        one, two = sorted((self.first, self.second), key=lambda argument: argument.start)
        if two.start < one.end:
            end = max(one.end, two.end)
            return f"{self.text[: one.start]}@{self.first.type}-{self.second.type}${self.text[end:]}"
        between = self.text[one.end : two.start]
        return f"{self.text[: one.start]}@{one.type}${between}@{two.type}${self.text[two.end :]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnonymisedPair:
    """A sentence of a table, whose arguments are replaced already."""

    text: str
    label: str
    place: int
    """Line of the file."""


@dataclass(frozen=True, kw_only=True)
class RelationSet:
    """Pairs of one part of a data set. What they cannot hold is in `left_out`, by reason."""

    pairs: tuple[Pair, ...]
    gold: tuple[Relation, ...]
    """All evaluated relations, also those that no pair holds: a scorer counts them as missed."""
    documents: int
    sentences: int
    entities_by_type: Counter[str]
    offsets_verified: int
    left_out: Counter[str] = field(default_factory=Counter)

    def pairs_by_label(self) -> Counter[str]:
        """How many pairs of each class, `false` among them."""
        return Counter(pair.label for pair in self.pairs)

    def gold_by_label(self) -> Counter[str]:
        """How many evaluated relations of each class."""
        return Counter(relation.label for relation in self.gold)


def _length(argument: Argument) -> int:
    return argument.end - argument.start
