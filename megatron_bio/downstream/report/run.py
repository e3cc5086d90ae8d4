"""`megatron-bio report`: results.json → report.md, report.html, a CSV file for each table of scores."""

from collections.abc import Collection
from pathlib import Path

from megatron_bio.config.report import ReportOptions
from megatron_bio.downstream.report.methods import method_tables
from megatron_bio.downstream.report.pictures import pictures, require_matplotlib
from megatron_bio.downstream.report.read import read_inputs
from megatron_bio.downstream.report.studies import study_tables
from megatron_bio.downstream.report.tables import (
    language_modelling_table,
    score_tables,
    size_table,
    step_table,
)
from megatron_bio.downstream.report.write import Section, csv_files, markdown, page
from megatron_bio.downstream.whole_file import write_whole


def report(options: ReportOptions) -> None:
    """Write the report. The same results give the same bytes."""
    if options.pictures:
        require_matplotlib()
    results, studies = read_inputs(options.results)
    scores = list(score_tables(results))
    others = [
        table
        for table in (size_table(results), step_table(results), language_modelling_table(results))
        if table is not None
    ]
    others += study_tables(studies)
    drawn = list(pictures(results)) if options.pictures else []
    sections: list[Section] = [
        ("Scores", [*scores, *others], drawn),
        *([("How it was measured", list(method_tables(results)), [])] if results else []),
    ]
    files = {"report.md": markdown(sections), "report.html": page(sections)}
    files |= {f"picture-{number}.svg": drawing for number, (_, drawing) in enumerate(drawn, start=1)}
    tables = csv_files([*scores, *others])
    files |= tables
    _remove_earlier(options.output, files.keys())
    for name, text in files.items():
        write_whole(options.output / name, text)
    print(
        f"Wrote {options.output / 'report.html'}, report.md and {len(tables)} tables as CSV, of {len(results)} results."
    )


def _remove_earlier(output: Path, kept: Collection[str]) -> None:
    """Tables and pictures of an earlier report that this one has not, or they would pass for its own."""
    if not (output / "report.md").is_file():
        return
    for file in (*output.glob("table-*.csv"), *output.glob("picture-*.svg")):
        if file.name not in kept:
            file.unlink()
