"""Which layers form a pipeline stage and which rank holds it: a pure function of the layout."""

from dataclasses import dataclass

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig


@dataclass(frozen=True)
class Stage:
    """A part of the model between two cuts; the first begins with the embeddings, the last ends with the heads."""

    index: int
    num_stages: int
    layers: range

    @property
    def first(self) -> bool:
        """Whether the embeddings are in it."""
        return self.index == 0

    @property
    def last(self) -> bool:
        """Whether the final layer norm and the heads are in it."""
        return self.index == self.num_stages - 1


def whole_model(num_layers: int) -> Stage:
    """Return the only stage of a model that is not cut."""
    return Stage(0, 1, range(num_layers))


def all_stages(num_layers: int, parallel: ParallelConfig) -> tuple[Stage, ...]:
    """Return the stages, first to last. Raises `ConfigurationError` when the layers cannot be cut so."""
    count = parallel.num_stages
    sizes = parallel.layers_per_stage or _even(num_layers, count)
    if len(sizes) != count or sum(sizes) != num_layers or min(sizes) < 1:
        raise ConfigurationError(
            f"parallel.layers_per_stage: expected {count} numbers of at least 1 (parallel.pipeline_parallel "
            f"{parallel.pipeline_parallel} x {parallel.stages_on_rank} stages per rank) with the sum model.num_layers "
            f"{num_layers}; found {', '.join(map(str, sizes))}."
        )
    starts = [sum(sizes[:index]) for index in range(count)]
    return tuple(
        Stage(index, count, range(start, start + size))
        for index, (start, size) in enumerate(zip(starts, sizes, strict=True))
    )


def rank_of_stage(stage: int, parallel: ParallelConfig) -> int:
    """Return the pipeline rank that holds a stage: round and round, or as a V there and back."""
    pp = parallel.pipeline_parallel
    lap, place = divmod(stage, pp)
    return pp - 1 - place if parallel.pipeline_schedule == "zbv" and lap % 2 else place


def stages_of_rank(num_layers: int, parallel: ParallelConfig, pipeline_rank: int) -> tuple[Stage, ...]:
    """Return the stages of one pipeline rank, first to last."""
    return tuple(
        stage
        for stage in all_stages(num_layers, parallel)
        if rank_of_stage(stage.index, parallel) == pipeline_rank
    )


def describe_stages(num_layers: int, parallel: ParallelConfig) -> list[str]:
    """Return one line per stage: where it is and what is in it."""
    lines = []
    for stage in all_stages(num_layers, parallel):
        layers = f"layers {stage.layers.start}-{stage.layers.stop - 1}"
        if len(stage.layers) == 1:
            layers = f"layer {stage.layers.start}"
        parts = (
            ["embeddings"] * stage.first
            + [layers]
            + ["final layer norm, heads, copy of the word table"] * stage.last
        )
        lines.append(
            f"stage {stage.index} on pipeline rank {rank_of_stage(stage.index, parallel)}: {', '.join(parts)}"
        )
    return lines


def _even(num_layers: int, count: int) -> list[int]:
    """Deal the layers evenly; what is left over goes to stages without embeddings and heads first."""
    if num_layers < count:
        raise ConfigurationError(
            f"model.num_layers {num_layers} cannot be cut into {count} pipeline stages; lower parallel.pipeline_parallel or "
            f"parallel.stages_per_rank."
        )
    each, left = divmod(num_layers, count)
    by_load = sorted(range(count), key=lambda index: (index == count - 1, index == 0, index))
    return [each + (index in by_load[:left]) for index in range(count)]
