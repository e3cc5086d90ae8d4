"""A folder of transformers as a `Checkpoint`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import our_shapes, require_shapes
from megatron_bio.convert.folder import MARKER
from megatron_bio.convert.hugging_face.configuration import model_type, notes, our_config
from megatron_bio.convert.hugging_face.files import WEIGHT_FILES, read_json, stored_tensors, weight_files
from megatron_bio.convert.hugging_face.names import NamedTensors, WithoutRows
from megatron_bio.convert.hugging_face.tables import hugging_face_table
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.convert.table import AsOurs, Table, foreign_shapes

CONFIG = "config.json"
MOST_ROWS_WITHOUT_TOKEN = 1024
"""A table may be padded to a multiple of 128 times the tensor-parallel size; more is another tokenizer."""
_TELLING = ("model_type", "hidden_size", "n_embd")
_POOLER = ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
_CLASSIFIER = "cls.seq_relationship.weight"
_MASKED_LM = ("masked_lm_head.",)
_VOCABULARIES = {"tokenizer.json", "vocab.txt", "vocab.json"}


def recognises(path: Path) -> bool:
    """Whether it is a folder with transformers' config.json and files of weights."""
    if not (path / CONFIG).is_file() or not any((path / name).is_file() for name in WEIGHT_FILES):
        return False
    try:
        content = read_json(path / CONFIG)
    except ConvertError:
        return True  # so that opening it says what is wrong
    return any(key in content for key in _TELLING)


def open_checkpoint(path: Path, vocab_size: int | None) -> Checkpoint:
    """Open a folder; rows of the vocabulary beyond `vocab_size` tokens are padding and left out.

    A masked-LM head that the files do not have is missing from `weights` and named in the facts.
    """
    content = read_json(path / CONFIG)
    prefix = "transformer" if model_type(content) == "gpt2" else "bert"
    tensors: TensorSource = NamedTensors(stored_tensors(path), prefix, str(path))
    found = tensors.described()
    has_order_head = _CLASSIFIER in found
    model = our_config(path / CONFIG, content, order_head=has_order_head or prefix == "transformer")
    rows = model.vocab_size
    assert rows is not None, "the configuration has a default"
    table, absent = _table(model, found)
    dropped = _unused(found, has_order_head)
    found = {name: value for name, value in found.items() if name not in dropped}
    expected = foreign_shapes(table, our_shapes(model))
    require_shapes(path, expected, {name: tuple(value.shape) for name, value in found.items()})
    if vocab_size is not None and 0 < rows - vocab_size < MOST_ROWS_WITHOUT_TOKEN:
        model = replace(model, vocab_size=vocab_size)
        tensors = WithoutRows(tensors, vocab_size)
        table, absent = _table(model, found)
    _require_floats(path, found)
    exported = read_json(path / MARKER) if (path / MARKER).is_file() else {}
    return Checkpoint(
        format="hugging_face",
        path=path,
        model=model,
        weights=AsOurs(table, tensors),
        step=exported["step"] if isinstance(exported.get("step"), int) else 0,
        tokenizer=path if _VOCABULARIES & {entry.name for entry in path.iterdir()} else None,
        training=_training(exported),
        facts={
            "version": content.get("transformers_version"),
            "class": content.get("architectures"),
            "files": [file.name for file in weight_files(path)],
            "order_of_query_key_value": "query, key, value",
            "vocabulary_rows": rows,
            "missing": absent,
            "left_out": dropped,
            "notes": notes(content),
        },
    )


def _table(model: ModelConfig, found: Mapping[str, Tensor]) -> tuple[Table, list[str]]:
    """Return the table without the masked-LM head if the files have nothing of it, and what is so left out."""
    table = hugging_face_table(model)
    head = [item for item in table if item.ours.startswith(_MASKED_LM)]
    if any(name in found for item in head for name in item.foreign):
        return table, []
    return tuple(item for item in table if item not in head), [item.ours for item in head]


def _unused(found: Mapping[str, Tensor], has_order_head: bool) -> list[str]:
    """Return the tensors of a pooler that no head reads."""
    return [] if has_order_head else [name for name in _POOLER if name in found]


def _require_floats(path: Path, found: Mapping[str, Tensor]) -> None:
    for name, value in found.items():
        if not value.dtype.is_floating_point:
            raise ConvertError(
                f"{path}: {name} is stored as {value.dtype}, expected floating-point numbers. Quantised weights cannot be "
                f"converted; get the original ones."
            )


def _training(exported: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an export of this library tells about the training."""
    known = ("samples", "tokens", "tokenizer_fingerprint", "config")
    return {name: exported[name] for name in known if exported.get(name) is not None}
