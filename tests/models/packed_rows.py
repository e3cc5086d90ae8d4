"""Rows that hold several samples, the same samples each alone in a row, and how far a model's answers on the two differ."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.models.bert import Bert
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.mesh import build_mesh
from megatron_bio.parallel.world import mesh_shape
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.step import accumulate_gradients
from tests.distributed.comparison import HEADS, compare
from tests.distributed.training_case import CPU, fill, gathered

Arrays = dict[str, NDArray[np.generic]]
Fields = dict[str, Tensor]

LENGTH, VOCABULARY, BUDGET, MOST = 64, 250, 16, 8
SAMPLE_LENGTHS = ((32, 32), (5, 9, 4, 7, 12, 3, 8, 16), (20, 10, 11), (3, 40), (25,), (17, 2, 19, 6, 11), ())
"""[rows][samples]: rows of 2 to 8 samples, full and with padding, one sample with padding, and nothing but padding."""


def bert_rows() -> Arrays:
    """Return a packed batch, written without the data package."""
    rng = np.random.default_rng(11)
    shape, slots, places = (
        (len(SAMPLE_LENGTHS), LENGTH),
        (len(SAMPLE_LENGTHS), BUDGET),
        (len(SAMPLE_LENGTHS), MOST),
    )
    batch: Arrays = {
        **{name: np.zeros(shape, np.int64) for name in ("position_ids", "tokentype_ids")},
        "tokens": rng.integers(0, VOCABULARY, shape),  # padding too: what it holds must not matter
        "segment_ids": np.zeros(shape, np.int32),
        **{name: np.zeros(slots, np.int64) for name in ("masked_positions", "masked_labels")},
        "masked_weights": np.zeros(slots, np.float32),
        **{name: np.zeros(places, np.int64) for name in ("cls_positions", "order_labels")},
        "order_weights": np.zeros(places, np.float32),
    }
    for row, lengths in enumerate(SAMPLE_LENGTHS):
        start, used = 0, 0
        for sample, length in enumerate(lengths):
            columns = np.arange(start, start + length)
            batch["segment_ids"][row, columns] = sample + 1
            batch["position_ids"][row, columns] = columns - start
            batch["tokentype_ids"][row, columns] = columns - start > length // 2
            predicted = np.sort(rng.choice(columns, max(1, round(0.15 * length)), replace=False))
            slot = np.arange(used, used + len(predicted))
            batch["masked_positions"][row, slot] = predicted
            batch["masked_labels"][row, slot] = rng.integers(0, VOCABULARY, len(predicted))
            batch["masked_weights"][row, slot] = 1.0
            batch["cls_positions"][row, sample] = start
            batch["order_labels"][row, sample] = rng.integers(2)
            batch["order_weights"][row, sample] = length != 2  # one sentence: no order
            start, used = start + length, used + len(predicted)
    return batch


def gpt_rows() -> Arrays:
    """Return rows of several documents, the label behind each document's end not counted."""
    bert = bert_rows()
    segments = bert["segment_ids"]
    following = np.pad(segments[:, 1:], ((0, 0), (0, 1)))
    return {
        **{name: bert[name] for name in ("tokens", "segment_ids", "position_ids")},
        "labels": np.random.default_rng(12).integers(0, VOCABULARY, segments.shape),
        "label_weights": ((segments > 0) & (segments == following)).astype(np.float32),
    }


def alone(packed: Fields) -> list[Fields]:
    """Return each sample of the rows as a row of its own, from column 0 and position 0 on, in segment 1."""
    segments = packed["segment_ids"]
    rows = []
    for row, count in enumerate(segments.max(dim=1).values.tolist()):
        for number in range(1, count + 1):
            columns = (segments[row] == number).nonzero().flatten()
            start, length = int(columns[0]), len(columns)
            assert columns.tolist() == list(range(start, start + length)), "a sample lies in one piece"
            rows.append(_one_sample(packed, row, number, start, length))
    return rows


def _one_sample(packed: Fields, row: int, number: int, start: int, length: int) -> Fields:
    sample = {
        name: torch.zeros_like(field[row : row + 1])
        for name, field in packed.items()
        if field.shape == packed["tokens"].shape
    }
    for name in sample.keys() - {"segment_ids", "position_ids"}:
        sample[name][0, :length] = packed[name][row, start : start + length]
    sample["segment_ids"][0, :length] = 1
    sample["position_ids"][0, :length] = torch.arange(length)
    sample["dropout_keys"] = torch.zeros(1, dtype=torch.int64)
    if "masked_positions" not in packed:
        return sample
    positions = packed["masked_positions"][row] - start
    own = (positions >= 0) & (positions < length) & (packed["masked_weights"][row] > 0)
    for name, field in (("masked_positions", positions), ("masked_labels", packed["masked_labels"][row])):
        sample[name] = torch.where(own, field, 0)[None]
    sample["masked_weights"] = own.float()[None]
    assert packed["cls_positions"][row, number - 1] == start, "each sample begins with its [CLS]"
    sample["cls_positions"] = torch.zeros(1, 1, dtype=torch.int64)
    for name in ("order_labels", "order_weights"):
        sample[name] = packed[name][row : row + 1, number - 1 : number]
    return sample


