"""What a step sends equals the formulas of docs/parallelism.md, byte for byte, on every rank.

Legend as there: S sequence, R rows of a microbatch, M microbatches, P predicted positions of a row, H hidden size, V padded
vocabulary, t tensor-parallel ranks, d ranks that share the state, e bytes of an element in the computation.
"""

from collections import Counter

import pytest
import torch

from megatron_bio.config.costs import ParameterShape, parameter_shapes
from megatron_bio.config.model import padded_vocab_size
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.stages import Stage, stages_of_rank
from megatron_bio.parallel.world import mesh_shape
from tests.distributed.batches import BUDGET, LENGTH, ROWS, VOCABULARY
from tests.distributed.count_messages import messages_of_a_step
from tests.distributed.pool import Pool
from tests.distributed.training_case import MICROBATCHES, Case

FLOAT, INT64 = 4, 8
Messages = Counter[tuple[str, str]]
CASES = [
    Case("bert", ParallelConfig(tensor_parallel=2, sequence_parallel=False), 2),
    Case("bert", ParallelConfig(tensor_parallel=2), 2),
    Case("gpt", ParallelConfig(tensor_parallel=2, recompute="full"), 2),
    Case("gpt", ParallelConfig(tensor_parallel=4, sequence_parallel=False), 4),
    *(Case("bert", ParallelConfig(zero=zero), 2) for zero in (0, 1, 2, 3)),
    Case("gpt", ParallelConfig(data_parallel_shard=2, zero=2), 4),
    Case("bert", ParallelConfig(pipeline_parallel=2), 2),
    Case("gpt", ParallelConfig(pipeline_parallel=2, pipeline_schedule="interleaved"), 2),
    Case("bert", ParallelConfig(pipeline_parallel=2, pipeline_schedule="zbv"), 2),
    Case("bert", ParallelConfig(pipeline_parallel=2, tensor_parallel=2, zero=1), 8),
    Case("gpt", ParallelConfig(pipeline_parallel=2, zero=3), 4),
    Case("gpt", ParallelConfig(tensor_parallel=2, recompute="full"), 2, 0.1),
]
IN_BFLOAT16 = [
    Case("bert", ParallelConfig(zero=3), 2),
    Case("gpt", ParallelConfig(tensor_parallel=2, zero=1), 4),
    Case("bert", ParallelConfig(pipeline_parallel=2, pipeline_schedule="zbv"), 4),
    Case("gpt", ParallelConfig(pipeline_parallel=2, pipeline_schedule="zero_bubble"), 4),
]


