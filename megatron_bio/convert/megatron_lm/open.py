"""A checkpoint of Megatron-LM's `torch` format as a `Checkpoint`."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import our_shapes, require_shapes
from megatron_bio.convert.megatron_lm.arguments import Seen, model_of
from megatron_bio.convert.megatron_lm.files import DISTRIBUTED_OPTIMIZER, find_shards
from megatron_bio.convert.megatron_lm.files import recognises as recognises
from megatron_bio.convert.megatron_lm.moments import KINDS, MomentTensors, ShardState, read_state
from megatron_bio.convert.megatron_lm.names import LAYER, canonical_name, flat
from megatron_bio.convert.megatron_lm.query_key_value import order_of
from megatron_bio.convert.megatron_lm.ranks import Cut, JoinedRanks, Parts
from megatron_bio.convert.megatron_lm.table import (
    CLASSIFIER,
    POOLER,
    POSITION_EMBEDDINGS,
    TOKEN_TYPES,
    WORD_EMBEDDINGS,
    megatron_table,
    without_missing_head,
)
from megatron_bio.convert.sources import Checkpoint, TensorSource, Told
from megatron_bio.convert.table import AsOurs, Table, foreign_shapes
from megatron_bio.convert.torch_file.open import open_torch_file
from megatron_bio.convert.torch_file.tensors import LazyTensor
from megatron_bio.convert.zero_token_types import WithZeroTokenTypes

_LEAST_PADDING = 1024
_INNER = "language_model.encoder.layers.0.mlp.dense_h_to_4h.weight"


@dataclass(frozen=True)
class _Shard:
    """One file: the chunks of layers that it holds, each with canonical names, and the rest of its content."""

    content: Mapping[str, Any]
    chunks: Sequence[Mapping[str, LazyTensor]]
    state: ShardState


def open_checkpoint(path: Path, vocab_size: int | None, told: Told | None = None) -> Checkpoint:
    """Open a folder or a file; rows of the vocabulary beyond `vocab_size` tokens are padding and left out.

    `told` stands in for arguments that the files do not have. Float32 copies of half-precision weights are read instead of
    these. A masked-LM head that the files do not have is missing from `weights` and named in the facts; so are Adam's moments
    that are not read. Raises `ConvertError` for a model that ours cannot be and for files that are missing, damaged or do not
    belong together.
    """
    files = find_shards(path)
    shards = {rank: _shard(file) for rank, file in files.items()}
    tensor, stages = (1 + max(rank[axis] for rank in shards) for axis in (0, 1))
    first = shards[0, 0]
    args = first.content.get("args")
    args = args if isinstance(args, Namespace) else Namespace()
    version = _version(path, first.content)
    parts = _parts(shards, stages, lambda shard, chunk: shard.chunks[chunk])
    seen, rows = _seen(path, parts)
    tokens = _tokens(path, args, rows, tensor, vocab_size)
    model = model_of(path, args, seen, tokens, told or Told())
    cut = Cut(tensor, model.num_attention_heads, order_of(version))
    has_types = seen.architecture == "gpt" or TOKEN_TYPES in parts[0, 0]
    joined = _joined(path, parts, cut, has_types)
    found = joined.described()
    table, missing = without_missing_head(megatron_table(model, rows), set(found))
    left_out = [] if model.order_head else [name for name in POOLER if name in found]
    _require_tensors(path, table, our_shapes(model), {k: v for k, v in found.items() if k not in left_out})
    moments, note = _moments(path, shards, stages, cut, table)
    if moments is not None and not has_types:
        moments, note = None, "the model has no token types, ours have"
    has_master = all(shard.state.master for shard in shards.values())
    if has_master:
        joined = _joined(path, _parts(shards, stages, _with_master), cut, has_types)
    return Checkpoint(
        format="megatron_lm",
        path=path,
        model=model,
        weights=AsOurs(table, joined),
        moments=moments,
        step=_step(first.content),
        training=_training(args),
        facts={
            "version": version,
            "tensor_parallel": tensor,
            "pipeline_parallel": stages,
            "virtual_pipeline": len(first.chunks),
            "order_of_query_key_value": cut.order,
            "vocabulary_rows": rows,
            "tokenizer_type": getattr(args, "tokenizer_type", None),
            "stored_as": sorted({str(value.dtype) for value in found.values()}),
            "weights_read": "float32 copies of the optimizer" if has_master else "the model's",
            "missing": missing,
            "left_out": left_out,
            "notes": [
                *([f"Adam's moments are not carried: {note}"] if note else []),
                *_notes(files, has_types),
            ],
        },
    )


def _joined(path: Path, parts: Parts, cut: Cut, has_token_types: bool) -> TensorSource:
    whole = JoinedRanks(path, parts, cut)
    return whole if has_token_types else WithZeroTokenTypes(whole, TOKEN_TYPES, WORD_EMBEDDINGS)


def _shard(file: Path) -> _Shard:
    content = open_torch_file(file)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConvertError(f"{file}: expected a checkpoint of Megatron-LM, found {type(content).__name__}.")
    names = [f"model{number}" for number in range(len(content)) if f"model{number}" in content]
    models = [content[name] for name in names] or [content.get("model", content)]
    chunks = [_tensors(file, model) for model in models]
    return _Shard(content, chunks, read_state(content.get("optimizer"), chunks))


def _tensors(file: Path, model: Any) -> dict[str, LazyTensor]:
    if not isinstance(model, dict):
        raise ConvertError(f"{file}: model: expected tensors by name, found {type(model).__name__}.")
    tensors: dict[str, LazyTensor] = {}
    for key, value in flat(model).items():
        name = canonical_name(key)
        if value is None:
            continue
        if not isinstance(value, LazyTensor):
            raise ConvertError(
                f"{file}: {key[:80]}: expected a tensor, found {type(value).__name__}. Is it a checkpoint of Megatron-LM?"
            )
        if name in tensors:
            raise ConvertError(f"{file}: two of its tensors are {name} in today's names.")
        tensors[name] = value
    return tensors


def _parts(shards: Mapping[tuple[int, int], _Shard], stages: int, tensors: Any) -> Parts:
    """Return the tensors by (tensor-parallel rank, chunk of the model): the chunks of a stage lie `stages` apart."""
    return {
        (rank, number * stages + stage): tensors(shard, number)
        for (rank, stage), shard in shards.items()
        for number in range(len(shard.chunks))
    }


def _with_master(shard: _Shard, chunk: int) -> dict[str, LazyTensor]:
    return {name: shard.state.master.get((chunk, name), value) for name, value in shard.chunks[chunk].items()}


def _version(path: Path, content: Mapping[str, Any]) -> float:
    version = content.get("checkpoint_version", 0)
    if isinstance(version, bool) or version not in (0, 1, 2, 3):
        raise ConvertError(
            f"{path}: checkpoint_version is {version!r}; known are 0 (or none), 1.0, 2.0 and 3.0."
        )
    return float(version)


def _step(content: Mapping[str, Any]) -> int:
    step = content.get("iteration", content.get("total_iters", 0))
    return step if isinstance(step, int) and step > 0 else 0


def _seen(path: Path, parts: Parts) -> tuple[Seen, int]:
    """Return what the tensors tell of the model, and how many rows the vocabulary has."""
    chunks = 1 + max(chunk for _, chunk in parts)
    first, last = parts[0, 0], parts[0, chunks - 1]
    for name, dimensions in ((WORD_EMBEDDINGS, 2), (POSITION_EMBEDDINGS, 2), (_INNER, 2)):
        if name not in first or len(first[name].shape) != dimensions:
            shown = ", ".join(sorted(first)[:4]) or "none"
            raise ConvertError(
                f"{path}: expected a BERT or GPT of Megatron-LM with a table {name}; found the tensors {shown} …"
            )
    tensor = 1 + max(rank for rank, _ in parts)
    layers = sum(
        1 + max((int(match[2]) for match in map(LAYER.fullmatch, parts[0, chunk]) if match), default=-1)
        for chunk in range(chunks)
    )
    names = {name for part in parts.values() for name in part}
    bert = any(name.startswith(("lm_head.", "binary_head.")) for name in names) or TOKEN_TYPES in first
    seen = Seen(
        architecture="bert" if bert else "gpt",
        num_layers=layers,
        hidden_size=first[WORD_EMBEDDINGS].shape[1],
        ffn_hidden_size=first[_INNER].shape[0] * tensor,
        max_position_embeddings=first[POSITION_EMBEDDINGS].shape[0],
        order_head=CLASSIFIER in last,
    )
    return seen, first[WORD_EMBEDDINGS].shape[0] * tensor


def _tokens(path: Path, args: Namespace, rows: int, tensor: int, given: int | None) -> int:
    """Return the number of tokens: the tokenizer's if it fits, else all rows."""
    if given is None:
        return rows
    multiple = getattr(args, "make_vocab_size_divisible_by", None)
    multiple = multiple if isinstance(multiple, int) and multiple > 0 else 128
    if not 0 <= rows - given < max(_LEAST_PADDING, multiple * tensor):
        stated = getattr(args, "tensor_model_parallel_size", getattr(args, "model_parallel_size", None))
        if isinstance(stated, int) and stated > tensor:
            raise ConvertError(
                f"{path}: its args tell {stated} tensor-parallel ranks, and there is {tensor}, with {rows:,} rows of the "
                f"vocabulary for {given:,} tokens. Give the folder that has all mp_rank_… folders."
            )
        raise ConvertError(
            f"{path}: the table of word embeddings has {rows:,} rows, the tokenizer {given:,} tokens; it is another tokenizer. "
            f"Give the right one with --tokenizer."
        )
    return given


