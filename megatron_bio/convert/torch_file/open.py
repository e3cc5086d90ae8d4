"""A file of torch.save as a structure in which every tensor can be read by itself.

Formats: `torch/serialization.py`, since 1.6 a zip file (`_save`), before that pickles followed by the storages
(`_legacy_save`). Both are read as `torch.load` reads them, little-endian where they do not say.
"""

import zlib
from pathlib import Path
from typing import Any

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file.names import Names
from megatron_bio.convert.torch_file.pickle_machine import PickleMachine
from megatron_bio.convert.torch_file.refusal import Budget, Refused, shown
from megatron_bio.convert.torch_file.region import FileRegion, Stream
from megatron_bio.convert.torch_file.structure import check_structure
from megatron_bio.convert.torch_file.tensors import Storage, StorageView
from megatron_bio.convert.torch_file.values import StorageType
from megatron_bio.convert.torch_file.zip_directory import MAGIC, ZipEntry, read_zip_directory

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_MOST_MEMORY = 1 << 29
_LARGEST_NOTE = 64


def is_torch_file(path: Path) -> bool:
    """Whether the first bytes are those of a file of torch.save; nothing more is read."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return start.startswith(MAGIC) or start[2:].startswith(b"\x8a\x0a" + _LEGACY_MAGIC.to_bytes(10, "little"))


def open_torch_file(source: Path | FileRegion) -> Any:
    """Return what was saved: dicts, lists, numbers, text, argparse.Namespace, and for each tensor a `LazyTensor`.

    Also in it: numpy arrays, torch.dtype and torch.device; tuples for torch.Size, dicts for defaultdict; a `Placeholder` for
    each object of a class of Megatron, Apex, NeMo, OmegaConf or Lightning; a `Reference` for a class. A `FileRegion` is a
    file within a file, such as the member of a tar. Raises `ConvertError` for everything else, and calls nothing of it.
    """
    region = FileRegion.of_file(source) if isinstance(source, Path) else source
    start = region.read(0, min(region.size, 512))
    if start.startswith(MAGIC):
        return _open_zip(region)
    if start[257:262] == b"ustar":
        raise ConvertError(
            f"{region.name}: expected a file of torch.save, found a tar archive. One of torch before 0.1.10 must be loaded and "
            f"saved again with a newer torch; a .nemo archive is opened with --from nemo."
        )
    return _open_legacy(region)


def _open_zip(region: FileRegion) -> Any:
    entries = read_zip_directory(region)
    if "constants.pkl" in entries:
        raise ConvertError(
            f"{region.name}: expected tensors, found a TorchScript program, which holds code. Save the state_dict() of the model "
            f"with torch.save."
        )
    if "data.pkl" not in entries:
        raise ConvertError(
            f"{region.name}: expected a file of torch.save, found a zip file without data.pkl: {', '.join(list(entries)[:5])}."
        )
    big_endian = _byte_order(region, entries) == b"big"
    storages: dict[str, Storage] = {}

    def storage(kind: StorageType, key: str, size: int) -> StorageView:
        entry = entries.get(f"data/{key}")
        if entry is None or entry.size != size:
            found = "is not in the file" if entry is None else f"has {entry.size:,} bytes"
            raise Refused(f"storage {key[:80]!r} should have {size:,} bytes, but {found}")
        if key not in storages:
            storages[key] = Storage(size, (region, entry.start), big_endian)
        return StorageView(storages[key], kind.dtype, 0, size)

    def persistent(identifier: Any) -> StorageView:
        kind, key, size, rest = _storage_identifier(identifier)
        if rest:
            raise Refused("a storage has something else than a kind, a key, a place and a size")
        return storage(kind, key, size)

    pickled = region.part(entries["data.pkl"].start, entries["data.pkl"].size, "data.pkl")
    _check_sum(pickled, entries["data.pkl"].checksum)
    budget = Budget(_MOST_MEMORY)
    machine = PickleMachine(Stream(pickled), Names(budget), persistent, budget)
    return _checked(pickled, machine.load())


def _byte_order(region: FileRegion, entries: dict[str, ZipEntry]) -> bytes:
    entry = entries.get("byteorder")
    if entry is None:
        return b"little"
    order = region.read(entry.start, min(entry.size, _LARGEST_NOTE))
    if order not in (b"little", b"big"):
        raise ConvertError(
            f"{region.name}: expected little or big in its entry byteorder, found {order!r}. The file is damaged; compare its "
            f"checksum with the original."
        )
    return order


def _check_sum(pickled: FileRegion, expected: int) -> None:
    """Compare the CRC of the pickle; programs that write none leave a zero."""
    checksum = 0
    stream = Stream(pickled)
    while left := pickled.size - stream.position:
        checksum = zlib.crc32(stream.read(min(left, 1 << 16)), checksum)
    if expected and checksum != expected:
        raise ConvertError(
            f"{pickled.name}: expected the checksum {expected:08x}, found {checksum:08x}. The file is damaged; copy it again."
        )


def _open_legacy(region: FileRegion) -> Any:
    budget = Budget(_MOST_MEMORY)
    stream = Stream(region)
    storages: dict[str, tuple[Storage, int]] = {}

    def persistent(identifier: Any) -> StorageView:
        kind, key, size, rest = _storage_identifier(identifier)
        width = kind.dtype.itemsize
        whole, first_width = storages.setdefault(key, (Storage(size), width))
        if whole.size != size or first_width != width:
            raise Refused(
                f"storage {key[:80]!r} has {whole.size:,} bytes in one place and {size:,} in another"
            )
        view = StorageView(whole, kind.dtype, 0, size)
        return view if rest in ((), (None,)) else _legacy_view(view, rest)

    machine = PickleMachine(stream, Names(budget), persistent, budget)
    if region.size == 0 or stream.region.read(0, 1) != b"\x80" or machine.load() != _LEGACY_MAGIC:
        raise ConvertError(
            f"{region.name}: expected a file of torch.save (a zip file, or pickles that begin with torch's magic number), found "
            f"something else. Is it the right file? One of TensorFlow or safetensors is another format."
        )
    version, _ = machine.load(), machine.load()
    if version != _LEGACY_VERSION:
        raise ConvertError(
            f"{region.name}: expected version {_LEGACY_VERSION} of the legacy format, found {shown(version)}. Load the file with "
            f"torch and save it again."
        )
    value = machine.load()
    _place_storages(stream, machine.load(), storages)
    return _checked(region, value)


def _legacy_view(view: StorageView, rest: tuple[Any, ...]) -> StorageView:
    fields = rest[0] if len(rest) == 1 else None
    width = view.dtype.itemsize
    if (
        type(fields) is not tuple
        or len(fields) != 3
        or any(type(field) is not int or field < 0 for field in fields[1:])
    ):
        raise Refused("a storage is part of another one in an unknown way")
    _, offset, size = fields
    if (offset + size) * width > view.size:
        raise Refused(
            f"a storage is part of another one of {view.size:,} bytes, but goes on to {(offset + size) * width:,}"
        )
    return StorageView(view.whole, view.dtype, offset * width, size * width)


def _place_storages(stream: Stream, keys: Any, storages: dict[str, tuple[Storage, int]]) -> None:
    """Find the storages that follow the pickles: for each key the number of elements and their bytes."""
    region = stream.region
    if (
        type(keys) is not list
        or not all(type(key) is str for key in keys)
        or sorted(storages) != sorted(keys)
    ):
        raise ConvertError(
            f"{region.name}: expected after the pickles the {len(storages):,} storages that they name, found another list. "
            f"The file is damaged; compare its checksum with the original."
        )
    for key in keys:
        storage, width = storages[key]
        elements = int.from_bytes(stream.read(8), "little", signed=True)
        if elements * width != storage.size:
            raise ConvertError(
                f"{region.name}: expected {storage.size:,} bytes for storage {key[:80]!r} at byte {stream.position:,}, found "
                f"{elements:,} elements of {width}. The file is damaged; compare its checksum with the original."
            )
        if storage.size > region.size - stream.position:
            raise region.truncated(
                f"storage {key[:80]!r} has {storage.size:,} bytes from byte {stream.position:,} on"
            )
        storage.place = (region, stream.position)
        stream.skip(storage.size)


def _storage_identifier(identifier: Any) -> tuple[StorageType, str, int, tuple[Any, ...]]:
    """Return class, key, bytes and what follows of a persistent id: ("storage", class, key, place, elements, ...)."""
    if type(identifier) is not tuple or len(identifier) < 5 or shown(identifier[0]) != "'storage'":
        raise Refused("it refers to something outside that is no storage, such as the code of a module")
    _, kind, key, place, elements, *rest = identifier
    if not isinstance(kind, StorageType) or type(key) is not str or type(place) is not str:
        raise Refused("a storage has no class, key and place")
    if type(elements) is not int or not 0 <= elements < 1 << 60:
        raise Refused(f"a storage has {shown(elements)} elements")
    return kind, key, elements * kind.dtype.itemsize, tuple(rest)


def _checked(region: FileRegion, value: Any) -> Any:
    try:
        check_structure(value)
    except Refused as error:
        raise ConvertError(
            f"{region.name}: the pickle in it is refused: {error}. No checkpoint is like that; the file is damaged or was made to "
            f"harm."
        ) from error
    return value
