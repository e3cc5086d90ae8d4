"""What the tables and pictures take from results.json besides the summary, checked before anything is drawn."""

from typing import Any

from megatron_bio.downstream.report.fields import DamagedFieldError, field, field_or_none, rows

MEASURES = (
    *("loss", "perplexity", "accuracy", "bits_per_byte"),
    *("nats_per_word", "bits_per_predicted_byte", "tokens", "documents"),
)
"""What the table of language modelling shows."""


def check_task(task: Any, where: str) -> None:
    """Raises DamagedFieldError unless protocol, data, grid and runs are as `evaluate` writes them."""
    protocol = field(task, "protocol", dict, where)
    field(protocol, "settings", dict, f"{where}protocol.")
    field(protocol, "train_on", str, f"{where}protocol.")
    field(protocol, "seeds", list, f"{where}protocol.")
    for part, place in rows(task, "data", where):
        field(part, "part", str, place)
        field(part, "examples", int, place)
        left_out = field(part, "left_out", dict, place)
        for reason in left_out:
            field(left_out, reason, int, f"{place}left_out.")
        for file, inner in rows(part, "files", place):
            field(file, "path", str, inner)
            field(file, "sha256", str, inner)
    for point, place in rows(task, "grid", where):
        field(point, "development", (int, float), place)
    _check_main(task, where)
    seeds = []
    for run, place in rows(task, "runs", where):
        seeds.append(field(run, "seed", int, place))
        for point, inner in rows(run, "curve", place):
            field(point, "epoch", (int, float), inner)
            field_or_none(point, "measure", (int, float), inner)
    if len(set(seeds)) < len(seeds):
        raise DamagedFieldError(f"{where}runs: expected each seed once, found {seeds}")


def _check_main(task: Any, where: str) -> None:
    """A part may lack the main measure, but a measure that no part has would be an empty column."""
    main = "/".join(map(str, field(task, "main_measure", list, where)))
    summary = field(task, "summary", dict, where)
    parts = [field(summary, part, dict, f"{where}summary.") for part in summary]
    if parts and not any(main in part for part in parts):
        raise DamagedFieldError(
            f"{where}main_measure: expected a measure of the summary, found {main[:60]!r}"
        )


def check_language_modelling(found: Any) -> None:
    """Raises DamagedFieldError unless it is None or as `evaluate lm` writes it; a measure that could not be made is null."""
    if found is None:
        return
    where = "language_modelling."
    field(found, "kind", str, where)
    for name in MEASURES:
        field_or_none(found, name, (int, float), where)
    for name in ("protocol", "data"):
        field_or_none(found, name, dict, where)


def check_overlap(overlap: Any) -> None:
    """Raises DamagedFieldError unless it is None or as `evaluate --corpus` writes it."""
    if overlap is None:
        return
    for file, place in rows(overlap, "files", "overlap."):
        field(file, "task", str, place)
        field(file, "path", str, place)
        field(file, "kept_out", bool, place)
