"""A layout against the serial reference: losses, gradient norms, gradients after 1 step, parameters after 3."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from megatron_bio.config.model import ModelConfig
from tests.distributed.batches import VOCABULARY, bert_batch, gpt_batch
from tests.distributed.comparison import HEADS, TOLERANCE, compare
from tests.distributed.pool import Pool
from tests.distributed.training_case import DECAY, EPSILON, LR, SEED, STEPS, Case, initial_weights, train
from tests.references import transformer


class Serial:
    """The reference's run of the same batches."""

    def __init__(self, weights: dict[str, Tensor], model: ModelConfig) -> None:
        self.weights = {name: value.clone().requires_grad_() for name, value in weights.items()}
        self._bert = model.architecture == "bert"
        self._choices = transformer.Choices(
            mlp_gelu={None: "none" if self._bert else "tanh", "gelu": "none"}.get(model.activation, "tanh"),
            head_gelu="tanh" if model.activation == "gelu_tanh" else "none",
            divide_scores_by_layer=model.scale_attention_by_inverse_layer,
        )
        optimizer = transformer.adamw(self.weights, LR, DECAY, EPSILON)
        self.losses, self.norms, self.gradients = [], [], {}
        for step in range(STEPS):
            if step == STEPS - 1:
                self.evaluation = self.loss(step, 0.0).item()
            optimizer.zero_grad()
            loss = self.loss(step, model.hidden_dropout)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
            if step == 0:
                self.gradients = {name: w.grad.clone() for name, w in self.weights.items()}
            optimizer.step()
            self.losses.append(loss.item())
            self.norms.append(norm.item())

    def loss(self, step: int, dropout: float) -> Tensor:
        batch = bert_batch(step) if self._bert else gpt_batch(step)
        return transformer.loss(self.weights, batch, HEADS, VOCABULARY, dropout, dropout, SEED, self._choices)


@functools.cache
def serial(pool: Pool, model: ModelConfig) -> Serial:
    return Serial(pool.run(initial_weights, 1, model)[0], model)


def check(pool: Pool, case: Case, run: Callable[[Case], dict[str, Any]] = train) -> None:
    """Compare what the ranks return, each from `run`, with the serial model."""
    expected = serial(pool, case.model)
    results = pool.run(run, case.ranks, case)
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
