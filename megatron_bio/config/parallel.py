"""How a model and its batch are split over ranks."""

from dataclasses import dataclass
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

Schedule = Literal["1f1b", "interleaved", "zero_bubble", "zbv"]
Recompute = Literal["none", "selective", "full"]


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """The layout: as many ranks as pipeline_parallel x data_parallel x tensor_parallel."""

    tensor_parallel: int = 1
    """Ranks that share each layer's matrices; must divide num_attention_heads."""
    sequence_parallel: bool = True
    """Split layer norms and dropout along the sequence over the tensor-parallel ranks; no effect when
    tensor_parallel is 1."""
    pipeline_parallel: int = 1
    """Ranks that hold the layers one after another."""
    pipeline_schedule: Schedule = "1f1b"
    """Order of the microbatches: 1f1b, interleaved 1f1b, zero_bubble (weight gradients fill the waiting time), zbv (the
    same with two stages per rank laid out as a V, so that the first rank holds the first and the last stage). No effect
    when pipeline_parallel is 1."""
    stages_per_rank: int | None = None
    """Stages that one rank holds; when not given 1 for 1f1b and 2 for the others, which interleave them."""
    layers_per_stage: list[int] | None = None
    """Layers of each stage, first to last; when not given as even as can be."""
    data_parallel: int | None = None
    """Ranks that compute different rows of the batch; when not given, as many as the started ranks allow."""
    data_parallel_shard: int | None = None
    """Ranks that share one copy of weights, gradients and optimizer state as `zero` says; when not given, all data-parallel
    ranks. Fewer, such as those of one node, keep that traffic inside the node (hybrid sharding)."""
    zero: Literal[0, 1, 2, 3] = 1
    """What data-parallel ranks share: 0 nothing, every rank has it all; 1 optimizer state, with gradients reduced at the
    last microbatch; 2 gradients reduce-scattered at each microbatch; 3 weights too, gathered at each use."""
    recompute: Recompute = "none"
    """What is computed again in the backward instead of kept: selective drops attention scores and the MLP's activation,
    full keeps only the input of a layer."""
    recompute_every: int = 1
    """Recompute every n-th layer only."""
    timeout_minutes: float = 10.0
    """A collective that waits longer than this ends the job: a rank is missing or hangs."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a layout, whatever the model is."""
        for name in ("tensor_parallel", "pipeline_parallel", "recompute_every"):
            _at_least_one(name, getattr(self, name))
        for name in ("data_parallel", "data_parallel_shard", "stages_per_rank"):
            if getattr(self, name) is not None:
                _at_least_one(name, getattr(self, name))
        if not self.timeout_minutes > 0:
            raise ConfigurationError(
                f"parallel.timeout_minutes: expected more than 0, found {self.timeout_minutes}."
            )
        if self.recompute == "none" and self.recompute_every != 1:
            raise ConfigurationError(
                f"parallel.recompute_every {self.recompute_every} has no meaning with parallel.recompute none; set "
                f"parallel.recompute to selective or full."
            )
        self._check_data_parallel()
        self._check_pipeline()

    def _check_data_parallel(self) -> None:
        if self.zero == 2 and self.pipeline_parallel > 1:
            raise ConfigurationError(
                "parallel.zero 2 cannot be combined with parallel.pipeline_parallel above 1: a pipeline keeps the gradients "
                "of its microbatches whole until the last one. Choose parallel.zero 1 or 3."
            )
        if self.zero == 0 and self.data_parallel_shard is not None:
            raise ConfigurationError(
                f"parallel.data_parallel_shard {self.data_parallel_shard} has no meaning with parallel.zero 0, which shares "
                f"nothing; leave it out or choose parallel.zero 1 or 3."
            )

    def _check_pipeline(self) -> None:
        schedule, stages = self.pipeline_schedule, self.stages_on_rank
        if self.pipeline_parallel == 1:
            for name, default in (("stages_per_rank", None), ("layers_per_stage", None)):
                if getattr(self, name) != default:
                    raise ConfigurationError(
                        f"parallel.{name}: expected nothing with parallel.pipeline_parallel 1, found {getattr(self, name)}."
                    )
        if self.splits_backward and self.recompute == "full":
            raise ConfigurationError(
                f"parallel.recompute full cannot be combined with parallel.pipeline_schedule {schedule}: it would compute each "
                f"layer eight times, once for every group of weights. Choose parallel.recompute selective or the schedule 1f1b "
                f"or interleaved."
            )
        if schedule == "1f1b" and stages != 1:
            raise ConfigurationError(
                f"parallel.stages_per_rank: 1f1b has 1 stage per rank, found {stages}; parallel.pipeline_schedule "
                f"interleaved takes more."
            )
        if schedule == "interleaved" and self.pipeline_parallel > 1 and stages < 2:
            raise ConfigurationError(
                f"parallel.stages_per_rank: interleaved needs at least 2, found {stages}; with 1 it is 1f1b."
            )
        if schedule == "zbv" and self.pipeline_parallel > 1 and stages != 2:
            raise ConfigurationError(f"parallel.stages_per_rank: zbv has 2 stages per rank, found {stages}.")

    @property
    def stages_on_rank(self) -> int:
        """Stages of one rank."""
        if self.pipeline_parallel == 1:
            return 1
        return self.stages_per_rank or (1 if self.pipeline_schedule == "1f1b" else 2)

    @property
    def splits_backward(self) -> bool:
        """Whether gradients of weights are computed apart from those of inputs."""
        return self.pipeline_parallel > 1 and self.pipeline_schedule in ("zero_bubble", "zbv")

    @property
    def num_stages(self) -> int:
        """Stages of the pipeline; 1 without one."""
        return self.pipeline_parallel * self.stages_on_rank

    def data_parallel_size(self, ranks: int) -> int:
        """Return the data-parallel size that `ranks` started processes give, or explain why they do not fit."""
        tp, pp = self.tensor_parallel, self.pipeline_parallel
        one = f"parallel.tensor_parallel {tp} x parallel.pipeline_parallel {pp}"
        if self.data_parallel is not None:
            wanted = tp * pp * self.data_parallel
            if ranks != wanted:
                raise ConfigurationError(
                    f"The layout needs {wanted} ranks ({one} x parallel.data_parallel {self.data_parallel}), but {ranks} were "
                    f"started; start torchrun with {wanted} processes or change the layout."
                )
        elif ranks % (tp * pp):
            raise ConfigurationError(
                f"{one} = {tp * pp} does not divide the {ranks} ranks that were started; start torchrun with a multiple of "
                f"{tp * pp} processes or lower one of the two."
            )
        return ranks // (tp * pp)

    def check_microbatches(self, count: int) -> None:
        """Refuse a number of microbatches per step that the schedule cannot deal to the pipeline's ranks."""
        pp, schedule = self.pipeline_parallel, self.pipeline_schedule
        if pp == 1:
            return
        rounds = max(1, count // pp)
        if schedule == "1f1b" and count < pp:
            problem = f"fewer than parallel.pipeline_parallel {pp}"
        elif schedule in ("interleaved", "zero_bubble") and count % rounds:
            problem = (
                f"which cannot be dealt evenly in {rounds} rounds over parallel.pipeline_parallel {pp} ranks"
            )
        else:
            return
        raise ConfigurationError(
            f"parallel.pipeline_schedule {schedule}: a step has {count} microbatches (global_batch_size / data-parallel size / "
            f"micro_batch_size), {problem}; choose sizes that give a multiple of {pp}."
        )

    def shard_size(self, data_parallel_size: int) -> int:
        """Return how many of the data-parallel ranks share one copy of the state."""
        if self.zero == 0:
            return 1
        shard = self.data_parallel_shard or data_parallel_size
        if data_parallel_size % shard:
            raise ConfigurationError(
                f"parallel.data_parallel_shard {shard} does not divide the data-parallel size {data_parallel_size}; choose a "
                f"divisor of it."
            )
        return shard


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ConfigurationError(f"parallel.{name}: expected at least 1, found {value}.")
