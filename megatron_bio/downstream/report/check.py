"""What the tables and pictures take from results.json besides the summary, checked before anything is drawn."""

from typing import Any

from megatron_bio.downstream.report.fields import DamagedFieldError, field, field_or_none, rows


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
    list(rows(task, "grid", where))
    seeds = []
    for run, place in rows(task, "runs", where):
        seeds.append(field(run, "seed", int, place))
        for point, inner in rows(run, "curve", place):
            field(point, "epoch", (int, float), inner)
            field_or_none(point, "measure", (int, float), inner)
    if len(set(seeds)) < len(seeds):
        raise DamagedFieldError(f"{where}runs: expected each seed once, found {seeds}")


def check_overlap(overlap: Any) -> None:
    """Raises DamagedFieldError unless it is None or as `evaluate --corpus` writes it."""
    if overlap is None:
        return
    for file, place in rows(overlap, "files", "overlap."):
        field(file, "task", str, place)
        field(file, "path", str, place)
        field(file, "kept_out", bool, place)
