"""Attention by boundaries in whole models: the logits, losses and gradients of attention by a mask, which is not made."""

from typing import Any

import pytest
import torch
from torch import Tensor

from megatron_bio.kernels import attention as attention_module
from megatron_bio.models.bert import Bert
from megatron_bio.models.build import build_model
from megatron_bio.models.gpt import Gpt
from megatron_bio.models.recompute import Recompute
from megatron_bio.parallel.computation import Computation
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import single_process_mesh
from megatron_bio.parallel.parameters import initialize
from tests.kernels.varlen_on_cpu import varlen_on_cpu
from tests.models.packed_rows import MOST, bert_rows, gpt_rows, tiny_model

LAYERS = 3


def model_of(architecture: str, sequences_per_row: int, recompute: str = "none") -> Bert | Gpt:
    tensor_parallel = TensorParallel(
        single_process_mesh()["tp"], False, torch.float32, Computation(sequences_per_row=sequences_per_row)
    )
    model = build_model(tiny_model(architecture), tensor_parallel, recompute=Recompute(recompute))
    initialize(model, 7)
    return model


def rows_of(architecture: str) -> dict[str, Tensor]:
    arrays: dict[str, Any] = bert_rows() if architecture == "bert" else gpt_rows()
    fields = {name: torch.from_numpy(array) for name, array in arrays.items() if name != "sample_ids"}
    return {**fields, "dropout_keys": torch.zeros(len(fields["tokens"]), dtype=torch.int64)}


def logits(model: Bert | Gpt, rows: dict[str, Tensor]) -> Tensor:
    names = ["tokens", "segment_ids", "position_ids"] + ["tokentype_ids"] * isinstance(model, Bert)
    with torch.no_grad():
        found = model.logits(*(rows[name] for name in names))
    return found[0] if isinstance(found, tuple) else found


def trained(model: Bert | Gpt, rows: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    sums = model(**rows)
    sums[: model.num_losses].sum().backward()
    return sums.detach(), {name: value.grad.to_local() for name, value in model.named_parameters()}


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("architecture", ["bert", "gpt"])
def test_models_compute_the_same_without_a_mask(
    architecture: str, recompute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(architecture)
    by_mask = model_of(architecture, 0)
    expected_logits, (expected_sums, expected) = logits(by_mask, rows), trained(by_mask, rows)
    monkeypatch.setattr(attention_module, "attention_mask", None)
    with varlen_on_cpu() as calls:
        model = model_of(architecture, MOST + 1, recompute)
        found = logits(model, rows)
        sums, gradients = trained(model, rows)
    assert calls == [len(rows["tokens"]) * (MOST + 1) + 1] * LAYERS * (2 if recompute == "none" else 3)
    # The logits of padding too, which is a sequence of its own.
    torch.testing.assert_close(found, expected_logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums, expected_sums, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        # A key's bias has no true gradient.
        scale = expected[name].norm() + 1e-3 * expected.get(name.replace(".bias", ".weight"), gradient).norm()
        assert (gradient - expected[name]).norm() <= 1e-5 * scale, name


def test_a_row_with_more_samples_than_room_is_an_error() -> None:
    with varlen_on_cpu() as calls, pytest.raises(RuntimeError, match="more than the 4 sequences"):
        rows = rows_of("bert")
        row = {name: field[1:2] for name, field in rows.items()}  # eight samples
        trained(model_of("bert", 4), row)
    assert not calls
