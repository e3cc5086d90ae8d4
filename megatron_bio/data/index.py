"""The verb `index`: what pretrain computes of its token data before the first step, ahead of it."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from megatron_bio.config.index import IndexOptions
from megatron_bio.data.blend import BlendedDataset
from megatron_bio.data.build import open_training_data


def index(options: IndexOptions) -> None:
    """Build the caches that are missing and print the report; raises what `build_datasets` raises."""
    begin = time.monotonic()
    with _elapsed_time_shown():
        data = open_training_data(options.data, options.model.architecture)
    report = dict(data.report)
    if options.model.architecture == "gpt":
        report["index_cache"] = (
            "none: gpt sums up the lengths of its documents at each start, and keeps nothing"
        )
    elif options.data.index_cache == "none":
        report["index_cache"] = "none, as data.index_cache says; pretrain computes all of this again"
    rows = options.training.train_steps * options.training.global_batch_size
    if isinstance(data.train, BlendedDataset) and rows > 0:
        report["rows_of_the_run"] = rows
        report["epochs"] = {name: round(count, 3) for name, count in data.train.epochs_until(rows).items()}
    report["seconds"] = round(time.monotonic() - begin, 2)
    if options.json:
        print(json.dumps({"kind": "index"} | report, indent=1, ensure_ascii=False))
        return
    for line in _lines(report, 0):
        print(line)


def _lines(part: Mapping[str, object], depth: int) -> Iterator[str]:
    """Yield one line per name, what is nested indented under it; paths stay as they are."""
    for name, value in part.items():
        shown = name if "/" in name else name.replace("_", " ")
        if isinstance(value, Mapping):
            yield f"{'  ' * depth}{shown}:"
            yield from _lines(value, depth + 1)
        else:
            yield f"{'  ' * depth}{shown}: {f'{value:,}' if isinstance(value, int) else value}"


@contextmanager
def _elapsed_time_shown() -> Iterator[None]:
    """Count the seconds on stderr while it takes, when stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task("Cutting documents into samples, samples into rows", total=None)
        yield
