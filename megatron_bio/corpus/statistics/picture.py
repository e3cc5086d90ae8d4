"""The counts as a picture of six panels, drawn with matplotlib and without a display."""

from __future__ import annotations

import importlib.util
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.statistics.as_text import ordered, ordered_drops
from megatron_bio.corpus.statistics.comparison import in_words
from megatron_bio.corpus.statistics.counts import NOT_STATED, OTHERS, Amount, Counts, Lengths
from megatron_bio.corpus.statistics.inputs import DropTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 8
MOST_COLOURS = 5
MOST_TICKS = 10
LONGEST_LABEL = 32
COLOURS = ("#2b6cb0", "#dd8452", "#3f8f5f", "#b0413e", "#7a68a6")
GREY = "#9a9a9a"
WIDTH, HEIGHT, PADDING_INCHES, DOTS_PER_INCH = 15.0, 8.5, 0.12, 110


def check_can_draw() -> None:
    """Raises CorpusError, before anything is counted, when matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise CorpusError(
            "--picture: expected matplotlib, found that it is not installed. Install it with pip install "
            "'megatron-bio[corpus]', or give --picture false."
        )


def as_png(counts: Counts, drops: Sequence[DropTable]) -> bytes:
    """Words by source, lengths, years, licences, languages and what was left out."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=PADDING_INCHES, h_pad=PADDING_INCHES)
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS_PER_INCH, layout=layout)
    panels = figure.subplots(2, 3)
    total = counts.total
    figure.suptitle(
        f"{total.documents:,} documents, {in_words(total.words)} words, {total.bytes / 1e9:,.2f} GB of text",
        fontsize=15,
    )
    sources = [name for name, _ in ordered(counts.by_source)]
    colours = {name: COLOURS[index] for index, name in enumerate(sources[:MOST_COLOURS])}
    _bars(panels[0, 0], "words by source", _words(counts.by_source), colours)
    _lengths(panels[0, 1], counts, colours)
    _years(panels[0, 2], counts.by_year)
    _bars(panels[1, 0], "words by licence", _words(counts.by_license), {})
    _bars(panels[1, 1], "words by language", _words(counts.by_language), {})
    dropped: Counter[str] = Counter()
    for table in drops:
        dropped.update(table.dropped)
    _bars(panels[1, 2], "records left out, by reason", ordered_drops(dropped), {})
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _words(amounts: Mapping[str, Amount]) -> list[tuple[str, int]]:
    return [(name, amount.words) for name, amount in ordered(amounts)]


def _bars(panel: Axes, title: str, entries: list[tuple[str, int]], colours: Mapping[str, str]) -> None:
    """Horizontal bars, the first on top, each with its number; what does not fit is one bar at the end."""
    panel.set_title(title, loc="left", fontsize=12)
    if not entries or (len(entries) == 1 and entries[0][0] == NOT_STATED):
        _say(panel, "not stated" if entries else "nothing")
        return
    rest = entries[MOST_BARS:]
    shown = entries[:MOST_BARS]
    if rest:
        shown.append((f"{len(rest):,} more", sum(number for _, number in rest)))
    places = range(len(shown))
    panel.barh(
        places,
        [number for _, number in shown],
        color=[colours.get(name, GREY if colours or name == NOT_STATED else COLOURS[0]) for name, _ in shown],
        height=0.7,
    )
    panel.set_yticks(places, [_label(name) for name, _ in shown])
    panel.set_ylim(max(len(shown), 4) - 0.4, -0.6)
    most = max(number for _, number in shown) or 1
    for place, (_, number) in enumerate(shown):
        panel.text(number + most * 0.015, place, in_words(number), va="center", fontsize=9)
    panel.set_xlim(0, most * 1.28)
    panel.xaxis.set_visible(False)
    _plain_frame(panel, "left")


def _lengths(panel: Axes, counts: Counts, colours: Mapping[str, str]) -> None:
    """Stacked bars, one for each octave of words per document."""
    panel.set_title("words per document", loc="left", fontsize=12)
    stacks: dict[str, Counter[int]] = {name: Counter(counts.lengths[name]) for name in colours}
    others: Counter[int] = Counter()
    for name, lengths in counts.lengths.items():
        if name not in colours:
            others.update(lengths)
    if others:
        stacks[OTHERS] = others
    octaves = {name: Lengths(lengths).histogram() for name, lengths in stacks.items()}
    firsts = sorted({first for histogram in octaves.values() for first in histogram})
    below = [0] * len(firsts)
    for name, histogram in octaves.items():
        heights = [histogram.get(first, 0) for first in firsts]
        panel.bar(
            range(len(firsts)),
            heights,
            bottom=below,
            width=0.92,
            color=colours.get(name, GREY),
            label=_label(name),
        )
        below = [low + height for low, height in zip(below, heights, strict=True)]
    step = -(-len(firsts) // MOST_TICKS)
    panel.set_xticks(range(0, len(firsts), step), [_octave(first) for first in firsts[::step]])
    panel.set_xlabel("from this many words up to the next", fontsize=9)
    panel.set_ylabel("documents", fontsize=9)
    panel.yaxis.set_major_formatter(lambda value, position: _short(value))
    if len(octaves) > 1:
        panel.legend(frameon=False, fontsize=9)
    _plain_frame(panel, "left", "bottom")


def _years(panel: Axes, amounts: Mapping[str, Amount]) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_title("documents by year", loc="left", fontsize=12)
    years = {
        int(name): amount.documents for name, amount in amounts.items() if name.isdecimal() and len(name) == 4
    }
    if not years:
        _say(panel, "not stated")
        return
    panel.bar(list(years), list(years.values()), width=0.9, color=COLOURS[0])
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    panel.yaxis.set_major_formatter(lambda value, position: _short(value))
    without = sum(amount.documents for amount in amounts.values()) - sum(years.values())
    if without:
        panel.set_xlabel(f"{without:,} documents state no year", fontsize=9)
    _plain_frame(panel, "left", "bottom")


def _say(panel: Axes, words: str) -> None:
    panel.text(0.02, 0.9, words, transform=panel.transAxes, color="#777777")
    panel.set_axis_off()


def _plain_frame(panel: Axes, *kept: str) -> None:
    for side, spine in panel.spines.items():
        spine.set_visible(side in kept)
    panel.tick_params(labelsize=9)


def _label(name: str) -> str:
    short = name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"
    return short.replace("$", r"\$")  # or it would be set as a formula


def _octave(first: int) -> str:
    """A power of two: `0`, `512`, `2k` for 2,048, `1M` for 1,048,576."""
    for shift, letter in ((20, "M"), (10, "k")):
        if first >> shift:
            return f"{first >> shift}{letter}"
    return str(first)


def _short(number: float) -> str:
    """`0`, `512`, `2k`, `1.5M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"
