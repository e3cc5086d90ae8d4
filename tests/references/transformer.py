"""Serial BERT and GPT-2 in plain torch, batch first, one process: what every layout must equal.

`weights` maps the names of the checkpoint to full tensors. Nothing of the package is used. Where the norms are, and whether there is
an order head, is seen from the names.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from tests.references import dropout

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Choices:
    """What weights do not show."""

    mlp_gelu: str
    """none (exact) or tanh."""
    head_gelu: str = "none"
    divide_scores_by_layer: bool = False


BERT, GPT = Choices("none"), Choices("tanh")


def drop(x: torch.Tensor, p: float, keys: np.ndarray | None, layer: int, site: int) -> torch.Tensor:
    """Drop x [R, ...] by the hash of each element's index inside its row."""
    if keys is None or p == 0.0:
        return x
    kept = dropout.keep(keys, x[0].numel(), p, layer, site).reshape(x.shape)
    return x * torch.from_numpy(kept) / (1.0 - p)


def norm(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    return F.layer_norm(x, (x.shape[-1],), w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)


def linear(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def attend(
    x: torch.Tensor,
    mask: torch.Tensor,
    w: Weights,
    at: str,
    heads: int,
    p: float,
    keys,
    layer: int,
    divisor: int,
):
    rows, length, hidden = x.shape
    fused = linear(x, w, f"{at}.query_key_value").view(rows, length, heads, 3, hidden // heads)
    query, key, value = (fused[:, :, :, i].transpose(1, 2) for i in range(3))
    scores = query @ key.transpose(2, 3) / (math.sqrt(hidden // heads) * divisor)
    scores = scores.masked_fill(~mask, float("-inf"))
    context = drop(scores.softmax(-1), p, keys, layer, 1) @ value
    return linear(context.transpose(1, 2).reshape(rows, length, hidden), w, f"{at}.dense")


def encode(
    w: Weights, batch: dict, heads: int, causal: bool, choices: Choices, p: float, p_attention: float, keys
):
    e = "embeddings"
    post = f"{e}.layernorm.weight" in w
    x = w[f"{e}.word_embeddings.weight"][batch["tokens"]]
    x = x + w[f"{e}.position_embeddings.weight"][batch["position_ids"]]
    if "tokentype_ids" in batch:
        x = x + w[f"{e}.tokentype_embeddings.weight"][batch["tokentype_ids"]]
    x = drop(norm(x, w, f"{e}.layernorm") if post else x, p, keys, 0, 0)
    segments = batch["segment_ids"]
    mask = (segments[:, :, None] == segments[:, None, :])[:, None]
    if causal:
        mask = mask & torch.ones(mask.shape[-2:], dtype=torch.bool).tril()
    for i in range(sum(name.endswith("mlp.dense_h_to_4h.weight") for name in w)):
        at, layer = f"layers.{i}", i + 1
        divisor = layer if choices.divide_scores_by_layer else 1
        y = x if post else norm(x, w, f"{at}.input_layernorm")
        y = attend(y, mask, w, f"{at}.self_attention", heads, p_attention, keys, layer, divisor)
        x = x + drop(y, p, keys, layer, 2)
        x = norm(x, w, f"{at}.attention_layernorm") if post else x
        y = x if post else norm(x, w, f"{at}.post_attention_layernorm")
        y = F.gelu(linear(y, w, f"{at}.mlp.dense_h_to_4h"), approximate=choices.mlp_gelu)
        x = x + drop(linear(y, w, f"{at}.mlp.dense_4h_to_h"), p, keys, layer, 3)
        x = norm(x, w, f"{at}.mlp_layernorm") if post else x
    return x if post else norm(x, w, "final_layernorm")


def loss(
    w: Weights,
    batch: dict,
    heads: int,
    vocab_size: int,
    p: float,
    p_attention: float,
    seed: int | None,
    choices: Choices | None = None,
):
    """Return the loss of a whole global batch: each part a sum over its predictions divided by their number."""
    bert = "masked_labels" in batch
    choices = choices or (BERT if bert else GPT)
    batch = dict(batch)
    ids = batch.pop("sample_ids").numpy()
    keys = None if seed is None else dropout.sample_keys(seed, ids)
    x = encode(w, batch, heads, not bert, choices, p, p_attention, keys)
    table = w["embeddings.word_embeddings.weight"][:vocab_size]
    if not bert:
        return mean_loss(x @ table.T, batch["labels"], batch["label_weights"])
    rows = torch.arange(x.shape[0])[:, None]
    y = linear(x[rows, batch["masked_positions"]], w, "masked_lm_head.dense")
    y = F.gelu(y, approximate=choices.head_gelu)
    logits = norm(y, w, "masked_lm_head.layernorm") @ table.T + w["masked_lm_head.bias"][:vocab_size]
    masked = mean_loss(logits, batch["masked_labels"], batch["masked_weights"])
    if "order_head.pooler.weight" not in w:
        return masked
    y = torch.tanh(linear(x[rows, batch["cls_positions"]], w, "order_head.pooler"))
    order = linear(y, w, "order_head.classifier")
    return masked + mean_loss(order, batch["order_labels"], batch["order_weights"])


def mean_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    losses = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum().clamp(min=1)


def adamw(w: Weights, lr: float, weight_decay: float, epsilon: float) -> torch.optim.AdamW:
    """AdamW over leaf weights, decaying matrices only."""
    return torch.optim.AdamW(
        [
            {"params": [t for t in w.values() if t.dim() > 1], "weight_decay": weight_decay},
            {"params": [t for t in w.values() if t.dim() == 1], "weight_decay": 0.0},
        ],
        lr=lr,
        eps=epsilon,
        foreach=False,
    )