def only(packed: Fields, row: int, number: int) -> Fields:
    """Return one packed row in which only the predictions of one of its samples count."""
    chosen = {name: field[row : row + 1] for name, field in packed.items()}
    inside = chosen["segment_ids"] == number
    if "label_weights" in chosen:
        return chosen | {"label_weights": chosen["label_weights"] * inside}
    order = torch.zeros_like(chosen["order_weights"])
    order[0, number - 1] = chosen["order_weights"][0, number - 1]
    masked = chosen["masked_weights"] * inside.gather(1, chosen["masked_positions"])
    return chosen | {"masked_weights": masked, "order_weights": order}


def tiny_model(
    architecture: str, vocab_size: int = VOCABULARY, length: int = LENGTH, **variant: Any
) -> ModelConfig:
    """Return a model that a test can run, without dropout."""
    return ModelConfig(
        architecture=architecture,
        num_layers=3,
        hidden_size=32,
        num_attention_heads=HEADS,
        max_position_embeddings=length,
        vocab_size=vocab_size,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        **variant,
    )


def differences(arrays: Arrays, config: ModelConfig, layout: ParallelConfig, ranks: int) -> dict[str, float]:
    """Return by how much the samples of packed rows and the same samples alone differ, on this rank of a layout.

    "logits" and "order logits": largest |a - b| over all real positions and all [CLS]. "loss": the same over the loss of each
    sample, "right predictions" over their counts. "gradients", on rank 0, which holds them whole: tensors of which
    ‖a - b‖ > 1e-5 ‖b‖ for the sum of all losses.
    """
    packed = {name: torch.from_numpy(array) for name, array in arrays.items() if name != "sample_ids"}
    packed["dropout_keys"] = torch.zeros(len(packed["tokens"]), dtype=torch.int64)
    mesh = build_mesh(mesh_shape(layout, ranks), "cpu")
    parts = build_model_parts(config, layout, mesh, CPU, torch.float32)
    fill(parts)
    length = packed["tokens"].shape[1]
    passes = distribute(parts, layout, mesh, compute_dtype=torch.float32, sequence_length=length)
    samples = alone(packed)
    (model,) = parts.parts
    with torch.no_grad():
        found = _differences_of_logits(model, packed, samples) | _differences_of_losses(
            model, packed, samples
        )
    gradients = []
    for microbatches in ([packed], samples):
        parts.zero_grad(set_to_none=True)
        accumulate_gradients(passes, microbatches, torch.ones(parts.num_losses), mesh)
        gradients.append(gathered({name: p.grad for name, p in parts.named_parameters()}))
    if dist.get_rank() != 0:
        return found
    return found | {"gradients": len(compare(gradients[0], gradients[1], key_bias_tolerance=1e-4))}


def _differences_of_logits(model: Bert | Gpt, packed: Fields, samples: Sequence[Fields]) -> dict[str, float]:
    """Compare `logits`, the padding left out."""
    together = {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}
    names = ["tokens", "segment_ids", "position_ids"]
    if isinstance(model, Gpt):
        a, b = (
            model.logits(*(batch[name] for name in names))[batch["segment_ids"] > 0]
            for batch in (packed, together)
        )
        return {"logits": (a - b).abs().max().item()}
    names += ["tokentype_ids", "cls_positions"]
    (a, order), (b, own_order) = (
        model.logits(*(batch[name] for name in names)) for batch in (packed, together)
    )
    used = torch.arange(order.shape[1]) < packed["segment_ids"].max(dim=1).values[:, None]
    a, b = a[packed["segment_ids"] > 0], b[together["segment_ids"] > 0]
    return {
        "logits": (a - b).abs().max().item(),
        "order logits": (order[used] - own_order[:, 0]).abs().max().item(),
    }


def _differences_of_losses(model: Bert | Gpt, packed: Fields, samples: Sequence[Fields]) -> dict[str, float]:
    """Compare what `forward` returns for one sample at a time."""
    counts = packed["segment_ids"].max(dim=1).values.tolist()
    places = [(row, number) for row, count in enumerate(counts) for number in range(1, count + 1)]
    losses, right = [], []
    for (row, number), sample in zip(places, samples, strict=True):
        difference = (model(**only(packed, row, number)) - model(**sample)).abs()
        predictions = sum(float(sample[field].sum()) for field in model.weight_fields)
        losses.append(difference[: model.num_losses].max().item() / max(1.0, predictions))
        right.append(difference[model.num_losses :].max().item())
    return {"loss": max(losses), "right predictions": max(right)}


def tensor_parallel(size: int, sequence_parallel: bool) -> ParallelConfig:
    """Return the layout with `size` tensor-parallel ranks."""
    return replace(ParallelConfig(), tensor_parallel=size, sequence_parallel=sequence_parallel)
