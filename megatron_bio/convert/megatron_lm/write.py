"""A checkpoint of any format as a folder that Megatron-LM loads: one file for each tensor-parallel rank and pipeline stage."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.model import VOCABULARY_MULTIPLE
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.megatron_lm.arguments import arguments_of, refuse_other_models
from megatron_bio.convert.megatron_lm.files import SHARD, TRACKER, iteration_folder, rank_folder
from megatron_bio.convert.megatron_lm.moments import KINDS, OneKind, written_state
from megatron_bio.convert.megatron_lm.names import LAYER, SECOND_EMBEDDING, nested, old_name
from megatron_bio.convert.megatron_lm.query_key_value import order_of
from megatron_bio.convert.megatron_lm.ranks import Cut
from megatron_bio.convert.megatron_lm.schedule import schedule_entries
from megatron_bio.convert.megatron_lm.table import WORD_EMBEDDINGS, megatron_table
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.convert.stored_values import RoundedTensors
from megatron_bio.convert.table import AsForeign
from megatron_bio.convert.tokenizer_files import longest_sequence, megatron_tokenizer_type
from megatron_bio.convert.torch_file.stream import Later, write_torch_file

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_ENCODER = "language_model.encoder."
_FIRST = "language_model.embedding."
_NEW_NAMES_SINCE = 3
_ADAM = {"lr": 1e-4, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01}


@dataclass(frozen=True)
class _Layout:
    """Which layers lie where: `chunks` equal runs of layers, dealt to the stages in turn."""

    stages: int
    virtual: int
    per_chunk: int

    @property
    def chunks(self) -> int:
        return self.stages * self.virtual

    def names(self, names: Mapping[str, Any], chunk: int) -> Iterator[tuple[str, str]]:
        """Yield (whole name, name within the chunk) of the tensors of a chunk."""
        first, last = chunk == 0, chunk == self.chunks - 1
        for name in names:
            if match := LAYER.fullmatch(name):
                place = int(match[2]) - chunk * self.per_chunk
                if 0 <= place < self.per_chunk:
                    yield name, f"{match[1]}{place}{match[3]}"
            elif first if name.startswith(_FIRST) else last:
                yield name, name
        if last and not first:
            yield WORD_EMBEDDINGS, SECOND_EMBEDDING


def write_checkpoint(checkpoint: Checkpoint, folder: Path, options: ConvertOptions) -> None:
    """Write weights, arguments and, if there are any, Adam's moments; raises `ConvertError` for what the format cannot hold."""
    model = checkpoint.model
    refuse_other_models(model)
    layout = _layout(model.num_layers, options)
    if model.num_attention_heads % options.tensor_parallel or model.ffn_size % options.tensor_parallel:
        raise ConvertError(
            f"--tensor_parallel {options.tensor_parallel}: it must divide the model's {model.num_attention_heads} attention "
            f"heads and its inner width {model.ffn_size}."
        )
    assert model.vocab_size is not None
    multiple = VOCABULARY_MULTIPLE * options.tensor_parallel
    rows = -(-model.vocab_size // multiple) * multiple
    table = megatron_table(model, rows)
    weights = AsForeign(table, checkpoint.weights)
    moments = (
        {}
        if checkpoint.moments is None
        else {kind: AsForeign(table, OneKind(checkpoint.moments, kind)) for kind in KINDS}
    )
    content = _content(checkpoint, options, rows)
    cut = Cut(
        options.tensor_parallel, model.num_attention_heads, order_of(options.megatron_checkpoint_version)
    )
    place = folder / iteration_folder(checkpoint.step)
    for stage in range(layout.stages):
        for rank in range(options.tensor_parallel):
            file = place / rank_folder(rank, stage, layout.stages) / SHARD
            file.parent.mkdir(parents=True)
            write_torch_file(
                file, content | _shard(layout, stage, cut, rank, weights, moments, options, checkpoint)
            )
    (folder / TRACKER).write_text(str(checkpoint.step) if checkpoint.step else "release", encoding="utf-8")


def _layout(layers: int, options: ConvertOptions) -> _Layout:
    chunks = options.pipeline_parallel * options.virtual_pipeline
    if layers % chunks:
        raise ConvertError(
            f"--pipeline_parallel {options.pipeline_parallel} --virtual_pipeline {options.virtual_pipeline}: Megatron-LM cuts "
            f"into equal parts, and {layers} layers are not divisible by {chunks}."
        )
    return _Layout(options.pipeline_parallel, options.virtual_pipeline, layers // chunks)


def _content(checkpoint: Checkpoint, options: ConvertOptions, rows: int) -> dict[str, Any]:
    """Return what every file has besides tensors. Version 0 is that of files without a version."""
    samples = checkpoint.training.get("samples", 0)
    version = options.megatron_checkpoint_version
    args = arguments_of(
        checkpoint.model,
        vocabulary_rows=rows,
        tensor_parallel=options.tensor_parallel,
        pipeline_parallel=options.pipeline_parallel,
        virtual_pipeline=options.virtual_pipeline,
        precision=options.precision,
        step=checkpoint.step,
        samples=samples,
        sequence_length=longest_sequence(checkpoint),
        tokenizer_type=megatron_tokenizer_type(checkpoint),
    )
    content: dict[str, Any] = {"args": args, "iteration": checkpoint.step}
    return content | ({"checkpoint_version": float(version)} if version else {})


def _shard(
    layout: _Layout,
    stage: int,
    cut: Cut,
    rank: int,
    weights: TensorSource,
    moments: Mapping[str, TensorSource],
    options: ConvertOptions,
    checkpoint: Checkpoint,
) -> dict[str, Any]:
    """Return the entries of one file that hold tensors."""
    dtype = _DTYPES[options.precision]
    chunks = [stage + number * layout.stages for number in range(layout.virtual)]

    def held(source: TensorSource) -> list[dict[str, Later]]:
        described = source.described()
        return [
            {
                name: Later(cut.part(whole, described[whole], rank), _reading(source, whole, cut, rank))
                for whole, name in layout.names(described, chunk)
            }
            for chunk in chunks
        ]

    models = held(RoundedTensors(weights, dtype))
    old = options.megatron_checkpoint_version < _NEW_NAMES_SINCE
    trees = [nested({old_name(k) if old else k: v for k, v in chunk.items()}) for chunk in models]
    content: dict[str, Any] = (
        {"model": trees[0]} if len(trees) == 1 else {f"model{n}": tree for n, tree in enumerate(trees)}
    )
    if moments:
        # Half precision keeps the weights in float32 too, from which Megatron-LM goes on.
        master = None if dtype is torch.float32 else held(RoundedTensors(weights, torch.float32))
        settings = _adam(checkpoint)
        content["optimizer"] = written_state(
            {kind: held(source) for kind, source in moments.items()}, master, settings
        )
        content |= schedule_entries(checkpoint.training, options.megatron_checkpoint_version)
    return content


def _adam(checkpoint: Checkpoint) -> dict[str, Any]:
    known = _ADAM | checkpoint.training.get("config", {}).get("optimizer", {})
    return {
        "lr": known["lr"],
        "betas": (known["beta1"], known["beta2"]),
        "eps": known["epsilon"],
        "weight_decay": known["weight_decay"],
        "bias_correction": True,
        "step": checkpoint.step,
    }


def _reading(source: TensorSource, name: str, cut: Cut, rank: int) -> Callable[[], Tensor]:
    return lambda: cut.part(name, source.read(name), rank)
