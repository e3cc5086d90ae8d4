"""A part of a file that is read by position: a whole file, or a member of a tar that is not compressed."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from megatron_bio.convert.errors import ConvertError


@dataclass(frozen=True)
class FileRegion:
    """`size` bytes of the file `path` from `start` on, read as if they were a file of their own.

    No handle is kept: the file is opened for each read and must still be the one it was.
    """

    path: Path
    start: int
    size: int
    name: str
    """What messages call it."""
    identity: tuple[int, int, int]
    """Inode, size and time of the last change of the file when it was opened first."""

    @classmethod
    def of_file(cls, path: Path) -> "FileRegion":
        """Return a whole file; raises `ConvertError` if there is none."""
        try:
            if not path.is_file():
                found = "a folder" if path.is_dir() else "none" if not path.exists() else "a special file"
                raise ConvertError(f"{path}: expected a file of torch.save, found {found}.")
            status = path.stat()
        except (OSError, ValueError) as error:
            raise ConvertError(f"{path}: the file cannot be read: {error}.") from error
        return cls(path, 0, status.st_size, str(path), _identity(status))

    def part(self, start: int, size: int, name: str) -> "FileRegion":
        """Return a part of the part, which must lie within."""
        if start < 0 or size < 0 or start + size > self.size:
            raise self.truncated(f"{name} lies at bytes {start:,} to {start + size:,}")
        return FileRegion(self.path, self.start + start, size, f"{self.name}: {name}", self.identity)

    def truncated(self, expected: str) -> ConvertError:
        """Return the error for something that the file is too short for."""
        return ConvertError(
            f"{self.name}: {expected}, but the file has {self.size:,} bytes. It is cut off or damaged; compare its size and "
            f"checksum with the original and copy it again."
        )

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on; raises `ConvertError` if the file has fewer."""
        if start < 0 or size < 0 or start + size > self.size:
            raise self.truncated(f"expected {size:,} bytes from byte {start:,} on")
        content = bytearray(size)
        self._read_into(memoryview(content), start)
        return bytes(content)

    def read_bytes(self, start: int, size: int) -> Tensor:
        """Return `size` bytes from `start` on as a uint8 tensor, without a second copy in memory."""
        if start < 0 or size < 0 or start + size > self.size:
            raise self.truncated(f"expected {size:,} bytes from byte {start:,} on")
        content = torch.empty(size, dtype=torch.uint8)
        if size:
            self._read_into(memoryview(content.numpy()), start)
        return content

    def _read_into(self, content: memoryview, start: int) -> None:
        try:
            with self.path.open("rb", buffering=0) as file:
                if _identity(os.fstat(file.fileno())) != self.identity:
                    raise ConvertError(
                        f"{self.name}: the file changed while it was converted; start again when it is complete."
                    )
                file.seek(self.start + start)
                done = 0
                while done < len(content):
                    count = file.readinto(content[done:])
                    if not count:
                        raise self.truncated(f"expected {len(content):,} bytes from byte {start:,} on")
                    done += count
        except OSError as error:
            raise ConvertError(f"{self.name}: the file cannot be read: {error}.") from error


class Stream:
    """Bytes of a region one after the other, as a pickle is read; in memory is one window of them."""

    _WINDOW = 1 << 16

    def __init__(self, region: FileRegion, position: int = 0) -> None:
        self.region = region
        self.position = position
        self._window = b""
        self._window_start = position

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes; raises `ConvertError` if the region has fewer."""
        at = self.position - self._window_start
        if at + size > len(self._window):
            left = self.region.size - self.position
            self._window = self.region.read(
                self.position, size if size > left else min(left, max(size, self._WINDOW))
            )
            self._window_start, at = self.position, 0
        self.position += size
        return self._window[at : at + size]

    def skip(self, size: int) -> None:
        """Go on after the next `size` bytes without reading them."""
        self.position += size
        self._window, self._window_start = b"", self.position

    def line(self, most: int) -> bytes:
        """Return the bytes up to the next newline, without it; raises `ConvertError` if there is none within `most`."""
        start = self.position
        line = bytearray()
        while (byte := self.read(1)) != b"\n":
            line += byte
            if len(line) > most:
                raise ConvertError(
                    f"{self.region.name}: expected a line of at most {most} bytes at byte {start:,} of the pickle. The file is "
                    f"damaged or not of torch.save."
                )
        return bytes(line)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
