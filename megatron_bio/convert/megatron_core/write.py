"""A checkpoint of any format as a folder that Megatron Core's `dist_checkpointing` loads and Megatron-LM resumes from.

FOLDER/latest_checkpointed_iteration.txt
FOLDER/iter_NNNNNNN/    metadata.json, common.pt, .metadata, __0_0.distcp: layers stacked, one piece per layer
FOLDER/tokenizer/       the tokenizer that came with it
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint import DefaultSavePlanner
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex, TensorProperties
from torch.distributed.checkpoint.planner import SavePlan, TensorWriteData, WriteItem, WriteItemType

from megatron_bio.checkpoint.stream import write_planned
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.megatron_core.arguments import VERSION, arguments_of, require_model
from megatron_bio.convert.megatron_core.open import COMMON, DESCRIPTION, LATEST, MOMENTS, TOKENIZER
from megatron_bio.convert.megatron_core.table import STACKS, megatron_core_table
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.convert.stored_values import RoundedTensors
from megatron_bio.convert.table import AsForeign
from megatron_bio.convert.tokenizer_files import longest_sequence, megatron_tokenizer_type, write_tokenizer

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_STATEFUL = ("self_attention.linear_qkv", "self_attention.core_attention", "self_attention.linear_proj")
_STATEFUL_MLP = ("mlp.linear_fc1", "mlp.linear_fc2")


def write_checkpoint(checkpoint: Checkpoint, folder: Path, options: ConvertOptions) -> None:
    """Write weights in the precision asked for, moments in float32, and what Megatron-LM keeps beside them.

    Raises `ConvertError` for a model that Megatron Core does not have.
    """
    model = checkpoint.model
    require_model(model, options.approximate)
    assert model.vocab_size is not None
    rows = -(-model.vocab_size // options.vocabulary_multiple) * options.vocabulary_multiple
    target = folder / f"iter_{checkpoint.step:07d}"
    target.mkdir()
    _write_tensors(checkpoint, target, rows, _DTYPES[options.precision])
    arguments = arguments_of(
        model,
        step=checkpoint.step,
        samples=checkpoint.training.get("samples") or 0,
        vocabulary_rows=rows,
        sequence_length=longest_sequence(checkpoint),
        precision=options.precision,
        vocabulary_multiple=options.vocabulary_multiple,
        tokenizer_type=megatron_tokenizer_type(checkpoint),
    )
    common = {
        "args": arguments,
        "checkpoint_version": VERSION,
        "iteration": checkpoint.step,
        "content_metadata": {"singleton_local_shards": False, "chained_optim_avoid_prefix": True},
    }
    torch.save(common, target / COMMON)
    description = {
        "sharded_backend": "torch_dist",
        "sharded_backend_version": 1,
        "common_backend": "torch",
        "common_backend_version": 1,
    }
    (target / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
    if checkpoint.tokenizer is not None:
        (folder / TOKENIZER).mkdir()
        write_tokenizer(checkpoint.tokenizer, folder / TOKENIZER, longest_sequence(checkpoint))
    (folder / LATEST).write_text(str(checkpoint.step), encoding="ascii")


class _OneMoment(TensorSource):
    """One kind of the moments, under the parameters' names."""

    def __init__(self, moments: TensorSource, kind: str) -> None:
        self._moments, self._suffix = moments, f".{kind}"

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes."""
        return {
            name.removesuffix(self._suffix): value
            for name, value in self._moments.described().items()
            if name.endswith(self._suffix)
        }

    def read(self, name: str) -> Tensor:
        """Return the moment of one parameter."""
        return self._moments.read(name + self._suffix)


class _Planner(DefaultSavePlanner):
    """Plans pieces from their descriptions and asks for the values one by one, when they are written."""

    def __init__(self, items: list[WriteItem], read: Callable[[MetadataIndex], Tensor | io.BytesIO]) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self._items, self._read = items, read

    def create_local_plan(self) -> SavePlan:
        """Return the plan of the one process."""
        self.plan = SavePlan(self._items)
        return self.plan

    def resolve_data(self, write_item: WriteItem) -> Tensor | io.BytesIO:
        """Return what to write next."""
        return self._read(write_item.index)


def _write_tensors(checkpoint: Checkpoint, target: Path, rows: int, dtype: torch.dtype) -> None:
    model = checkpoint.model
    table = megatron_core_table(model, rows)
    sources = {"": AsForeign(table, RoundedTensors(checkpoint.weights, dtype))}
    if checkpoint.moments is not None:
        sources |= {
            f"optimizer.state.{kind}.": AsForeign(table, _OneMoment(checkpoint.moments, kind))
            for kind in MOMENTS
        }
    reads: dict[MetadataIndex, tuple[TensorSource, str, bool]] = {}
    items = []
    for prefix, source in sources.items():
        for name, value in source.described().items():
            item = _piece(prefix, name, value, model)
            items.append(item)
            reads[item.index] = (source, name, item.index.index is not None)
    items += [WriteItem(MetadataIndex(name), WriteItemType.BYTE_IO) for name in _object_names(model)]

    def read(index: MetadataIndex) -> Tensor | io.BytesIO:
        if index not in reads:
            return _no_state()
        source, name, is_layer = reads[index]
        tensor = source.read(name)
        return tensor[None] if is_layer else tensor

    write_planned(target, _Planner(items, read), {})


def _piece(prefix: str, name: str, value: Tensor, model: ModelConfig) -> WriteItem:
    """Return the plan of one tensor: a layer's is a piece of the tensor of all layers."""
    stack = f"{STACKS[model.architecture]}.layers."
    shape: tuple[int, ...] = tuple(value.shape)
    offset: tuple[int, ...] = (0,) * len(shape)
    size, index = shape, None
    if name.startswith(stack):
        number, _, rest = name.removeprefix(stack).partition(".")
        name, index = stack + rest, int(number)
        offset, size, shape = (index, *offset), (1, *shape), (model.num_layers, *shape)
    chunk = ChunkStorageMetadata(torch.Size(offset), torch.Size(size))
    properties = TensorProperties(dtype=value.dtype)
    return WriteItem(
        MetadataIndex(prefix + name, torch.Size(offset), index),
        WriteItemType.SHARD,
        tensor_data=TensorWriteData(chunk, properties, torch.Size(shape)),
    )


def _object_names(model: ModelConfig) -> Iterator[str]:
    """Yield the names under which layers keep state that is no tensor; ours have none, but loaders ask for them."""
    stack, layers = STACKS[model.architecture], model.num_layers
    for module in (*_STATEFUL, *_STATEFUL_MLP):
        for layer in range(layers):
            yield f"{stack}.layers.{module}._extra_state/shard_{layer}_{layers}"
    yield f"{stack}.final_layernorm._extra_state/shard_0_1"
    if model.architecture == "bert":
        yield "output_layer._extra_state/shard_0_1"


def _no_state() -> io.BytesIO:
    content = io.BytesIO()
    torch.save([None], content)
    return content