class Step:
    """The sizes of a case."""

    def __init__(self, case: Case, rank: int, e: int) -> None:
        self.case, self.layout, self.e = case, case.layout, e
        self.shape = mesh_shape(case.layout, case.ranks)
        self.t, self.d = self.shape.tp, self.shape.dp_shard
        self.count = min(MICROBATCHES, ROWS // case.data_parallel)
        self.R = ROWS // case.data_parallel // self.count
        self.H, self.P = case.model.hidden_size, BUDGET if case.architecture == "bert" else LENGTH
        self.V = padded_vocab_size(VOCABULARY)
        self.sequence_parallel = case.layout.sequence_parallel and self.t > 1
        self.pipeline_rank = self.shape.coordinates(rank)[0]
        self.stages = stages_of_rank(case.layers, case.layout, self.pipeline_rank)
        self.hidden = e * LENGTH * self.R * self.H

    def shapes_of(self, stage: Stage) -> list[tuple[str, ParameterShape]]:
        """Return (FSDP unit, parameter) of a stage; the last one has the word table too."""
        found = []
        for shape in parameter_shapes(self.case.model):
            layer = int(shape.name.split(".")[1]) if shape.part == "block" else None
            mine = (
                layer in stage.layers
                if layer is not None
                else stage.first
                if shape.part == "embeddings"
                else stage.last
            )
            if mine or (stage.last and "word_embeddings" in shape.name):
                found.append(("root" if layer is None else f"layer {layer}", shape))
        return found

    def padded(self, stage: Stage, block: int) -> int:
        """Return the bytes of a stage's parameters as FSDP sends them: dim 0 rounded up to a multiple of d.

        An element has `block` bytes in the layers and 4 outside.
        """
        total = 0
        for unit, shape in self.shapes_of(stage):
            first, *rest = shape.local(self.t)
            rows = -(-first // self.d) * self.d
            for size in rest:
                rows *= size
            total += (FLOAT if unit == "root" else block) * rows
        return total


def tensor_parallel(step: Step) -> Messages:
    sent: Messages = Counter()
    if step.t == 1:
        return sent
    sp, count = step.sequence_parallel, step.count

    def layer_passes(passes: int, skipped: int = 0) -> None:
        if sp:  # a gather before and a reduce-scatter behind each of the two halves, and their mirror images
            sent["tp", "all_gather"] += 2 * passes * step.hidden
            sent["tp", "reduce_scatter"] += (2 * passes - skipped) * step.hidden
        else:
            sent["tp", "all_reduce"] += (2 * passes - skipped) * step.hidden

    for stage in step.stages:
        for _ in stage.layers:
            layer_passes(2 * count)
            if (
                step.layout.recompute == "full"
            ):  # forward again; without dropout no gradient needs its last sum
                layer_passes(count, skipped=0 if step.case.dropout else count)
        if stage.first:
            sent["tp", "reduce_scatter" if sp else "all_reduce"] += count * step.hidden
            sent["tp", "all_gather"] += count * step.hidden if sp else 0
        if stage.last:
            sent["tp", "all_gather"] += count * step.hidden if sp else 0
            sent["tp", "all_reduce"] += count * step.R * step.P * (step.e * step.H + 3 * FLOAT + INT64)
        if sp:
            sent["tp", "all_reduce"] += FLOAT * partial_elements(step, stage)
    sent["tp", "all_reduce"] += FLOAT  # the norm
    return sent


def partial_elements(step: Step, stage: Stage) -> int:
    """Return this rank's elements of parameters whose gradients cover a slice of the sequence."""
    names = (
        "layernorm.weight",
        "layernorm.bias",
        "dense.bias",
        "dense_4h_to_h.bias",
        "position",
        "tokentype",
    )
    total = 0
    for _, shape in step.shapes_of(stage):
        if "head" not in shape.name and any(name in shape.name for name in names):
            first, *rest = shape.shape
            rows = -(-first // step.d)
            for size in rest:
                rows *= size
            total += rows
    return total


def data_parallel(step: Step) -> Messages:
    sent: Messages = Counter()
    zero, pipeline = step.layout.zero, step.shape.pp > 1
    parameters = sum(step.padded(stage, FLOAT) for stage in step.stages)
    gathered = FLOAT if step.layout.splits_backward else step.e
    if step.d > 1:
        gathers = 2 * step.count if zero == 3 else 1
        if zero == 3 and pipeline:
            gathers = (
                step.count + 1
            )  # the first backward gathers once more, and then the weights stay to the end
        reductions = step.count if zero >= 2 and not pipeline else 1
        sent["dp_shard", "all_gather"] = gathers * sum(step.padded(stage, gathered) for stage in step.stages)
        sent["dp_shard", "reduce_scatter"] = reductions * parameters
        sent["dp_replicate", "all_reduce"] = reductions * parameters // step.d * (step.shape.dp_replicate > 1)
        sent["dp_shard", "all_reduce"] += FLOAT  # the norm
    elif step.shape.dp_replicate > 1:
        sent["dp_replicate", "all_reduce"] = parameters
    losses, metrics = (2, 4) if step.case.architecture == "bert" else (1, 2)
    for axis in ("dp_shard", "dp_replicate"):
        if getattr(step.shape, axis) > 1:
            sent[axis, "all_reduce"] += FLOAT * (losses + metrics)
    return sent


def pipeline(step: Step) -> Messages:
    sent: Messages = Counter()
    if step.shape.pp == 1:
        return sent
    hidden = step.hidden // (step.t if step.sequence_parallel else 1)
    mine = {stage.index for stage in step.stages}
    for stage in step.stages:
        neighbours = [index for index in (stage.index - 1, stage.index + 1) if 0 <= index < stage.num_stages]
        sent["pp", "send"] += step.count * hidden * sum(index not in mine for index in neighbours)
    ends = sum(stage.first + stage.last for stage in step.stages)
    if ends == 1:  # the word table's gradient, to the other end
        sent["pp", "send"] += FLOAT * step.V // step.t // step.d * step.H
    metrics = 4 if step.case.architecture == "bert" else 2
    sent["pp", "all_reduce"] = FLOAT * (metrics + 1)
    return sent


def check(pool: Pool, case: Case, dtype: torch.dtype) -> None:
    for rank, counted in enumerate(pool.run(messages_of_a_step, case.ranks, case, dtype)):
        step = Step(case, rank, dtype.itemsize)
        expected = tensor_parallel(step) + data_parallel(step) + pipeline(step)
        assert counted == {key: value for key, value in expected.items() if value}, f"rank {rank}"


# `make test` leaves out what other cases have in another combination.
_REPEATED = {3, 4, 9, 10, 14}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow if index in _REPEATED else ())
        for index, case in enumerate(CASES)
    ],
    ids=str,
)
def test_messages_equal_the_formulas(pool: Pool, case: Case) -> None:
    check(pool, case, torch.float32)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow if index % 2 else ())
        for index, case in enumerate(IN_BFLOAT16)
    ],
    ids=str,
)
def test_messages_in_bfloat16_equal_the_formulas(pool: Pool, case: Case) -> None:
    check(pool, case, torch.bfloat16)
