"""What is trained and how it is split: the two inputs of every formula of the planner.

Legend: S sequence length, s positions of a rank (S / t under sequence parallelism), R rows of a microbatch, H hidden size, F width
inside the MLP, V rows of the word table, N heads, t tensor-parallel, p pipeline-parallel, M microbatches of a step and data rank.
"""

from dataclasses import dataclass
from functools import lru_cache

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig, Schedule
from megatron_bio.config.stages import Stage, all_stages, stages_of_rank


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A step of training, however it is split."""

    model: ModelConfig
    sequence_length: int
    predictions: int
    """Positions of a row that the output layer computes: all for gpt, the masked slots for bert."""
    global_batch_size: int
    """Rows of an optimizer step."""
    precision: str
    """fp32, bf16 or fp16."""
    fused_optimizer: bool = False
    """Whether AdamW runs as one kernel, without temporary tensors."""

    @property
    def element_bytes(self) -> int:
        """Bytes of an element in the dtype of the computation."""
        return 4 if self.precision == "fp32" else 2

    @property
    def tokens(self) -> int:
        """Positions of a step, padding included."""
        return self.global_batch_size * self.sequence_length


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the work is split over ranks; `parallel.data_parallel` is given."""

    parallel: ParallelConfig
    micro_batch_size: int

    @property
    def data_parallel(self) -> int:
        """Ranks that see different rows."""
        assert self.parallel.data_parallel is not None, "the planner's layouts name their data-parallel size"
        return self.parallel.data_parallel

    @property
    def ranks(self) -> int:
        """GPUs."""
        return self.parallel.tensor_parallel * self.parallel.pipeline_parallel * self.data_parallel

    @property
    def shard(self) -> int:
        """Ranks that share one copy of the state."""
        return self.parallel.shard_size(self.data_parallel)

    @property
    def splits_sequence(self) -> bool:
        """Whether a rank holds a slice of each sequence between the blocks."""
        return self.parallel.sequence_parallel and self.parallel.tensor_parallel > 1

    def microbatches(self, workload: Workload) -> int:
        """Return M."""
        return workload.global_batch_size // (self.data_parallel * self.micro_batch_size)

    def stages(self, workload: Workload, pipeline_rank: int) -> tuple[Stage, ...]:
        """Return what one rank of the pipeline holds."""
        return self._all_stages(workload)[pipeline_rank]

    def distinct_ranks(self, workload: Workload) -> list[int]:
        """Return ranks of the pipeline of which every other one holds the same and keeps no more microbatches than one of them."""
        kinds: dict[tuple[tuple[bool, bool, int, int], ...], int] = {}
        for rank, stages in enumerate(self._all_stages(workload)):
            kind = tuple(
                (stage.first, stage.last, len(stage.layers), self.recomputed_layers(stage))
                for stage in stages
            )
            kinds.setdefault(kind, rank)  # the lower the rank, the more it keeps
        return list(kinds.values())

    def _all_stages(self, workload: Workload) -> tuple[tuple[Stage, ...], ...]:
        parallel = self.parallel
        if parallel.layers_per_stage:
            layers, ranks = workload.model.num_layers, range(parallel.pipeline_parallel)
            return tuple(stages_of_rank(layers, parallel, rank) for rank in ranks)
        return _even_stages(
            workload.model.num_layers,
            parallel.pipeline_parallel,
            parallel.pipeline_schedule,
            parallel.stages_per_rank,
        )

    def recomputed_layers(self, stage: Stage) -> int:
        """Return how many layers of a stage are computed again in the backward."""
        if self.parallel.recompute == "none":
            return 0
        return sum(layer % self.parallel.recompute_every == 0 for layer in stage.layers)

    def in_flight(self, workload: Workload, pipeline_rank: int) -> int:
        """Return the most microbatches whose activations a rank keeps at once, counted once per stage that it holds.

        1f1b: min(p - i, M) on rank i. interleaved: as many as it starts before its first backward, (v - 1) p + 2 (p - 1 - i) + 1
        with v stages per rank. zero_bubble: (v - 1) p + (p - 1 - i) + 1, and i more whose weight gradients wait. zbv: 2 p. None
        is more than v M.
        """
        parallel, count = self.parallel, self.microbatches(workload)
        size, stages = parallel.pipeline_parallel, parallel.stages_on_rank
        behind = size - 1 - pipeline_rank
        if size == 1:
            return 1
        if parallel.pipeline_schedule == "1f1b":
            return min(behind + 1, count)
        if parallel.pipeline_schedule == "zbv":
            return min(2 * size, 2 * count)
        one_round = count // max(1, count // size)
        started = (stages - 1) * one_round + behind + 1
        waiting = behind if parallel.pipeline_schedule == "interleaved" else pipeline_rank
        return min(started + waiting, stages * count)


@lru_cache(maxsize=128)
def _even_stages(
    num_layers: int, pipeline_parallel: int, schedule: Schedule, stages_per_rank: int | None
) -> tuple[tuple[Stage, ...], ...]:
    """Return the stages of every rank; many layouts differ in other things only."""
    parallel = ParallelConfig(
        pipeline_parallel=pipeline_parallel, pipeline_schedule=schedule, stages_per_rank=stages_per_rank
    )
    return tuple(stages_of_rank(num_layers, parallel, rank) for rank in range(pipeline_parallel))


def layout_problem(workload: Workload, layout: Layout) -> str | None:
    """Return why training would refuse the layout, in a few words that many layouts share; None when it would not.

    What `ParallelConfig` refuses by itself is not repeated here.
    """
    model, parallel, tp = workload.model, layout.parallel, layout.parallel.tensor_parallel
    if model.num_attention_heads % tp:
        return f"tensor_parallel does not divide the {model.num_attention_heads} heads"
    if model.ffn_size % tp:
        return f"tensor_parallel does not divide the MLP's width {model.ffn_size}"
    if parallel.sequence_parallel and workload.sequence_length % tp:
        return f"sequence_parallel: tensor_parallel does not divide the sequence length {workload.sequence_length}"
    if workload.global_batch_size % (layout.data_parallel * layout.micro_batch_size):
        return (
            f"data_parallel x micro_batch_size does not divide the global batch {workload.global_batch_size}"
        )
    if layout.data_parallel % layout.shard:
        return "data_parallel_shard does not divide data_parallel"
    try:
        all_stages(model.num_layers, parallel)
    except ConfigurationError:
        return f"more pipeline stages than the {model.num_layers} layers allow"
    try:
        parallel.check_microbatches(layout.microbatches(workload))
    except ConfigurationError:
        return f"{parallel.pipeline_schedule}: too few microbatches for the pipeline, or they cannot be dealt evenly"
    return None
