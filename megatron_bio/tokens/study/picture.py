"""A study as a picture: bars for each vocabulary, and how many pieces each chosen word has."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.study.measure import Study
from megatron_bio.tokens.study.report import BREAK_RATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2b6cb0", "#dd8452", "#3f8f5f", "#b0413e", "#7a68a6", "#8c6d31", "#4f9fa8", "#c06c9b")
GREY = "#9a9a9a"
WIDTH, PADDING_INCHES, DOTS_PER_INCH = 13.0, 0.12, 110
PANEL_INCHES, BAR_INCHES = 1.0, 0.3
LONGEST_LABEL = 32
MOST_PIECES_IN_COLOUR = 8
INK_CHANGES_AT = 5


def check_can_draw() -> None:
    """Raises TokenizerError, before anything is counted, when matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise TokenizerError(
            "--picture: expected matplotlib, found that it is not installed. Install it with pip install "
            "'megatron-bio[corpus]', or give --picture false."
        )


def as_png(study: Study) -> bytes:
    """A panel for each data set, two for free text, and one for the words; whichever there are."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = _panels(study)
    rows = max(1, -(-len(panels) // 2))
    height = rows * (PANEL_INCHES + BAR_INCHES * max(4, len(study.vocabularies)))
    layout = ConstrainedLayoutEngine(w_pad=PADDING_INCHES, h_pad=PADDING_INCHES)
    figure = Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, layout=layout)
    axes = list(figure.subplots(rows, 2, squeeze=False).flat)
    for panel, draw in zip(axes, panels, strict=False):
        draw(panel)
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _panels(study: Study) -> list[Callable[[Axes], None]]:
    names = [vocabulary.name for vocabulary in study.vocabularies]

    def bars(title: str, values: Sequence[float], written: str) -> Callable[[Axes], None]:
        return lambda panel: _bars(panel, title, names, values, written)

    panels = [
        bars(f"{dataset.name}: {BREAK_RATE}", [cut.tokens_per_word for cut in cuts], "{:.3f}")
        for dataset, cuts in zip(study.entities, study.entity_cuts, strict=True)
    ]
    if study.text_cuts:
        rates = [cut.tokens_per_word for cut in study.text_cuts]
        unknown = [1e6 * cut.unknown_tokens / max(1, cut.tokens) for cut in study.text_cuts]
        panels.append(bars(f"tokens per word of {study.text_cuts[0].words:,} words of text", rates, "{:.3f}"))
        panels.append(bars("unknown tokens per million", unknown, "{:,.1f}"))
    if study.words:
        panels.append(lambda panel: _pieces(panel, study, names))
    return panels


def _bars(panel: Axes, title: str, names: Sequence[str], values: Sequence[float], written: str) -> None:
    """Horizontal bars, the first vocabulary on top, each with its number and in its own colour."""
    panel.set_title(_label(title, 2 * LONGEST_LABEL), loc="left", fontsize=11)
    places = range(len(names))
    colours = [COLOURS[number] if number < len(COLOURS) else GREY for number in places]
    panel.barh(places, values, color=colours, height=0.7)
    panel.set_yticks(places, [_label(name) for name in names])
    panel.set_ylim(max(len(names), 4) - 0.4, -0.6)
    most = max(values) or 1
    for place, value in enumerate(values):
        panel.text(value + most * 0.015, place, written.format(value), va="center", fontsize=9)
    panel.set_xlim(0, most * 1.2)
    panel.xaxis.set_visible(False)
    for side, spine in panel.spines.items():
        spine.set_visible(side == "left")
    panel.tick_params(labelsize=9)


def _pieces(panel: Axes, study: Study, names: Sequence[str]) -> None:
    """A table of words and vocabularies; the darker, the more pieces."""
    panel.set_title("pieces of chosen words", loc="left", fontsize=11)
    counts = [[len(of_word[number]) for of_word in study.pieces] for number in range(len(study.vocabularies))]
    panel.imshow(counts, cmap="Blues", vmin=0, vmax=MOST_PIECES_IN_COLOUR, aspect="auto")
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            ink = "white" if count >= INK_CHANGES_AT else "black"
            panel.text(column, row, str(count), ha="center", va="center", fontsize=9, color=ink)
    panel.set_yticks(range(len(names)), [_label(name) for name in names])
    panel.set_xticks(range(len(study.words)), [_label(word) for word in study.words], rotation=20, ha="right")
    for spine in panel.spines.values():
        spine.set_visible(False)
    panel.tick_params(labelsize=9, length=0)


def _label(name: str, longest: int = LONGEST_LABEL) -> str:
    short = name if len(name) <= longest else f"{name[: longest - 1]}…"
    return short.replace("$", r"\$")  # or it would be set as a formula
