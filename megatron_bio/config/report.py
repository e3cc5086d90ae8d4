"""Options of `report`, which makes tables of results."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Results in; tables as Markdown, HTML and CSV, and pictures, out."""

    results: list[Path]
    """Files results.json of evaluate and evaluate lm, or folders with such files at any depth; may be given without the flag.
    The JSON of vocabulary study, corpus stats and data check is taken as well."""
    output: Path
    """Folder for report.md, report.html, a CSV file for each table and an SVG file for each picture; those of an earlier report
    there are replaced or removed."""
    pictures: bool = True
    """Draw learning curves and scores against pretraining steps; needs matplotlib."""
