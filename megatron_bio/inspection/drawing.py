"""Rows for people: the samples of a row one under the other, predicted tokens marked, and coloured on a terminal.

The marks say the same without colours, so that a file or a pipe loses nothing. NO_COLOR is rich's to obey.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from megatron_bio.inspection.rows import BertRow, BertSample, GptPart, GptRow, Token

STYLES = {"mask": "bold red", "random": "bold magenta", "kept": "bold green", "special": "dim"}
LEGEND = (("mask", "‹word→[MASK]›"), ("random", "‹word→other›"), ("kept", "‹word=›"))
_INDENT = 4
_VISIBLE = MappingProxyType(
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)
"""Control characters, of which a text may have any, as signs: a terminal must not obey them."""


def draw_heading(console: Console, path: str, facts: Mapping[str, object]) -> None:
    """Say what is shown, and what the marks mean."""
    shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
    console.print(Text(f"{path}: {shown}"))
    if facts.get("architecture") == "bert":
        meaning = {
            "mask": "predicted, [MASK] stands there",
            "random": "predicted, a random token stands there",
            "kept": "predicted, the token itself stands there",
        }
        line = Text("Marks: ")
        for number, (kind, mark) in enumerate(LEGEND):
            line.append("; " if number else "").append(mark, STYLES[kind]).append(f" {meaning[kind]}")
        console.print(line)


def draw_row(console: Console, row: BertRow | GptRow) -> None:
    """Print one row."""
    step = "" if row.step is None else f" (step {row.step})"
    words = [f"{row.real_tokens} of {row.length} tokens real ({100 * row.fill:.1f} % full)"]
    if isinstance(row, BertRow):
        words += [_count(len(row.samples), "sample"), f"{row.predictions} predictions in {row.slots} slots"]
    else:
        words += [
            _count(len(row.parts), "document or part", "documents and parts"),
            _predictions(row.predictions),
        ]
    console.print()
    console.print(Text(f"row {row.global_sample}{step}: {', '.join(words)}", "bold"))
    if isinstance(row, BertRow):
        for number, sample in enumerate(row.samples, start=1):
            _draw_sample(console, number, sample)
    else:
        for part in row.parts:
            _draw_part(console, part)
    if padding := row.length - row.real_tokens:
        _print(console, 2, f"[PAD] x {padding}", STYLES["special"])


def _draw_sample(console: Console, number: int, sample: BertSample) -> None:
    first, stop = sample.columns
    document = "" if sample.document is None else f" of document {sample.document}"
    order = "no order label" if sample.order_label == "none" else f"order: {sample.order_label}"
    _print(
        console,
        2,
        f"sample {number}{document}: columns {first} to {stop - 1}, {_predictions(sample.predictions)}, {order} "
        f"(weight {sample.order_weight:g})",
    )
    _print(console, _INDENT, marked_text(sample.tokens))


def _print(console: Console, indent: int, text: Text | str, style: str = "") -> None:
    shown = Text(text, style) if isinstance(text, str) else text
    console.print(Padding(shown, (0, 0, 0, indent), expand=False))


def marked_text(tokens: list[Token]) -> Text:
    """Join the tokens to words, the predicted ones with what stands in their place."""
    text = Text()
    for token in tokens:
        if token.kind == "text":
            text.append(token.text.translate(_VISIBLE))
            continue
        space, word = (" ", token.text[1:]) if token.text.startswith(" ") else ("", token.text)
        text.append(space)
        text.append(_mark(token, word).translate(_VISIBLE), STYLES[token.kind])
    return text


def _mark(token: Token, word: str) -> str:
    if token.kind == "special":
        return word
    return f"‹{word}=›" if token.kind == "kept" else f"‹{word}→{token.shown}›"


def _draw_part(console: Console, part: GptPart) -> None:
    first, stop = part.columns
    _print(
        console,
        2,
        f"columns {first} to {stop - 1}, positions from {part.first_position}, attention from column "
        f"{part.attends_from}, {_predictions(part.predictions)}",
    )
    text = Text(part.text.translate(_VISIBLE))
    if part.ends:
        text.append("<end of document>", STYLES["special"])
    _print(console, _INDENT, text)


def _predictions(count: int) -> str:
    return _count(count, "prediction")


def _count(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
