"""The counts as text for the terminal."""

from collections.abc import Mapping, Sequence

from megatron_bio.corpus.statistics.counts import NOT_STATED, OTHERS, Amount, Counts, Lengths, all_lengths
from megatron_bio.corpus.statistics.inputs import DropTable

MOST_ROWS = 25
BAR_CHARACTERS = 30
NAME_COLUMN = 30
COLUMNS = (12, 17, 18, 18, 11)
PERCENTILES = (10, 50, 90, 99)
GROUPS = (
    ("source", "by_source"),
    ("split", "by_split"),
    ("licence", "by_license"),
    ("language", "by_language"),
    ("year", "by_year"),
)


def as_text(counts: Counts, drops: Sequence[DropTable]) -> str:
    """All counts; of each group the largest `MOST_ROWS`, many years by decade."""
    lines = [_header(""), _row("all", counts.total)]
    for title, name in GROUPS:
        amounts: Mapping[str, Amount] = getattr(counts, name)
        if amounts:
            lines += ["", _header(f"by {title}"), *_group(amounts, by_name=title == "year")]
    lines += ["", *_lengths(all_lengths(counts)), ""]
    flags = ("retracted", "abstract_withdrawn", "title_only")
    lines += [
        f"{'marked as ' + flag.replace('_', ' '):<{NAME_COLUMN}}{counts.flags[flag]:>12,}" for flag in flags
    ]
    for table in drops:
        lines += ["", *_drops(table)]
    return "\n".join(lines)


def ordered(amounts: Mapping[str, Amount], by_name: bool = False) -> list[tuple[str, Amount]]:
    """The largest number of words first, or by name; what is not stated last."""

    def rank(entry: tuple[str, Amount]) -> tuple[bool, int, str]:
        name, amount = entry
        return name in (NOT_STATED, OTHERS), 0 if by_name else -amount.words, name

    return sorted(amounts.items(), key=rank)


def ordered_drops(dropped: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent reason first."""
    return sorted(dropped.items(), key=lambda entry: (-entry[1], entry[0]))


def _header(title: str) -> str:
    cells = zip(("documents", "words", "characters", "bytes", "words/doc."), COLUMNS, strict=True)
    return f"{title:<{NAME_COLUMN}}" + "".join(f"{cell:>{width}}" for cell, width in cells)


def _row(name: str, amount: Amount) -> str:
    numbers = (amount.documents, amount.words, amount.characters, amount.bytes)
    cells = zip(numbers, COLUMNS, strict=False)
    mean = amount.words / max(1, amount.documents)
    short = name if len(name) < NAME_COLUMN else f"{name[: NAME_COLUMN - 4]}..."
    return (
        f"{short:<{NAME_COLUMN}}"
        + "".join(f"{number:>{width},}" for number, width in cells)
        + f"{mean:>{COLUMNS[-1]},.1f}"
    )


def _group(amounts: Mapping[str, Amount], by_name: bool) -> list[str]:
    if by_name and len(amounts) > MOST_ROWS:
        amounts = _decades(amounts)
    rows = ordered(amounts, by_name)
    lines = [_row(f"  {name}", amount) for name, amount in rows[:MOST_ROWS]]
    rest = Amount()
    for _, amount in rows[MOST_ROWS:]:
        rest += amount
    if rest.documents:
        lines.append(_row(f"  and {len(rows) - MOST_ROWS:,} more", rest))
    return lines


def _decades(years: Mapping[str, Amount]) -> dict[str, Amount]:
    """`1990s` for 1990 to 1999; what is no year stays."""
    decades: dict[str, Amount] = {}
    for name, amount in years.items():
        decade = f"{name[:3]}0s" if name.isdecimal() and len(name) == 4 else name
        together = decades.setdefault(decade, Amount())
        together += amount
    return decades


def _lengths(lengths: Lengths) -> list[str]:
    lines = [f"{'words per document':<{NAME_COLUMN}}{'documents':>12}"]
    histogram = lengths.histogram()
    most = max(histogram.values(), default=1)
    for first, documents in histogram.items():
        last = max(first, 2 * first - 1)
        name = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        bar = "#" * -(-documents * BAR_CHARACTERS // most)
        lines.append(f"  {name:<28}{documents:>12,}  {bar}".rstrip())
    lines.append(f"  {'mean':<28}{lengths.mean:>12,.1f}")
    for percent in PERCENTILES:
        lines.append(f"  {f'{percent} % have at most':<28}{lengths.percentile(percent):>12,}")
    return lines


def _drops(table: DropTable) -> list[str]:
    lines = [f"left out, by {table.told_by}"]
    if table.read is not None:
        lines.append(f"  {'read':<44}{table.read:>16,}")
    lines += [f"  {reason[:42]:<44}{count:>16,}" for reason, count in ordered_drops(table.dropped)]
    if table.kept is not None:
        lines.append(f"  {'kept':<44}{table.kept:>16,}")
    return lines
