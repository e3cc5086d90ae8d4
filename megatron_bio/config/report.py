"""Options of `report`, which makes tables of results."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Results in; tables as Markdown, HTML and CSV, and pictures, out."""

    results: list[Path]
    """Files results.json of evaluate and evaluate lm, or folders with such files at any depth; may be given without the flag."""
    output: Path
    """Folder for report.md, report.html and a CSV file for each table; files of an earlier report there are replaced."""
    pictures: bool = True
    """Draw learning curves and scores against pretraining steps into the HTML; needs matplotlib."""