def _require_tensors(
    path: Path, table: Table, ours: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor]
) -> None:
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    require_shapes(path, foreign_shapes(table, ours), shapes)
    for name, value in found.items():
        if not value.dtype.is_floating_point:
            raise ConvertError(f"{path}: {name} is stored as {value.dtype}, expected floating-point numbers.")


def _moments(
    path: Path, shards: Mapping[tuple[int, int], _Shard], stages: int, cut: Cut, table: Table
) -> tuple[TensorSource | None, str | None]:
    """Return Adam's moments under our names, or why there are none."""
    notes = [shard.state.note for shard in shards.values() if shard.state.note]
    if notes or not all(shard.state.moments for shard in shards.values()):
        return None, notes[0] if notes else None

    def parts(kind: str) -> Parts:
        return _parts(
            shards,
            stages,
            lambda shard, chunk: {
                name: shard.state.moments[kind][chunk, name] for name in shard.chunks[chunk]
            },
        )

    # A tied table has one gradient, so both of its copies have the same moments.
    return MomentTensors({kind: AsOurs(table, JoinedRanks(path, parts(kind), cut)) for kind in KINDS}), None


def _notes(files: Mapping[tuple[int, int], Path], has_token_types: bool) -> list[str]:
    notes = []
    if any((file.parent / DISTRIBUTED_OPTIMIZER).is_file() for file in files.values()):
        notes.append(
            f"Adam's moments are in {DISTRIBUTED_OPTIMIZER}, which is not read; they are not carried"
        )
    if not has_token_types:
        notes.append("the model has no token types; ours have zeros, which change nothing")
    return notes


def _training(args: Namespace) -> dict[str, Any]:
    samples = getattr(args, "consumed_train_samples", None)
    return {"samples": samples} if isinstance(samples, int) and samples > 0 else {}
