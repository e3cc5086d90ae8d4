"""How a model and its batch are split over ranks."""

from dataclasses import dataclass
from typing import Literal

from megatron_bio.config.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """The layout: as many ranks as tensor_parallel x data_parallel."""

    tensor_parallel: int = 1
    """Ranks that share each layer's matrices; must divide num_attention_heads."""
    data_parallel: int | None = None
    """Ranks that compute different rows of the batch; when not given, as many as the started ranks allow."""
    sequence_parallel: bool = True
    """Split layer norms and dropout along the sequence over the tensor-parallel ranks; no effect when
    tensor_parallel is 1."""
    zero: Literal[1, 2, 3] = 1
    """What data-parallel ranks share besides optimizer state: 1 gradients reduced at the last microbatch,
    2 gradients reduce-scattered at each microbatch, 3 weights gathered at each use."""
    timeout_minutes: float = 10.0
    """A collective that waits longer than this ends the job: a rank is missing or hangs."""

    def __post_init__(self) -> None:
        """Refuse an empty layout."""
        if self.tensor_parallel < 1:
            raise ConfigurationError(
                f"parallel.tensor_parallel: expected at least 1, found {self.tensor_parallel}."
            )
        if self.data_parallel is not None and self.data_parallel < 1:
            raise ConfigurationError(
                f"parallel.data_parallel: expected at least 1, found {self.data_parallel}."
            )
        if not self.timeout_minutes > 0:
            raise ConfigurationError(
                f"parallel.timeout_minutes: expected more than 0, found {self.timeout_minutes}."
            )

    def data_parallel_size(self, ranks: int) -> int:
        """Return the data-parallel size that `ranks` started processes give, or explain why they do not fit."""
        tp = self.tensor_parallel
        if self.data_parallel is not None:
            wanted = tp * self.data_parallel
            if ranks != wanted:
                raise ConfigurationError(
                    f"The layout needs {wanted} ranks (parallel.tensor_parallel {tp} x parallel.data_parallel "
                    f"{self.data_parallel}), but {ranks} were started; start torchrun with {wanted} processes or "
                    f"change the layout."
                )
        elif ranks % tp:
            raise ConfigurationError(
                f"parallel.tensor_parallel is {tp}, which does not divide the {ranks} ranks that were started; "
                f"start torchrun with a multiple of {tp} processes or lower parallel.tensor_parallel."
            )
        return ranks // tp
