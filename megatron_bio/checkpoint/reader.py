"""Reading torch's distributed checkpoints without trusting them.

`.metadata` is a pickle. It may name only the classes below, which hold sizes and file names; anything else is refused
before it is called.
"""

import pickle
from pathlib import Path
from typing import Any

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
    def find_class(self, module: str, name: str) -> Any:
        if name in _ALLOWED.get(module, ()) or (module == "torch" and name in _ALLOWED_DTYPES):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no checkpoint needs")


class RestrictedReader(FileSystemReader):
    """FileSystemReader whose `.metadata` can build nothing but descriptions of tensors."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Read `.metadata`; raise `CheckpointError` for anything that is not one."""
        path = self.folder / ".metadata"
        try:
            with path.open("rb") as file:
                metadata = _RestrictedUnpickler(file).load()
        except (
            OSError,
            pickle.UnpicklingError,
            EOFError,
            AttributeError,
            TypeError,
            ValueError,
            IndexError,
        ) as error:
            raise CheckpointError(
                f"{path}: expected the index of a checkpoint; refused: {error}. The file is damaged or was made to harm; "
                f"use another checkpoint."
            ) from error
        if not isinstance(metadata, Metadata):
            raise CheckpointError(
                f"{path}: expected the index of a checkpoint, found {type(metadata).__name__}."
            )
        for name, entry in metadata.state_dict_metadata.items():
            if not isinstance(entry, TensorStorageMetadata):
                raise CheckpointError(
                    f"{path}: entry {name} is no tensor; our checkpoints hold nothing else. Refused."
                )
        if metadata.storage_meta is not None:
            metadata.storage_meta.load_id = self.load_id
        return metadata
