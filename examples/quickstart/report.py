"""report.html: the loss curve, the numbers and the commands of a quickstart, in one file without scripts."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steps import Record

WIDTH, HEIGHT, MARGIN = 720, 300, 46
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse } td, th { padding: .3rem .8rem; border-bottom: 1px solid #d0d7de; text-align: left }
pre { background: #f6f8fa; padding: .8rem; overflow-x: auto; font-size: 13px } td.number { text-align: right }
svg { max-width: 100%; height: auto } h2 { margin-top: 2.2rem }
"""


def write_report(work: Path, model: str, files: Sequence[str], records: Sequence[Record]) -> Path:
    """Write the report of the run in `work` and return its path."""
    log = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    numbers = json.loads((work / "numbers.json").read_text(encoding="utf-8"))
    title = f"megatron-bio quickstart: {'BERT' if model == 'bert' else 'GPT-2'}"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>Trained on {len(files)} PubMed file(s), beginning with <code>{_text(Path(files[0]).name)}</code>.</p>",
        "<h2>Loss</h2>",
        _curve(log, model),
        "<h2>Numbers</h2>",
        _numbers(log, numbers, model),
        "<h2>What the exported model says</h2>",
        _examples(numbers["examples"]),
        "<h2>Commands</h2>",
        *(_command(number, record) for number, record in enumerate(records, 1)),
    ]
    page = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>{''.join(parts)}</html>"
    path = work / "report.html"
    temporary = path.with_suffix(".partial")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path


def _text(value: object) -> str:
    return html.escape(str(value))


def _curve(log: list[dict[str, Any]], model: str) -> str:
    """Draw training and validation loss over the steps as SVG."""
    name = "masked_lm_loss" if model == "bert" else "lm_loss"
    kinds = {
        kind: [(r["step"], r[name]) for r in log if r["kind"] == kind] for kind in ("train", "validation")
    }
    points = kinds["train"] + kinds["validation"]
    last = max(step for step, _ in points)
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    low, high = low - 0.05 * (high - low + 1e-9), high + 0.05 * (high - low + 1e-9)

    def place(step: float, loss: float) -> tuple[float, float]:
        x = MARGIN + (WIDTH - 2 * MARGIN) * step / last
        return x, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (loss - low) / (high - low)

    lines = []
    for tick in range(5):
        loss = low + (high - low) * tick / 4
        x, y = place(0, loss)
        lines.append(f'<line x1="{x}" y1="{y:.1f}" x2="{WIDTH - MARGIN}" y2="{y:.1f}" stroke="#d0d7de"/>')
        lines.append(f'<text x="{x - 6}" y="{y + 4:.1f}" text-anchor="end">{loss:.2f}</text>')
        x, y = place(last * tick / 4, low)
        lines.append(
            f'<text x="{x:.1f}" y="{y + 20:.1f}" text-anchor="middle">{round(last * tick / 4)}</text>'
        )
    for color, values in zip(("#0969da", "#cf222e"), kinds.values(), strict=True):
        path = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in values)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        lines += [
            '<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>'.format(*place(*p), color) for p in values
        ]
    legend = (
        f'<text x="{WIDTH - MARGIN}" y="20" text-anchor="end"><tspan fill="#0969da">train</tspan> '
        f'<tspan fill="#cf222e">validation</tspan></text><text x="{WIDTH / 2}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">optimizer step</text><text x="{MARGIN}" y="20">{name.replace("_", " ")}, nats</text>'
    )
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-size="12"'
    return f'<svg {size} role="img" aria-label="loss curve">{"".join(lines)}{legend}</svg>'


def _numbers(log: list[dict[str, Any]], numbers: dict[str, Any], model: str) -> str:
    train = [record for record in log if record["kind"] == "train"][-1]
    validation = [record for record in log if record["kind"] == "validation"][-1]
    what = "masked words" if model == "bert" else "next tokens"
    rows = [("steps", f"{train['step']:,}")]
    rows += [
        (f"validation {name.replace('_', ' ')}", f"{validation[name]:.4f}")
        for name in validation
        if _is_metric(name)
    ]
    rows += [
        ("real tokens per second, last steps", f"{train['tokens_per_second']:,.0f}"),
        (
            f"accuracy on {numbers['predictions']:,} {what} of held-out documents",
            f"{numbers['accuracy']:.1%}",
        ),
        (f"always saying {numbers['frequent']!r}", f"{numbers['frequent_accuracy']:.1%}"),
    ]
    cells = "".join(
        f"<tr><td>{_text(name)}</td><td class=number>{_text(value)}</td></tr>" for name, value in rows
    )
    return f"<table>{cells}</table>"


def _is_metric(name: str) -> bool:
    return name.endswith(("_loss", "_accuracy"))


def _examples(examples: list[list[str]]) -> str:
    rows = "".join(f"<tr><td>{_text(given)}</td><td>{_text(answer)}</td></tr>" for given, answer in examples)
    return f"<table><tr><th>given</th><th>answer</th></tr>{rows}</table>"


def _command(number: int, record: Record) -> str:
    return (
        f"<h3>{number}. {_text(record.title)} <small>({record.seconds:.0f} s)</small></h3>"
        f"<pre>$ {_text(record.command)}</pre><details><summary>output</summary><pre>{_text(record.output)}</pre></details>"
    )
