"""Predicted parameters, gradients and optimizer state against those of models that were built and trained one step."""

from dataclasses import asdict
from itertools import accumulate
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch.distributed.pipelining import (
    Schedule1F1B,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleZBVZeroBubble,
)

from megatron_bio.config.costs import parameter_shapes
from megatron_bio.config.model import PRESETS, ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.models.build import build_model
from megatron_bio.parallel.buckets import BUCKET_ELEMENTS
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.planning.layout import Layout, Workload
from megatron_bio.planning.memory import BUCKET_BYTES, rank_elements, rank_memory
from tests.distributed.pool import Pool
from tests.planning.measure import trained_bytes

SCHEDULES: dict[str, Any] = {
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
    "zero_bubble": ScheduleInterleavedZeroBubble,
    "zbv": ScheduleZBVZeroBubble,
}
PRESET_VOCABULARIES = {"biomedlm-2.7b": 28_896, "gpt-124m": 50_257, "gpt-355m": 50_257}


def preset(name: str) -> ModelConfig:
    values = dict(PRESETS[name]) | {"vocab_size": PRESET_VOCABULARIES.get(name, 30_522)}
    return ModelConfig(preset=name, **values)


def shapes_on_meta(config: ModelConfig) -> list[tuple[str, tuple[int, ...], int | None]]:
    mesh = build_mesh(MeshShape(), "cpu")["tp"]
    with torch.device("meta"):
        model: Any = build_model(config, TensorParallel(mesh, False, torch.float32))
    return sorted(
        (key, tuple(p.shape), getattr(p.placements[0], "dim", None)) for key, p in model.named_parameters()
    )


VARIANTS = [
    {"norm_order": "post"},
    {"norm_order": "post", "order_head": False},
    {"order_head": False, "activation": "megatron"},
    {"architecture": "gpt", "scale_attention_by_inverse_layer": True},
]


@pytest.mark.parametrize(
    "config",
    [
        *(pytest.param(preset(name), id=name) for name in PRESETS),
        *(ModelConfig(num_layers=2, vocab_size=300, **options) for options in VARIANTS),
    ],
)
def test_every_tensor_of_every_preset_and_variant(pool: Pool, config: ModelConfig) -> None:
    built = pool.run(shapes_on_meta, 1, config)[0]
    assert sorted((shape.name, shape.shape, shape.split) for shape in parameter_shapes(config)) == built


def tiny(architecture: str) -> Workload:
    model = ModelConfig(
        architecture=architecture,
        num_layers=2,
        hidden_size=24,  # 72, 96 and 24 rows do not all divide by the ranks, so FSDP pads
        num_attention_heads=4,
        max_position_embeddings=19,
        vocab_size=250,
    )
    return Workload(model=model, sequence_length=16, predictions=8, global_batch_size=16, precision="bf16")


LAYOUTS = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 2, 2), (1, 2, 3), (1, 4, 3), (2, 2, 3)]


@pytest.mark.parametrize(
    ("architecture", "tp", "dp", "zero"),
    [
        pytest.param(name, *layout, marks=() if (place + number) % 2 == 0 else pytest.mark.slow)
        for place, layout in enumerate(LAYOUTS)
        for number, name in enumerate(("bert", "gpt"))
    ],
)
def test_state_after_a_step(pool: Pool, architecture: str, tp: int, dp: int, zero: Any) -> None:
    work = tiny(architecture)
    parallel = ParallelConfig(tensor_parallel=tp, data_parallel=dp, zero=zero)
    layout = Layout(parallel=parallel, micro_batch_size=2)
    measured = pool.run(trained_bytes, tp * dp, work.model, asdict(parallel), OptimizerConfig())
    memory = rank_memory(work, layout, 0)
    shards = 4 * rank_elements(work, layout, 0).sharded
    assert max(rank["weights"] for rank in measured) == memory.weights == shards
    assert max(rank["gradients"] for rank in measured) == memory.gradients
    assert max(rank["gradients after"] for rank in measured) == shards
    assert max(rank["optimizer"] for rank in measured) == memory.optimizer
    assert (memory.gradients > shards) == (zero == 1 and dp > 1)


