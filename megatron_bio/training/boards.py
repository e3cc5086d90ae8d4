"""Where curves go besides the log file: TensorBoard, and Weights & Biases when asked."""

import importlib
import importlib.util
import uuid
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from megatron_bio.config.errors import ConfigurationError

_RUN_ID = "wandb-run-id"


class Board(Protocol):
    """Takes the values of a step."""

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Record values of `kind`, train or validation."""

    def close(self) -> None:
        """Flush and end."""


class TensorBoard:
    """Curves in OUTPUT/tensorboard; those after `step`, which a resumed run will write again, are hidden."""

    def __init__(self, output: Path, step: int) -> None:
        self._writer = SummaryWriter(output / "tensorboard", purge_step=step + 1)

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        """See `Board`."""
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """See `Board`."""
        self._writer.close()


def require_wandb(project: str | None) -> None:
    """Refuse a project without the package; every rank calls it, so that all end alike."""
    if project is not None and importlib.util.find_spec("wandb") is None:
        raise ConfigurationError(
            f"training.wandb_project {project}: the package wandb is not installed; pip install 'megatron-bio[wandb]', or "
            f"leave the option out: log.jsonl and tensorboard/ have the same values."
        )


class WeightsAndBiases:
    """One run of a project; its name is kept in OUTPUT, so that a continued run continues it."""

    def __init__(self, project: str, output: Path, config: dict[str, Any]) -> None:
        wandb = importlib.import_module("wandb")
        known = output / _RUN_ID
        if not known.exists():
            known.write_text(uuid.uuid4().hex[:16] + "\n", encoding="ascii")
        identity = known.read_text(encoding="ascii").strip()
        self._run = wandb.init(
            project=project, id=identity, resume="allow", dir=str(output), name=output.name, config=config
        )
        # Its own step only rises; a run that continues from an earlier checkpoint comes by some steps again.
        self._run.define_metric("*", step_metric="step")

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        """See `Board`."""
        self._run.log({"step": step} | {f"{kind}/{name}": value for name, value in values.items()})

    def close(self) -> None:
        """See `Board`."""
        self._run.finish()
