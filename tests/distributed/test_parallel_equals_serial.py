"""Every layout computes what one process computes: losses, gradient norms, gradients after 1 step, parameters after 3.

Microbatches and ranks have unequal numbers of predictions. The reference is a serial model written apart from the package.
"""

import functools

import pytest
import torch
from torch import Tensor

from tests.distributed.batches import VOCABULARY, bert_batch, gpt_batch
from tests.distributed.comparison import HEADS, TOLERANCE, compare
from tests.distributed.matrix import every_layout, pairwise
from tests.distributed.pool import Pool
from tests.distributed.training_case import DECAY, EPSILON, LR, SEED, STEPS, Case, initial_weights, train
from tests.references import transformer


class Serial:
    """The reference's run of the same batches."""

    def __init__(self, weights: dict[str, Tensor], architecture: str, dropout: float) -> None:
        self.weights = {name: value.clone().requires_grad_() for name, value in weights.items()}
        self._architecture = architecture
        optimizer = transformer.adamw(self.weights, LR, DECAY, EPSILON)
        self.losses, self.norms, self.gradients = [], [], {}
        for step in range(STEPS):
            if step == STEPS - 1:
                self.evaluation = self.loss(step, 0.0).item()
            optimizer.zero_grad()
            loss = self.loss(step, dropout)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
            if step == 0:
                self.gradients = {name: w.grad.clone() for name, w in self.weights.items()}
            optimizer.step()
            self.losses.append(loss.item())
            self.norms.append(norm.item())

    def loss(self, step: int, dropout: float) -> Tensor:
        batch = bert_batch(step) if self._architecture == "bert" else gpt_batch(step)
        return transformer.loss(self.weights, batch, HEADS, VOCABULARY, dropout, dropout, SEED)


@functools.cache
def serial(pool: Pool, architecture: str, layers: int, dropout: float) -> Serial:
    case = next(case for case in every_layout() if (case.architecture, case.layers) == (architecture, layers))
    return Serial(pool.run(initial_weights, 1, case)[0], architecture, dropout)


def check(pool: Pool, case: Case) -> None:
    expected = serial(pool, case.architecture, case.layers, case.dropout)
    results = pool.run(train, case.ranks, case)
    tables = {}
    for rank, result in enumerate(results):
        tp, block = case.layout.tensor_parallel, rank // case.layout.tensor_parallel
        assert result["losses"] == results[0]["losses"], "ranks report different losses"
        assert result["norms"] == results[0]["norms"], "ranks report different gradient norms"
        assert result["replicas"] == results[block * tp]["replicas"], "replicas differ"
        if result["table"]:
            place = rank % (case.ranks // case.layout.pipeline_parallel)
            assert tables.setdefault(place, result["table"]) == result["table"], "word tables differ"
    assert results[0]["losses"] == pytest.approx(expected.losses, rel=TOLERANCE)
    assert results[0]["norms"] == pytest.approx(expected.norms, rel=TOLERANCE)
    assert results[0]["evaluation"] == pytest.approx(expected.evaluation, rel=TOLERANCE)
    assert compare(results[0]["gradients"], expected.gradients, 1e-6) == []
    assert compare(results[0]["parameters"], expected.weights, 2 * LR * STEPS) == []


# Every second one in `make test`, all of them in `make test-all`.
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow if number % 2 else (), id=str(case))
        for number, case in enumerate(pairwise())
    ],
)
def test_every_pair_of_settings_equals_serial(pool: Pool, case: Case) -> None:
    check(pool, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", every_layout(), ids=str)
def test_every_layout_equals_serial(pool: Pool, case: Case) -> None:
    check(pool, case)


def test_comparison_notices_swapped_keys_and_queries(pool: Pool) -> None:
    expected = serial(pool, "bert", 5, 0.0)
    broken = {name: value.clone() for name, value in expected.gradients.items()}
    name = "layers.0.self_attention.query_key_value.weight"
    broken[name] = broken[name].unflatten(0, (HEADS, 3, -1))[:, [1, 0, 2]].flatten(0, 2)
    assert len(compare(broken, expected.gradients, 1e-6)) == 2
