"""Tables and pictures → Markdown, HTML and CSV."""

import csv
import html
import io
import re
from collections.abc import Sequence

from megatron_bio.downstream.report.table import Table

Section = tuple[str, Sequence[Table], Sequence[tuple[str, str]]]
"""Heading, tables, pictures with their titles."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LONGEST_NAME = 60
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}"
    "td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}th{background:#f3f3f3}"
    "svg{max-width:100%;height:auto}"
)


def markdown(sections: Sequence[Section]) -> str:
    """The report as Markdown; pictures are in files beside it, picture-1.svg and so on."""
    lines = ["# Results", ""]
    drawn = 0
    for heading, tables, pictures in sections:
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
        for title, _ in pictures:
            drawn += 1
            lines += [f"![{_markdown_cell(title)}](picture-{drawn}.svg)", ""]
    return "\n".join(lines).rstrip() + "\n"


def page(sections: Sequence[Section]) -> str:
    """The report as one HTML file that needs nothing else. All text is escaped; it comes from files that others made."""
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Results</title><style>{_STYLE}</style><h1>Results</h1>"
    ]
    for heading, tables, pictures in sections:
        parts.append(f"<h2>{_html(heading)}</h2>")
        parts += map(_html_table, tables)
        parts += [f"<h3>{_html(title)}</h3>{drawing}" for title, drawing in pictures]
    return "\n".join([*parts, "</html>"]) + "\n"


def csv_files(tables: Sequence[Table]) -> dict[str, str]:
    """File name, made of the title, to the table as CSV, the columns' names first. Titles that give one name are numbered."""
    files: dict[str, str] = {}
    for table in tables:
        name = re.sub(r"[^\w.]+", "-", table.title.casefold()).strip("-")[:_LONGEST_NAME]
        number, unique = 1, name
        while f"table-{unique}.csv" in files:
            number, unique = number + 1, f"{name}-{number + 1}"
        file = io.StringIO()
        rows = [table.columns, *table.rows]
        csv.writer(file, lineterminator="\n").writerows([[_csv_cell(cell) for cell in row] for row in rows])
        files[f"table-{unique}.csv"] = file.getvalue()
    return files


def _csv_cell(text: str) -> str:
    """Behind an apostrophe where a spreadsheet would take a name for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _html(text: str) -> str:
    return html.escape(_CONTROLS.sub("�", text))


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{_html(name)}</th>" for name in table.columns)
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{_html(cell).replace(' ± ', '&nbsp;±&nbsp;')}</td>" for cell in row)
        + "</tr>\n"
        for row in table.rows
    )
    notes = "".join(f"<p>{_html(note)}</p>" for note in table.notes)
    return f"<h3>{_html(table.title)}</h3><table><tr>{head}</tr>\n{rows}</table>{notes}"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_markdown_cell, cells)) + " |"


def _markdown_cell(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", _CONTROLS.sub("�", text))
    return " ".join(escaped.split())
