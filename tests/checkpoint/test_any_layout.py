"""A checkpoint of any layout continues at any other; at its own, bit for bit."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import load_checkpoint
from megatron_bio.checkpoint.save import save_checkpoint
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.training.optimizer import build_optimizer, set_optimizer_step
from megatron_bio.training.state import fill_second_copy, run_tensors
from megatron_bio.training.step import train_step
from tests.distributed.comparison import compare
from tests.distributed.matrix import pairwise
from tests.distributed.pool import Pool
from tests.distributed.training_case import (
    DECAY,
    EPSILON,
    LR,
    Case,
    build,
    gathered,
    mesh_of,
    microbatches,
    tied_digest,
)


def case(architecture: str, ranks: int, **layout: Any) -> Case:
    return Case(architecture, ParallelConfig(**layout), ranks, 0.1)


CASES = [
    case("bert", 1),
    case("bert", 2, pipeline_parallel=2, pipeline_schedule="zbv"),
    case("bert", 2, tensor_parallel=2),
    case("bert", 8, tensor_parallel=2, pipeline_parallel=2),
    case("bert", 4, data_parallel_shard=2, zero=3),
    case("bert", 4, pipeline_parallel=2, pipeline_schedule="interleaved", zero=0, recompute="full"),
    case("bert", 4, tensor_parallel=4, sequence_parallel=False),
    case("bert", 4, pipeline_parallel=4, zero=1),
    case("gpt", 1),
    case("gpt", 4, tensor_parallel=2, pipeline_parallel=2, pipeline_schedule="zbv"),
    case("gpt", 4, tensor_parallel=2, zero=2),
]
QUICK = [(CASES[3], CASES[7]), (CASES[7], CASES[3]), (CASES[9], CASES[10])]
SAVED_AT, END = 2, 4


def run(case: Case, folder: Path | None, first: int, last: int, save: bool) -> dict[str, Any]:
    """Train steps first..last-1, from a checkpoint if first > 0; return losses and every tensor, full."""
    mesh = mesh_of(case)
    passes = build(case, mesh)
    model = passes.model
    optimizer = build_optimizer(model, OptimizerConfig(lr=LR, weight_decay=DECAY, epsilon=EPSILON))
    if first:
        load_checkpoint(resolve_checkpoint(folder), run_tensors(model, optimizer))
        fill_second_copy(model, optimizer)
        set_optimizer_step(optimizer, first)
    loaded = gathered(run_tensors(model, optimizer))
    losses = []
    for step in range(first, last):
        batches = microbatches(case, mesh, step)
        result = train_step(passes, optimizer, batches, mesh, lr=LR, clip_grad=1.0)
        losses.append((result.sums[: model.num_losses] / result.counts).sum().item())
    if save:
        save_checkpoint(folder, last, run_tensors(model, optimizer), {"step": last}, keep=2)
    tied_digest(model)
    return {"losses": losses, "loaded": loaded, "tensors": gathered(run_tensors(model, optimizer))}


class Runs:
    """Runs by case, each made when first asked for."""

    def __init__(self, pool: Pool, root: Path) -> None:
        self._pool, self._root = pool, root
        self._saved: dict[Case, tuple[Path, dict[str, Any]]] = {}
        self._through: dict[Case, dict[str, Any]] = {}

    def saved(self, case: Case) -> tuple[Path, dict[str, Any]]:
        if case not in self._saved:
            folder = self._root / str(case)
            self._saved[case] = folder, self._pool.run(run, case.ranks, case, folder, 0, SAVED_AT, True)[0]
        return self._saved[case]

    def through(self, case: Case) -> dict[str, Any]:
        if case not in self._through:
            self._through[case] = self._pool.run(run, case.ranks, case, None, 0, END, False)[0]
        return self._through[case]

    def continued(self, before: Case, after: Case) -> dict[str, Any]:
        return self._pool.run(run, after.ranks, after, self.saved(before)[0], SAVED_AT, END, False)[0]


@pytest.fixture(scope="module")
def runs(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(pool, tmp_path_factory.mktemp("checkpoints"))


def chosen(all_of: list[Any], quick: list[Any]) -> list[Any]:
    """Mark as slow what `make test` leaves out."""
    return [
        pytest.param(*one, marks=() if one in quick else pytest.mark.slow, id="-to-".join(map(str, one)))
        for one in all_of
    ]


@pytest.mark.parametrize("case", chosen([(case,) for case in CASES], [(CASES[7],)]))
def test_resumed_equals_uninterrupted_bit_for_bit(runs: Runs, case: Case) -> None:
    through, continued = runs.through(case), runs.continued(case, case)
    assert continued["losses"] == through["losses"][SAVED_AT:]
    for name, tensor in through["tensors"].items():
        assert torch.equal(continued["tensors"][name], tensor), name


Pairs = list[tuple[Case, Case]]


def all_pairs() -> Pairs:
    return [pair for pair in itertools.permutations(CASES, 2) if pair[0].architecture == pair[1].architecture]


def ring(cases: list[Case]) -> Pairs:
    """Each case once as the one before and once as the one after, in rings of one architecture."""
    rings = [[case for case in cases if case.architecture == kind] for kind in ("bert", "gpt")]
    return [pair for one in rings for pair in zip(one, one[1:] + one[:1], strict=True)]


def matrix_ring() -> Pairs:
    """The layouts of the equality tests, with dropout and the layers of CASES."""
    cases = dict.fromkeys(replace(case, dropout=0.1) for case in pairwise() if case.layers == CASES[0].layers)
    return [pair for pair in ring(list(cases)) if pair not in all_pairs()]


@pytest.mark.parametrize(("before", "after"), chosen(all_pairs() + matrix_ring(), QUICK))
def test_any_layout_continues_any_other(runs: Runs, before: Case, after: Case) -> None:
    continued = runs.continued(before, after)
    for name, tensor in runs.saved(before)[1]["tensors"].items():
        assert torch.equal(continued["loaded"][name], tensor), name
    serial = runs.through(next(case for case in CASES if case.architecture == before.architecture))
    assert continued["losses"] == pytest.approx(serial["losses"][SAVED_AT:], rel=1e-5)
    assert compare(continued["tensors"], serial["tensors"], 2 * LR * END) == []
