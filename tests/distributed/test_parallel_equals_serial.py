"""Every layout computes what one process computes: loss, gradients after 1 step, parameters after 5."""

import functools
import itertools

import pytest
import torch
from torch import Tensor

from megatron_bio.parallel.mesh import MeshShape, build_mesh
from tests.distributed.batches import VOCABULARY, bert_batch, gpt_batch
from tests.distributed.comparison import HEADS, TOLERANCE, compare
from tests.distributed.pool import Pool
from tests.distributed.training_case import DECAY, LR, SEED, STEPS, Layout, build, train, whole
from tests.references import transformer


def matrix() -> list[Layout]:
    cases = []
    for architecture, tp, dp, dropout in itertools.product(("bert", "gpt"), (1, 2, 4), (1, 2), (0.0, 0.1)):
        for sequence_parallel in (False, True) if tp > 1 else (False,):
            cases.append(Layout(architecture, tp, dp, sequence_parallel, dropout))
    cases += [Layout("bert", 2, 2, True, 0.1, zero) for zero in (2, 3)]
    cases += [Layout("gpt", 1, 2, False, 0.1, zero) for zero in (2, 3)]
    return cases


def initial_weights(layout: Layout) -> dict[str, Tensor]:
    model = build(layout, build_mesh(MeshShape(), "cpu"))
    return {name: whole(p) for name, p in model.named_parameters()}


class Serial:
    """The reference's run of the same batches."""

    def __init__(self, weights: dict[str, Tensor], architecture: str, dropout: float) -> None:
        self.weights = {name: value.clone().requires_grad_() for name, value in weights.items()}
        optimizer = transformer.adamw(self.weights, LR, DECAY)
        self.losses, self.norms, self.gradients = [], [], {}
        for step in range(STEPS):
            batch = bert_batch(step) if architecture == "bert" else gpt_batch(step)
            optimizer.zero_grad()
            loss = transformer.loss(self.weights, batch, HEADS, VOCABULARY, dropout, dropout, SEED)
            loss.backward()
            if step == 0:
                self.gradients = {name: w.grad.clone() for name, w in self.weights.items()}
            norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
            optimizer.step()
            self.losses.append(loss.item())
            self.norms.append(norm.item())


@functools.cache
def serial(pool: Pool, architecture: str, dropout: float) -> Serial:
    weights = pool.run(initial_weights, 1, Layout(architecture, 1, 1, False, dropout))[0]
    return Serial(weights, architecture, dropout)


@pytest.mark.parametrize("layout", matrix(), ids=str)
def test_layout_equals_serial(pool: Pool, layout: Layout) -> None:
    expected = serial(pool, layout.architecture, layout.dropout)
    results = pool.run(train, layout.ranks, layout)
    for rank, result in enumerate(results):
        assert result["losses"] == results[0]["losses"], "ranks report different losses"
        assert result["norms"] == results[0]["norms"], "ranks report different gradient norms"
        assert result["replicas"] == results[rank // layout.tp * layout.tp]["replicas"], "replicas differ"
        assert result["losses"] == pytest.approx(expected.losses, rel=TOLERANCE)
        assert result["norms"] == pytest.approx(expected.norms, rel=TOLERANCE)
    assert compare(results[0]["gradients"], expected.gradients, 1e-6) == []
    assert compare(results[0]["parameters"], expected.weights, 2 * LR * STEPS) == []


def test_comparison_notices_swapped_keys_and_queries(pool: Pool) -> None:
    expected = serial(pool, "bert", 0.0)
    broken = {name: value.clone() for name, value in expected.gradients.items()}
    name = "layers.0.self_attention.query_key_value.weight"
    broken[name] = broken[name].unflatten(0, (HEADS, 3, -1))[:, [1, 0, 2]].flatten(0, 2)
    assert len(compare(broken, expected.gradients, 1e-6)) == 2
