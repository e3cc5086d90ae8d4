"""Tar archives, plain or compressed with gzip, whose members are read where they lie."""

import dataclasses
import gzip
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.tar_directory import BLOCK, read_tar_directory
from megatron_bio.convert.torch_file.region import FileRegion

_LARGEST_EXPANSION = 100
"""Weights hardly shrink. What grows more when it is unpacked was made to fill the disk."""
_FREE_EXPANSION = 1 << 28
_GZIP = b"\x1f\x8b"


class Archive:
    """The members of an archive by name, such as `model_weights.ckpt`.

    A compressed archive is unpacked to one temporary file, as is what `extracted` asks for. They belong to this object and go
    when nothing refers to it, or at the end of the program. TMPDIR says where they are.
    """

    def __init__(self, path: Path) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        region = FileRegion.of_file(path)
        if region.read(0, min(2, region.size)) == _GZIP:
            region = self._unpacked(region)
        self.path = path
        self.members: Mapping[str, FileRegion] = read_tar_directory(region)

    def read(self, name: str, most: int) -> bytes:
        """Return a small member; raises `ConvertError` if there is none or it has more than `most` bytes."""
        member = self.member(name)
        if member.size > most:
            raise ConvertError(f"{member.name}: expected at most {most:,} bytes, found {member.size:,}.")
        return member.read(0, member.size)

    def member(self, name: str) -> FileRegion:
        """Return a member; raises `ConvertError` if there is none."""
        if name not in self.members:
            raise ConvertError(
                f"{self.path}: expected a member {name}, found {', '.join(sorted(self.members)[:20])}."
            )
        return self.members[name]

    def extracted(self, name: str) -> Path:
        """Return a copy of a member in the temporary folder, under the last part of its name."""
        member = self.member(name)
        folder = self._temporary_folder() / f"member-{sorted(self.members).index(name)}"
        try:
            folder.mkdir()
        except FileExistsError:
            return folder / PurePosixPath(name).name
        target = folder / PurePosixPath(name).name
        with _disk_errors(target), target.open("xb") as file:
            for start in range(0, member.size, 1 << 20):
                file.write(member.read(start, min(1 << 20, member.size - start)))
        return target

    def _temporary_folder(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="megatron-bio-", ignore_cleanup_errors=True)
        return Path(self._folder.name)

    def _unpacked(self, region: FileRegion) -> FileRegion:
        most = _FREE_EXPANSION + _LARGEST_EXPANSION * region.size
        target = self._temporary_folder() / "archive.tar"
        size = 0
        try:
            with _disk_errors(target), region.path.open("rb") as packed, target.open("xb") as unpacked:
                for chunk in _chunks(region, gzip.GzipFile(fileobj=packed)):
                    size += len(chunk)
                    if size > most:
                        raise ConvertError(
                            f"{region.name}: its {region.size:,} bytes unpack to more than {most:,}. No archive of weights shrinks "
                            f"like that; it was made to fill the disk."
                        )
                    unpacked.write(chunk)
            return dataclasses.replace(FileRegion.of_file(target), name=region.name)
        except ConvertError:
            target.unlink(missing_ok=True)
            raise


def _chunks(region: FileRegion, unpacked: gzip.GzipFile) -> Iterator[bytes]:
    while True:
        try:
            chunk = unpacked.read(1 << 20)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ConvertError(
                f"{region.name}: expected a whole archive compressed with gzip: {error}. The file is cut off or damaged; compare "
                f"its size and checksum with the original and copy it again."
            ) from error
        if not chunk:
            return
        yield chunk


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConvertError(
            f"{target}: the archive could not be unpacked: {error}. It needs as much room as its content; set TMPDIR to a folder "
            f"with room."
        ) from error


def is_archive(path: Path) -> bool:
    """Whether a file begins as a tar does, plain or compressed; of a compressed one the first block is unpacked."""
    try:
        with path.open("rb") as file:
            start = file.read(BLOCK)
            if start.startswith(_GZIP):
                file.seek(0)
                start = gzip.GzipFile(fileobj=file).read(BLOCK)
    except (OSError, zlib.error, EOFError):
        return False
    return len(start) == BLOCK and start[257:262] == b"ustar"
