"""Labels by id as the two files that `megatron-bio score --task choice` takes."""

from collections.abc import Mapping
from pathlib import Path

from megatron_bio.downstream.whole_file import write_json


def write_labels(gold: Mapping[str, str], predictions: Mapping[str, str], folder: Path) -> None:
    """Write `gold.json` and `predictions.json`."""
    for name, labels in (("gold", gold), ("predictions", predictions)):
        write_json(folder / f"{name}.json", labels)
