"""Logits of a Megatron-LM checkpoint in plain torch, written from the description of its files and not from our tables.

Nothing is joined: as in Megatron-LM each tensor-parallel rank multiplies with its own rows or columns, and partial products are
summed. Source: Megatron-LM v1.0 to core 0.4, checkpointing.py and model/.
"""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Reference:
    """A checkpoint folder, or one file, computed rank by rank."""

    def __init__(self, path: Path, heads: int | None = None) -> None:
        self.shards = [[torch.load(file, weights_only=False) for file in stage] for stage in _files(path)]
        first = self.shards[0][0]
        self.version = first.get("checkpoint_version", 0)
        self.args = first.get("args")
        self.heads = heads or self.args.num_attention_heads
        self.ranks = len(self.shards[0])
        self.virtual = sum(1 for key in first if key.startswith("model") and key != "model") or 1

    def chunks(self) -> list[list[dict[str, Any]]]:
        """The models of all tensor-parallel ranks, for each run of layers in the order of the layers."""
        found = []
        for virtual in range(self.virtual):
            key = "model" if self.virtual == 1 else f"model{virtual}"
            found += [[shard.get(key, shard) for shard in stage] for stage in self.shards]
        return found

    def logits(self, tokens: Tensor, real: Tensor | None = None, types: Tensor | None = None):
        """tokens [R, S], real bool [R, S] and types [R, S] for BERT -> vocabulary logits [R, S, V], and BERT's [R, 2] or None."""
        chunks = self.chunks()
        x = self._embed([rank["language_model"]["embedding"] for rank in chunks[0]], tokens, types)
        length = tokens.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool).tril()[None]
        mask = causal if real is None else real[:, None, :] & real[:, :, None]
        for chunk in chunks:
            encoders = [
                rank["language_model"].get("encoder", rank["language_model"].get("transformer"))
                for rank in chunk
            ]
            layer = 0
            while any(key.startswith(f"layers.{layer}.") for key in encoders[0]):
                x = self._layer(encoders, f"layers.{layer}.", x, mask)
                layer += 1
            if "final_layernorm.weight" in encoders[0] or "final_norm.weight" in encoders[0]:
                x = _norm(encoders[0], ("final_layernorm", "final_norm"), x)
        last = chunks[-1]
        words = [
            rank["word_embeddings_for_head"]["weight"]
            if "word_embeddings_for_head" in rank
            else rank["language_model"]["embedding"]["word_embeddings"]["weight"]
            for rank in last
        ]
        if real is None:
            return torch.cat([x @ table.t() for table in words], -1), None
        return self._bert_heads(last, words, x)

    def _embed(self, ranks: list[dict[str, Any]], tokens: Tensor, types: Tensor | None) -> Tensor:
        x = 0
        rows = ranks[0]["word_embeddings"]["weight"].shape[0]
        for number, rank in enumerate(ranks):
            inside = (tokens >= number * rows) & (tokens < (number + 1) * rows)
            table = rank["word_embeddings"]["weight"]
            x = x + table[(tokens - number * rows).clamp(0, rows - 1)] * inside[..., None]
        x = x + ranks[0]["position_embeddings"]["weight"][: tokens.shape[1]]
        return x if types is None else x + ranks[0]["tokentype_embeddings"]["weight"][types]

    def _layer(self, ranks: list[dict[str, Any]], prefix: str, x: Tensor, mask: Tensor) -> Tensor:
        attention = (
            "self_attention" if f"{prefix}self_attention.query_key_value.weight" in ranks[0] else "attention"
        )
        inner = _norm(ranks[0], (f"{prefix}input_layernorm", f"{prefix}input_norm"), x)
        total = 0
        for rank in ranks:
            context = self._attend(rank, f"{prefix}{attention}.query_key_value", inner, mask)
            total = total + context @ rank[f"{prefix}{attention}.dense.weight"].t()
        x = x + total + ranks[0][f"{prefix}{attention}.dense.bias"]
        names = (f"{prefix}post_attention_layernorm", f"{prefix}post_attention_norm")
        inner, total = _norm(ranks[0], names, x), 0
        for rank in ranks:
            wide = F.linear(
                inner, rank[f"{prefix}mlp.dense_h_to_4h.weight"], rank[f"{prefix}mlp.dense_h_to_4h.bias"]
            )
            total = total + self._activate(wide) @ rank[f"{prefix}mlp.dense_4h_to_h.weight"].t()
        return x + total + ranks[0][f"{prefix}mlp.dense_4h_to_h.bias"]

    def _attend(self, rank: dict[str, Any], name: str, x: Tensor, mask: Tensor) -> Tensor:
        fused = F.linear(x, rank[f"{name}.weight"], rank[f"{name}.bias"])
        rows, length, width = fused.shape
        heads = self.heads // self.ranks
        size = width // (3 * heads)
        if self.version == 0:
            query, key, value = fused.view(rows, length, 3, heads, size).unbind(2)
        elif self.version == 1:
            query, key, value = fused.view(rows, length, heads, size, 3).unbind(-1)
        else:
            query, key, value = fused.view(rows, length, heads, 3, size).unbind(3)
        scores = torch.einsum("rsnd,rtnd->rnst", query, key) / math.sqrt(size)
        scores = scores.masked_fill(~mask[:, None], -10000.0)
        return torch.einsum("rnst,rtnd->rsnd", scores.softmax(-1), value).reshape(rows, length, -1)

    def _activate(self, x: Tensor) -> Tensor:
        if self.args.openai_gelu or self.args.bias_gelu_fusion:
            return 0.5 * x * (1.0 + torch.tanh(0.79788456 * x * (1.0 + 0.044715 * x * x)))
        return x * 0.5 * (1.0 + torch.erf(x / 1.4142135623730951))

    def _bert_heads(self, ranks: list[dict[str, Any]], words: list[Tensor], x: Tensor):
        head = ranks[0]["lm_head"]
        transformed = F.linear(x, head["dense.weight"], head["dense.bias"])
        approximate = "tanh" if self.args.openai_gelu else "none"
        transformed = _norm(head, ("layernorm", "norm"), F.gelu(transformed, approximate=approximate))
        logits = torch.cat(
            [
                transformed @ table.t() + rank["lm_head"]["bias"]
                for rank, table in zip(ranks, words, strict=True)
            ],
            -1,
        )
        if "binary_head" not in ranks[0]:
            return logits, None
        pooler = ranks[0]["language_model"]["pooler"]
        pooled = torch.tanh(F.linear(x[:, 0], pooler["dense.weight"], pooler["dense.bias"]))
        return logits, F.linear(pooled, ranks[0]["binary_head"]["weight"], ranks[0]["binary_head"]["bias"])


def _norm(tensors: dict[str, Any], names: tuple[str, ...], x: Tensor) -> Tensor:
    name = next(name for name in names if f"{name}.weight" in tensors)
    return F.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-5)


def _files(path: Path) -> list[list[Path]]:
    if path.is_file():
        return [[path]]
    tracked = (path / "latest_checkpointed_iteration.txt").read_text().strip()
    folder = path / ("release" if tracked == "release" else f"iter_{int(tracked):07d}")
    names = sorted(entry.name for entry in folder.iterdir())
    stages = sorted({name[10:] for name in names})
    return [
        [folder / name / "model_optim_rng.pt" for name in names if name[10:] == stage] for stage in stages
    ]
