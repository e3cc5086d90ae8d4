"""Options of the verb that builds the index of a run's data ahead of the run."""

from dataclasses import dataclass, field

from megatron_bio.config.data import DataConfig
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class PlannedTraining(TrainingConfig):
    """The training group of a recipe; nothing of it has to be given here, and nothing is trained."""

    output: str = ""
    """Folder of the run; not read here."""
    train_steps: int = 0
    """Optimizer steps of the run; given, the report says how often such a run reads each corpus of a blend."""

    def __post_init__(self) -> None:
        """Leave the checks to pretrain."""


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """A recipe of pretrain, or its data options alone, in; caches that pretrain reads, and a report, out."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """Of it only the architecture counts here."""
    data: DataConfig
    """Token data and how samples are made of it; as for pretrain."""
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    """Not read here, so that a recipe can be given as it stands."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Not read here."""
    training: PlannedTraining = field(default_factory=PlannedTraining)
    """Of it only train_steps and global_batch_size count here."""
    json: bool = False
    """Print JSON instead of lines."""
