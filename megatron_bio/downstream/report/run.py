"""`megatron-bio report`: results.json → report.md, report.html, a CSV file for each table of scores."""

import os
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.report import ReportOptions
from megatron_bio.downstream.report.methods import method_tables
from megatron_bio.downstream.report.pictures import pictures, require_matplotlib
from megatron_bio.downstream.report.read import read_results
from megatron_bio.downstream.report.tables import language_modelling_table, score_tables, step_table
from megatron_bio.downstream.report.write import Section, csv_name, csv_text, markdown, page


def report(options: ReportOptions) -> None:
    """Write the report. The same results give the same bytes."""
    if options.pictures:
        require_matplotlib()
    results = read_results(options.results)
    scores = list(score_tables(results))
    others = [
        table for table in (step_table(results), language_modelling_table(results)) if table is not None
    ]
    drawn = list(pictures(results)) if options.pictures else []
    sections: list[Section] = [
        ("Scores", [*scores, *others], drawn),
        ("How it was measured", list(method_tables(results)), []),
    ]
    files = {"report.md": markdown(sections), "report.html": page(sections)}
    files |= {csv_name(table): csv_text(table) for table in [*scores, *others]}
    for name, text in files.items():
        _write(options.output / name, text)
    print(
        f"Wrote {options.output / 'report.html'}, report.md and {len(files) - 2} tables as CSV, of {len(results)} results."
    )


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written: {error.strerror or error}. Give another --output."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
