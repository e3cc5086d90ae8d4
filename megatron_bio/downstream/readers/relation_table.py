"""Relations as a table with tabs, the form in which GAD and EU-ADR are passed on with BioBERT.

A line is `sentence  label` or `id  sentence  label`. The sentence has two arguments as placeholders, `@GENE$` and `@DISEASE$`,
or one for two that overlap, `@CHEMICAL-GENE$`. A first line with the names of the columns (`index sentence label`) is allowed.
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from megatron_bio.downstream.readers.relation_forms import AnonymisedPair
from megatron_bio.tokens.data_file import DataFile, shown

NO_TWO_PLACEHOLDERS = "sentence without two placeholders"
PLACEHOLDER = re.compile(r"@[A-Za-z][A-Za-z-]*\$")

_HEAD = ("sentence", "label")
_COUNTS = (2, 3)


@dataclass(frozen=True, kw_only=True)
class RelationTable:
    """One file. Sentences whose arguments cannot be told are in `left_out`."""

    pairs: tuple[AnonymisedPair, ...]
    left_out: Counter[str] = field(default_factory=Counter)

    def pairs_by_label(self) -> Counter[str]:
        """How many pairs of each label."""
        return Counter(pair.label for pair in self.pairs)


def is_relation_table_line(line: str) -> bool:
    """A sentence with a placeholder and a label, or the head."""
    columns = line.split("\t")
    return len(columns) in _COUNTS and (_is_head(columns) or PLACEHOLDER.search(columns[-2]) is not None)


def read_relation_table(file: DataFile, labels: Collection[str] | None = None) -> RelationTable:
    """Read a table; `labels` are those that may occur, without it all may.

    Raises DamagedFileError with the line for a wrong number of columns, an empty label, or one that is not among `labels`.
    """
    pairs = []
    left_out: Counter[str] = Counter()
    width = 0
    for number, line in file.filled_lines():
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) not in _COUNTS or (width and len(columns) != width):
            expected = f"{width} columns" if width else "2 or 3 columns"
            raise file.damaged(
                f"line {number}", f"{expected} with tabs (sentence, label), found {shown(line)}"
            )
        if not width:
            width = len(columns)
            if _is_head(columns):
                continue
        sentence, label = columns[-2:]
        if not label or (labels is not None and label not in labels):
            expected = f"a label of {sorted(labels)}" if labels is not None else "a label"
            raise file.damaged(f"line {number}", f"{expected} in the last column, found {shown(label)}")
        placeholders = PLACEHOLDER.findall(sentence)
        if len(placeholders) == 2 or (len(placeholders) == 1 and "-" in placeholders[0]):
            pairs.append(AnonymisedPair(text=sentence, label=label, place=number))
        else:
            left_out[NO_TWO_PLACEHOLDERS] += 1
    if not pairs:
        raise file.damaged(
            "end of the file", "sentences with two placeholders such as @GENE$ and @DISEASE$, found none"
        )
    return RelationTable(pairs=tuple(pairs), left_out=left_out)


def _is_head(columns: list[str]) -> bool:
    return tuple(column.strip().casefold() for column in columns[-2:]) == _HEAD
