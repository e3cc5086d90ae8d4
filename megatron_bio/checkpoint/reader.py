"""Reading torch's distributed checkpoints without trusting them.

`.metadata` is a pickle. It may name only the classes below, which hold sizes and file names; anything else is refused
before it is called.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from megatron_bio.checkpoint.manifest import CheckpointError

_ALLOWED = {
    "torch": {"Size", "device"},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo", "_StoragePrefix"},
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "collections": {"OrderedDict"},
    "pathlib": {"Path", "PosixPath"},
}
_ALLOWED_DTYPES = {
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
}


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, others: Mapping[tuple[str, str], type]) -> None:
        super().__init__(file)
        self._others = others

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._others:
            return self._others[module, name]
        if name in _ALLOWED.get(module, ()) or (module == "torch" and name in _ALLOWED_DTYPES):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no checkpoint needs")


def read_index(path: Path, others: Mapping[tuple[str, str], type] | None = None) -> Metadata:
    """Read a `.metadata`; `others` are further names that it may have, with the class that stands for each.

    Raises `CheckpointError` for anything that is not an index.
    """
    try:
        with path.open("rb") as file:
            metadata = _RestrictedUnpickler(file, others or {}).load()
    except (
        OSError,
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        MemoryError,
        OverflowError,
        RecursionError,
    ) as error:
        raise CheckpointError(
            f"{path}: expected the index of a checkpoint; refused: {error}. The file is damaged or was made to harm; "
            f"use another checkpoint."
        ) from error
    if not isinstance(metadata, Metadata):
        raise CheckpointError(f"{path}: expected the index of a checkpoint, found {type(metadata).__name__}.")
    return metadata


class RestrictedReader(FileSystemReader):
    """FileSystemReader whose `.metadata` can build nothing but descriptions of tensors."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Read `.metadata`; raise `CheckpointError` for anything that is not one."""
        path = self.folder / ".metadata"
        metadata = read_index(path)
        for name, entry in metadata.state_dict_metadata.items():
            if not isinstance(entry, TensorStorageMetadata):
                raise CheckpointError(
                    f"{path}: entry {name} is no tensor; our checkpoints hold nothing else. Refused."
                )
        if metadata.storage_meta is not None:
            metadata.storage_meta.load_id = self.load_id
        return metadata
