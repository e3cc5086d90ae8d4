"""What a BERT dataset computes once, kept on disk: built once per node, mapped by every rank and every later run.

    FOLDER/.lock                   held (flock) while something is built; the system frees it with its holder
    FOLDER/.KEY.HOST.PROCESS.tmp   being written, or left by a dead process
    FOLDER/KEY/manifest.json       written last; key, counts, and size and SHA-256 of each array
    FOLDER/KEY/lengths.npy, ...    the arrays of `BertSamples`

KEY covers the content of the token data, the documents of the part and every option that the samples depend on, so that
a cache can be moved, shared or deleted at any time and never be taken for another.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.bert_samples import BertCounts, BertSamples
from megatron_bio.data.sources import TokenSource

FORMAT = 3
"""Raise it whenever other samples come out of the same input."""
MANIFEST = "manifest.json"
LOCK = ".lock"
_ARRAYS = MappingProxyType(
    {
        "first_sequence": "<i8",
        "first_offset": "<i4",
        "lengths": "<i4",
        "sequences": "<i4",
        "first_sample": "<i8",
    }
)
_PATIENCE = 2.0
"""Seconds of waiting before it is said."""
_CHUNK = 1 << 20


class DamagedCacheError(Exception):
    """A cache is not what its key or its manifest says; it is built again."""


@dataclass(frozen=True)
class Cached:
    """Samples and where they come from."""

    samples: BertSamples
    origin: str
    """In words, for the report: "read from FOLDER/KEY", "built in 3.1 s, kept in ...", "built in memory: ..."."""


def cache_key(
    fingerprint: str, documents: NDArray[np.int64], options: Mapping[str, int | float | bool]
) -> str:
    """Return the name of the cache of `documents` of the token data with this content fingerprint."""
    digest = hashlib.sha256(np.ascontiguousarray(documents, dtype="<i8").data)
    content = [FORMAT, fingerprint, digest.hexdigest(), sorted(options.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40]


def cached_samples(
    folder: Path, key: str, source: TokenSource, build: Callable[[], BertSamples], *, write: bool = True
) -> Cached:
    """Return the samples under `key` in `folder`; where they are missing or damaged, build them and, with `write`, keep them.

    A folder that cannot be written costs the next run the same work and is no error: `origin` says why.
    """
    place = folder / key
    samples, notice = _read_if_sound(place, source)
    if samples is not None:
        return Cached(samples, f"read from {place}")
    if not write:
        return Cached(build(), "built in memory")
    try:
        with _locked(folder):
            return _build_and_keep(place, source, build, notice)
    except _NotKeptError as reason:
        return Cached(reason.samples or build(), f"{notice}built in memory, as it cannot be kept: {reason}")


class _NotKeptError(Exception):
    """The disk refused; the samples may be there all the same."""

    def __init__(self, message: str, samples: BertSamples | None = None) -> None:
        super().__init__(message)
        self.samples = samples


def _build_and_keep(
    place: Path, source: TokenSource, build: Callable[[], BertSamples], notice: str
) -> Cached:
    """Under the lock: take what another process has built meanwhile, or build it."""
    samples, notice = _read_if_sound(place, source)
    if samples is not None:
        return Cached(samples, f"read from {place}")
    begin = time.monotonic()
    built = build()
    seconds = time.monotonic() - begin
    try:
        _write(place, built)
    except OSError as error:
        raise _NotKeptError(f"{place.parent}: {error.strerror or error}", built) from error
    kept, _ = _read_if_sound(place, source)
    if kept is None:
        raise _NotKeptError(f"{place}: what was written cannot be read back", built)
    return Cached(kept, f"{notice}built in {seconds:.1f} s, kept in {place}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder, and remove what dead processes of this machine left in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _NotKeptError(f"{folder}: {error.strerror}") from error
    try:
        try:
            _wait_for(descriptor, folder)
            _remove_leftovers(folder)
        except OSError as error:
            raise _NotKeptError(f"{folder}: {error.strerror}") from error
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, folder: Path) -> None:
    patience = time.monotonic() + _PATIENCE
    while time.monotonic() < patience:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return
    print(f"Waiting for another process that builds the index in {folder}.", file=sys.stderr, flush=True)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _remove_leftovers(folder: Path) -> None:
    # Names carry the machine: on file systems that lock per machine another one may be writing now.
    for left in folder.glob(f".*.{_host()}.*.tmp"):
        _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _host() -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())


def _write(place: Path, samples: BertSamples) -> None:
    """Write all files under a temporary name, sync them and rename the folder; raises OSError and leaves nothing."""
    temporary = place.with_name(f".{place.name}.{_host()}.{os.getpid()}.tmp")
    aside = place.with_name(f".{place.name}.{_host()}.{os.getpid()}.old.tmp")
    try:
        temporary.mkdir()
        arrays = {
            name: _write_array(temporary / f"{name}.npy", getattr(samples, name), dtype)
            for name, dtype in _ARRAYS.items()
        }
        content = {"format": FORMAT, "key": place.name, "arrays": arrays, "counts": asdict(samples.counts)}
        with (temporary / MANIFEST).open("wb") as file:
            file.write(json.dumps(content, indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        _sync(temporary)
        if place.exists():  # a damaged one; ranks that have mapped it keep what they see
            place.rename(aside)
        temporary.rename(place)
        _sync(place.parent)
    finally:
        with suppress(OSError):  # the next holder of the lock removes what stays
            _remove(temporary)
            _remove(aside)


def _write_array(path: Path, array: NDArray[Any], dtype: str) -> dict[str, int | str]:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in _bytes_of(array, dtype):
            digest.update(part)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return {"length": len(array), "bytes": size, "sha256": digest.hexdigest()}


def _bytes_of(array: NDArray[Any], dtype: str) -> Iterator[bytes | memoryview]:
    yield _header(len(array), dtype)
    for start in range(0, len(array), _CHUNK):
        yield np.ascontiguousarray(array[start : start + _CHUNK], dtype=dtype).data.cast("B")


def _header(length: int, dtype: str) -> bytes:
    """Return how NumPy begins an .npy file of a vector."""
    header = io.BytesIO()
    content = {"descr": dtype, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(header, content)
    return header.getvalue()


def _sync(folder: Path) -> None:
    # Without this a power cut can undo a rename although the content is on disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_if_sound(place: Path, source: TokenSource) -> tuple[BertSamples | None, str]:
    """Return the samples and "", or None and what to say about a damaged cache ("" where there is none)."""
    try:
        if not place.exists():
            return None, ""
        return _read(place, source), ""
    except (
        DamagedCacheError,
        OSError,
        ValueError,
        RecursionError,
    ) as error:  # the last: JSON nested too deeply
        return None, f"{place} was damaged ({error}); "


def _read(place: Path, source: TokenSource) -> BertSamples:
    """Map the arrays after comparing sizes, types and checksums with the manifest, and values with the bounds of `source`."""
    content = json.loads((place / MANIFEST).read_bytes())
    if not isinstance(content, dict) or (content.get("format"), content.get("key")) != (FORMAT, place.name):
        raise DamagedCacheError(f"{MANIFEST} is of another cache")
    listed, counts = content.get("arrays"), content.get("counts")
    names = {field.name for field in fields(BertCounts)}
    if not (isinstance(listed, dict) and set(listed) == set(_ARRAYS) and isinstance(counts, dict)):
        raise DamagedCacheError(f"{MANIFEST} lists other arrays")
    if set(counts) != names or not all(type(value) is int for value in counts.values()):
        raise DamagedCacheError(f"{MANIFEST} has other counts")
    arrays = {name: _map_array(place / f"{name}.npy", listed[name], dtype) for name, dtype in _ARRAYS.items()}
    samples = BertSamples(**arrays, counts=BertCounts(**counts))
    _check_bounds(samples, source)
    return samples


def _map_array(path: Path, listed: object, dtype: str) -> NDArray[Any]:
    length = listed.get("length") if isinstance(listed, dict) else None
    if not isinstance(listed, dict) or type(length) is not int or length < 0:
        raise DamagedCacheError(f"{MANIFEST} says nothing of {path.name}")
    header, size = _header(length, dtype), path.stat().st_size
    expected = len(header) + length * np.dtype(dtype).itemsize
    if not size == listed.get("bytes") == expected:
        raise DamagedCacheError(f"{path.name}: {size} of {expected} bytes")
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            raise DamagedCacheError(f"{path.name}: no array of {length} numbers {dtype}")
    if not length:  # nothing cannot be mapped
        return np.empty(0, dtype=dtype)
    array = np.asarray(np.memmap(path, dtype, "r", offset=len(header), shape=(length,)))
    digest = hashlib.sha256()
    for part in _bytes_of(array, dtype):
        digest.update(part)
    if digest.hexdigest() != listed.get("sha256"):
        raise DamagedCacheError(f"{path.name}: another checksum")
    return array


def _check_bounds(samples: BertSamples, source: TokenSource) -> None:
    """Compare what the arrays point at with each other and with the source, from their smallest and largest values."""
    count, sentences = len(samples.lengths), len(source.sequence_lengths)
    sizes = {len(getattr(samples, name)) for name in _ARRAYS if name != "first_sample"}
    firsts = samples.first_sample
    if sizes != {count} or (samples.counts.samples, samples.counts.rows) != (count, samples.rows):
        raise DamagedCacheError("arrays of unequal lengths")
    if samples.rows < 0 or firsts[0] != 0 or firsts[-1] != count or (np.diff(firsts) < 1).any():
        raise DamagedCacheError("rows that are not consecutive samples")
    counts = samples.counts
    counted = int(samples.lengths.sum(dtype=np.int64)), int(np.count_nonzero(samples.sequences == 1))
    if (counts.tokens, counts.single_sentence_samples) != counted or min(asdict(counts).values()) < 0:
        raise DamagedCacheError(f"{MANIFEST} has counts of other samples")
    if not count:
        return
    ends = samples.first_sequence + samples.sequences
    if (
        min(samples.first_sequence.min(), samples.first_offset.min()) < 0
        or min(samples.lengths.min(), samples.sequences.min()) < 1
        or samples.first_sequence.max() >= sentences
        or ends.max() > sentences
    ):
        raise DamagedCacheError(f"samples outside of the {sentences} sequences")
