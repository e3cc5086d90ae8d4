"""Tables and pictures → Markdown, HTML and CSV."""

import csv
import html
import io
import re
from collections.abc import Sequence

from megatron_bio.downstream.report.tables import Table

Section = tuple[str, Sequence[Table], Sequence[tuple[str, str]]]
"""Heading, tables, pictures with their titles."""

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}"
    "td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}th{background:#f3f3f3}"
    "svg{max-width:100%;height:auto}"
)


def markdown(sections: Sequence[Section]) -> str:
    """The report as Markdown; pictures are in the HTML."""
    lines = ["# Results", ""]
    for heading, tables, _ in sections:
        lines += [f"## {heading}", ""]
        for table in tables:
            lines += [
                f"### {_markdown_cell(table.title)}",
                "",
                _markdown_row(table.columns),
                "|" + "---|" * len(table.columns),
            ]
            lines += [_markdown_row(row) for row in table.rows]
            lines += ["", *(f"{_markdown_cell(note)}  " for note in table.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def page(sections: Sequence[Section]) -> str:
    """The report as one HTML file that needs nothing else. All text is escaped; it comes from files that others made."""
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Results</title><style>{_STYLE}</style><h1>Results</h1>"
    ]
    for heading, tables, pictures in sections:
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        parts += map(_html_table, tables)
        parts += [f"<h3>{html.escape(title)}</h3>{drawing}" for title, drawing in pictures]
    return "\n".join([*parts, "</html>"]) + "\n"


def csv_text(table: Table) -> str:
    """A table as CSV, the columns' names first."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([table.columns, *table.rows])
    return file.getvalue()


def csv_name(table: Table) -> str:
    """A file name of a table's title."""
    return f"table-{re.sub(r'[^a-z0-9.]+', '-', table.title.casefold()).strip('-')}.csv"


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in table.rows
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    return f"<h3>{html.escape(table.title)}</h3><table><tr>{head}</tr>\n{rows}</table>{notes}"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_markdown_cell, cells)) + " |"


def _markdown_cell(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)
    return " ".join(escaped.split())
