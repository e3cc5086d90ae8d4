"""Stages are dealt evenly or as told, and the plan that a run prints is the one that it uses."""

import pytest

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.stages import all_stages, describe_stages, rank_of_stage, stages_of_rank


@pytest.mark.parametrize("schedule", ["1f1b", "interleaved", "zero_bubble", "zbv"])
@pytest.mark.parametrize("layers", [8, 9, 11, 24])
def test_every_layer_is_on_one_rank_and_sizes_differ_by_one(schedule: str, layers: int) -> None:
    layout = ParallelConfig(pipeline_parallel=4, pipeline_schedule=schedule)
    held = [
        layer for rank in range(4) for stage in stages_of_rank(layers, layout, rank) for layer in stage.layers
    ]
    assert sorted(held) == list(range(layers))
    sizes = [len(stage.layers) for stage in all_stages(layers, layout)]
    assert max(sizes) - min(sizes) <= 1
    # The last stage has the heads too, so it is never among the larger.
    assert sizes[-1] == min(sizes)


def test_where_stages_are() -> None:
    loop = ParallelConfig(pipeline_parallel=2, pipeline_schedule="interleaved")
    assert [rank_of_stage(stage, loop) for stage in range(4)] == [0, 1, 0, 1]
    v = ParallelConfig(pipeline_parallel=2, pipeline_schedule="zbv")
    assert [rank_of_stage(stage, v) for stage in range(4)] == [0, 1, 1, 0]


def test_the_plan_in_words() -> None:
    layout = ParallelConfig(pipeline_parallel=3, layers_per_stage=[1, 3, 2])
    assert describe_stages(6, layout) == [
        "stage 0 on pipeline rank 0: embeddings, layer 0",
        "stage 1 on pipeline rank 1: layers 1-3",
        "stage 2 on pipeline rank 2: layers 4-5, final layer norm, heads, copy of the word table",
    ]


@pytest.mark.parametrize("sizes", [[1, 3], [1, 3, 1], [6, 0, 0], [2, 2, 3]])
def test_a_plan_that_does_not_fit_is_refused(sizes: list[int]) -> None:
    layout = ParallelConfig(pipeline_parallel=3, layers_per_stage=sizes)
    with pytest.raises(ConfigurationError, match="layers_per_stage: expected 3 numbers of at least 1"):
        all_stages(6, layout)
