"""Where finished runs are kept, so that none is made twice: a folder for each, whose result.json is written last."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.tasks.form import Settings

RESULT, WEIGHTS = "result.json", "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """All that the outcome of a run depends on."""

    task: str
    settings: Settings
    seed: int
    trained_on: tuple[str, ...]
    model: str
    """Hash of weights, configuration and tokenizer."""
    data: Mapping[str, list[str]]
    """sha256 of the files of each part."""
    others: Mapping[str, object]
    """Precision, early stopping, the version of this library and the like."""

    def fingerprint(self) -> str:
        """Hexadecimal sha256."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def folder(self, output: Path) -> Path:
        """Where the run is kept: named for people, and by its fingerprint."""
        settings = self.settings
        named = (
            f"lr{settings.learning_rate:g}-epochs{settings.epochs}-batch{settings.batch_size}-seed{self.seed}"
        )
        return (
            output
            / "runs"
            / self.task.replace(":", "-").replace("/", "-")
            / f"{named}-{self.fingerprint()[:10]}"
        )


def finished(folder: Path) -> dict[str, Any] | None:
    """What a run gave; None if it was not made or not to its end. Raises ConfigurationError for a file that is none of ours."""
    file = folder / RESULT
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{file}: expected the result of a finished run as JSON, found: {error}. Remove the folder; the run is then made again."
        ) from error
    if not isinstance(content, dict) or "parts" not in content:
        raise ConfigurationError(
            f"{file}: expected the result of a run, found other JSON. Remove the folder."
        )
    return content
