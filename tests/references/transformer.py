"""Serial BERT and GPT-2 in plain torch, batch first, one process: what every layout must equal.

`weights` maps the names of the checkpoint to full tensors. Nothing of the package is used.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.references import dropout

Weights = dict[str, torch.Tensor]


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


def attend(x: torch.Tensor, mask: torch.Tensor, w: Weights, at: str, heads: int, p: float, keys, layer: int):
    rows, length, hidden = x.shape
    fused = linear(x, w, f"{at}.query_key_value").view(rows, length, heads, 3, hidden // heads)
    query, key, value = (fused[:, :, :, i].transpose(1, 2) for i in range(3))
    scores = (query @ key.transpose(2, 3) / math.sqrt(hidden // heads)).masked_fill(~mask, float("-inf"))
    context = drop(scores.softmax(-1), p, keys, layer, 1) @ value
    return linear(context.transpose(1, 2).reshape(rows, length, hidden), w, f"{at}.dense")


def encode(w: Weights, batch: dict, heads: int, causal: bool, tanh: bool, p: float, p_attention: float, keys):
    e = "embeddings"
    x = w[f"{e}.word_embeddings.weight"][batch["tokens"]]
    x = x + w[f"{e}.position_embeddings.weight"][batch["position_ids"]]
    if "tokentype_ids" in batch:
        x = x + w[f"{e}.tokentype_embeddings.weight"][batch["tokentype_ids"]]
    x = drop(x, p, keys, 0, 0)
    segments = batch["segment_ids"]
    mask = (segments[:, :, None] == segments[:, None, :])[:, None]
    if causal:
        mask = mask & torch.ones(mask.shape[-2:], dtype=torch.bool).tril()
    for i in range(sum(name.endswith("input_layernorm.weight") for name in w)):
        at, layer = f"layers.{i}", i + 1
        y = norm(x, w, f"{at}.input_layernorm")
        y = attend(y, mask, w, f"{at}.self_attention", heads, p_attention, keys, layer)
        x = x + drop(y, p, keys, layer, 2)
        y = linear(norm(x, w, f"{at}.post_attention_layernorm"), w, f"{at}.mlp.dense_h_to_4h")
        y = linear(F.gelu(y, approximate="tanh" if tanh else "none"), w, f"{at}.mlp.dense_4h_to_h")
        x = x + drop(y, p, keys, layer, 3)
    return norm(x, w, "final_layernorm")


def loss(
    w: Weights, batch: dict, heads: int, vocab_size: int, p: float, p_attention: float, seed: int | None
):
    """Return the loss of a whole global batch: each part a sum over its predictions divided by their number."""
    bert = "masked_labels" in batch
    batch = dict(batch)
    ids = batch.pop("sample_ids").numpy()
    keys = None if seed is None else dropout.sample_keys(seed, ids)
    x = encode(w, batch, heads, not bert, not bert, p, p_attention, keys)
    table = w["embeddings.word_embeddings.weight"][:vocab_size]
    if not bert:
        return mean_loss(x @ table.T, batch["labels"], batch["label_weights"])
    rows = torch.arange(x.shape[0])[:, None]
    y = F.gelu(linear(x[rows, batch["masked_positions"]], w, "masked_lm_head.dense"))
    logits = norm(y, w, "masked_lm_head.layernorm") @ table.T + w["masked_lm_head.bias"][:vocab_size]
    y = torch.tanh(linear(x[rows, batch["cls_positions"]], w, "order_head.pooler"))
    order = linear(y, w, "order_head.classifier")
    return mean_loss(logits, batch["masked_labels"], batch["masked_weights"]) + mean_loss(
        order, batch["order_labels"], batch["order_weights"]
    )


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