def stacked(pipeline: int, schedule: Any, *, batch: int = 64, **more: Any) -> tuple[Workload, Layout]:
    work = Workload(
        model=preset("biomedlm-2.7b"),
        sequence_length=1024,
        predictions=1024,
        global_batch_size=batch,
        precision="bf16",
    )
    parallel = ParallelConfig(pipeline_parallel=pipeline, pipeline_schedule=schedule, data_parallel=1, **more)
    return work, Layout(parallel=parallel, micro_batch_size=1)


def torch_in_flight(schedule: str, ranks: int, stages: int, microbatches: int) -> list[int]:
    """Return the most microbatches, counted once per stage, between a forward and its gradients in the order that torch runs."""

    def stage(index: int) -> MagicMock:
        places = {"group_size": ranks, "group_rank": 0, "num_stages": ranks * stages, "stage_index": index}
        return MagicMock(**places, has_backward=True, device="cpu")

    held = [0, 2 * ranks - 1] if schedule == "zbv" else [ranks * index for index in range(stages)]
    own: Any = [stage(index) for index in held]
    built = SCHEDULES[schedule](own[0] if schedule == "1f1b" else own, microbatches, loss_fn=torch.sum)
    most = []
    for rank in range(ranks):
        names = [action.computation_type.value for action in built.pipeline_order[rank] if action]
        changes = [{"F": 1, "B": -1, "W": -1}.get(name, 0) for name in names]
        assert sum(changes) == 0 and changes.count(1) == stages * microbatches
        most.append(max(accumulate(changes)))
    return most


@pytest.mark.parametrize(
    ("schedule", "ranks", "stages", "microbatches"),
    [
        *(("1f1b", 4, 1, 8), ("1f1b", 2, 1, 2)),
        *(("interleaved", 4, 2, 8), ("interleaved", 2, 4, 4), ("interleaved", 4, 2, 10)),
        *(("zero_bubble", 4, 2, 8), ("zero_bubble", 2, 2, 4), ("zero_bubble", 4, 2, 16)),
        *(("zbv", 4, 2, 8), ("zbv", 2, 2, 4), ("zbv", 4, 2, 16)),
    ],
)
def test_microbatches_in_flight(schedule: str, ranks: int, stages: int, microbatches: int) -> None:
    more = {"stages_per_rank": stages} if stages > 1 else {}
    work, layout = stacked(ranks, schedule, batch=microbatches, **more)
    planned = [layout.in_flight(work, rank) for rank in range(ranks)]
    assert planned == torch_in_flight(schedule, ranks, stages, microbatches)


def test_one_microbatch_is_in_flight_once_per_stage() -> None:
    for schedule in SCHEDULES:
        work, layout = stacked(4, schedule, batch=1)
        assert max(layout.in_flight(work, rank) for rank in range(4)) <= layout.parallel.stages_on_rank


def test_tied_table_is_on_the_first_and_the_last_stage() -> None:
    work, layout = stacked(4, "1f1b")
    table, block = 28_928 * 2560, 12 * 2560**2 + 13 * 2560
    counts = [rank_elements(work, layout, rank).whole for rank in range(4)]
    assert counts == [table + 1024 * 2560 + 8 * block, 8 * block, 8 * block, table + 2 * 2560 + 8 * block]
    work, layout = stacked(4, "zbv")  # the first rank holds both ends
    assert rank_elements(work, layout, 0).whole == 2 * table + (1024 + 2) * 2560 + 8 * block


def test_a_bucket_and_its_parts_are_float32() -> None:
    assert BUCKET_BYTES == 2 * 4 * BUCKET_ELEMENTS


def test_every_saving_saves() -> None:
    def total(**more: Any) -> int:
        parallel = ParallelConfig(data_parallel=8, **more)
        work, _ = stacked(1, "1f1b")
        return rank_memory(work, Layout(parallel=parallel, micro_batch_size=4), 0).total

    assert total(zero=0) > total(zero=1) > total(zero=2) > total(zero=3)
    none, selective, full = (total(zero=3, recompute=kind) for kind in ("none", "selective", "full"))
    assert none > selective > full
    assert none > total(zero=3, recompute="full", recompute_every=4) > full
    assert total(zero=3) < total(zero=3, data_parallel_shard=2)
