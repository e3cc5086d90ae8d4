"""Checkpoints read and written tensor by tensor: by one process, without a process group, with one tensor in memory."""

import io
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint import DefaultSavePlanner, FileSystemWriter
from torch.distributed.checkpoint.filesystem import DEFAULT_SUFFIX, _StorageInfo
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, Metadata, MetadataIndex
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.checkpoint.utils import _create_file_view
from torch.futures import Future

from megatron_bio.checkpoint.find import step_folder
from megatron_bio.checkpoint.manifest import CheckpointError, file_entry, read_manifest, verify
from megatron_bio.checkpoint.reader import RestrictedReader
from megatron_bio.checkpoint.save import finish_checkpoint


class StoredTensors:
    """The tensors of a checkpoint whose names begin with `prefix`, under the rest of their names.

    The files are compared with the manifest before the first tensor is read. Raises `CheckpointError` for a damaged one.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder, self._prefix = folder, prefix
        self._verified = False

    def described(self) -> dict[str, Tensor]:
        """Shapes and dtypes, on the meta device."""
        return {
            name.removeprefix(self._prefix): torch.empty(
                entry.size, dtype=entry.properties.dtype, device="meta"
            )
            for name, entry in self._metadata.state_dict_metadata.items()
            if name.startswith(self._prefix)
        }

    def read(self, name: str) -> Tensor:
        """Return one tensor, joined from the pieces in which it was saved."""
        self._require_whole_files()
        stored = self._prefix + name
        entry = self._metadata.state_dict_metadata.get(stored)
        if entry is None:
            raise CheckpointError(
                f"{self._folder}: expected a tensor {stored}, which is not in it; it belongs to another model."
            )
        if len(entry.chunks) == 1:
            return self._piece(stored, entry.chunks[0])
        result = torch.empty(entry.size, dtype=entry.properties.dtype)
        for chunk in entry.chunks:
            place = tuple(
                slice(start, start + length) for start, length in zip(chunk.offsets, chunk.sizes, strict=True)
            )
            result[place] = self._piece(stored, chunk)
        return result

    def _piece(self, stored: str, chunk: ChunkStorageMetadata) -> Tensor:
        place = self._metadata.storage_data[MetadataIndex(stored, chunk.offsets)]
        if place.relative_path not in read_manifest(self._folder):
            raise CheckpointError(
                f"{self._folder}: {stored} is in {place.relative_path}, which the manifest does not name."
            )
        with (self._folder / place.relative_path).open("rb") as stream:
            part = _create_file_view(stream, place.offset, place.length)
            piece: Tensor = torch.load(part, map_location="cpu", weights_only=True)
        if piece.shape != chunk.sizes:
            raise CheckpointError(
                f"{self._folder}: a piece of {stored} has shape {list(piece.shape)}, expected {list(chunk.sizes)}."
            )
        return piece

    @cached_property
    def _metadata(self) -> Metadata:
        return RestrictedReader(self._folder).read_metadata()

    def _require_whole_files(self) -> None:
        if self._verified:
            return
        if problems := verify(self._folder):
            raise CheckpointError(f"{self._folder}: the checkpoint is damaged: {'; '.join(problems)}.")
        self._verified = True


class _ReadWhenWritten(DefaultSavePlanner):
    """Plans with descriptions on the meta device and asks for the values one by one."""

    def __init__(self, read: Callable[[str], Tensor]) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self._read = read

    def resolve_data(self, write_item: WriteItem) -> Tensor:
        """Return the tensor to write next."""
        return self._read(write_item.index.fqn)


class _OneByOneWriter(FileSystemWriter):
    """Forgets each tensor when it is written; torch's own keeps all tensors of a file until the file is complete."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write one file in torch's format: what torch.save makes of each tensor, one after the other."""
        name = f"__0_0{DEFAULT_SUFFIX}"
        results = []
        with (Path(self.path) / name).open("wb") as stream:
            for item in plan.items:
                start = stream.tell()
                data = planner.resolve_data(item)
                if isinstance(data, io.BytesIO):
                    stream.write(data.getbuffer())
                else:
                    torch.save(data, stream)
                length = stream.tell() - start
                results.append(
                    WriteResult(
                        index=item.index,
                        size_in_bytes=length,
                        storage_data=_StorageInfo(name, start, length),
                    )
                )
        done: Future[list[WriteResult]] = Future()
        done.set_result(results)
        return done


def write_stream(
    root: Path,
    step: int,
    described: Mapping[str, Tensor],
    read: Callable[[str], Tensor],
    info: dict[str, object],
) -> Path:
    """Write `root/step-…` as `save_checkpoint` does, from tensors that are read when they are written.

    `described` has each tensor's shape and dtype on the meta device; `read` returns it. Returns the checkpoint's folder.
    """
    final = root / step_folder(step)
    partial = root / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_planned(partial, _ReadWhenWritten(read), described)
    entries = {path.name: file_entry(path) for path in partial.glob("*.distcp")}
    finish_checkpoint(partial, final, info, entries)
    return final


def write_planned(folder: Path, planner: DefaultSavePlanner, described: Mapping[str, Tensor]) -> None:
    """Write `__0_N.distcp` and `.metadata` by one process, without a process group, as `planner` plans them."""
    writer = _OneByOneWriter(folder)
    writer.reset()
    planner.set_up_planner(dict(described), writer.storage_meta(), is_coordinator=True)
    writer.set_up_storage_writer(True)
    local = writer.prepare_local_plan(planner.create_local_plan())
    plans, metadata = planner.create_global_plan([local])
    (plan,) = writer.prepare_global_plan(plans)
    results = writer.write_data(planner.finish_plan(plan), planner).wait()
    writer.finish(metadata, [results])
