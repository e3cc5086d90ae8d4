"""Whether the corpus that a model was pretrained on was kept free of the data that it is tested on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.tasks.form import UsedFile

MANIFEST = "manifest.json"


def overlap(corpus: Path, files: Mapping[str, Sequence[UsedFile]]) -> dict[str, Any]:
    """By task the files of development and test data: whether `corpus build` knew them, and how many documents it dropped.

    Files are told by the sha256 of their content. Raises ConfigurationError for a folder without a manifest.
    """
    manifest = corpus if corpus.is_file() else corpus / MANIFEST
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        known = {benchmark["sha256"]: benchmark for benchmark in content["benchmarks"]}
        dropped = content["dropped"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{manifest}: expected the manifest of a corpus that `corpus build` made, found: {error!r}. Give its "
            "folder to --corpus."
        ) from error
    return {
        "corpus": str(corpus),
        "made_from": content.get("made_from"),
        "dropped": {reason: amounts for reason, amounts in dropped.items() if "benchmark" in reason},
        "files": [
            {"task": task, "path": str(file.path), "sha256": file.sha256, "kept_out": file.sha256 in known}
            for task, used in files.items()
            for file in used
        ],
    }


def with_earlier(found: dict[str, Any], earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """With the files of other tasks that an earlier command compared with the same corpus."""
    if not earlier or any(earlier.get(name) != found[name] for name in ("made_from", "dropped")):
        return found
    tasks = {file["task"] for file in found["files"]}
    return {
        **found,
        "files": [*(file for file in earlier["files"] if file["task"] not in tasks), *found["files"]],
    }
