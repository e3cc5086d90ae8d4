"""Several files that appear together: each is written under a temporary name, and all are renamed at the end."""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.tokens.errors import TokenDataError


@dataclass(frozen=True, kw_only=True)
class FileDigest:
    """Size in bytes and SHA-256 of a file's content."""

    size: int
    sha256: str


class PendingFile:
    """A file being written beside its final name and hashed on the way.

    The temporary name `.NAME.RANDOM.partial` stays behind only after a kill, and may then be deleted.
    """

    def __init__(self, path: Path) -> None:
        """Create the temporary file and the folders above it."""
        self.path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        self._hash = hashlib.sha256()
        self._size = 0
        with explain_failure(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._temporary.open("xb")

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        with explain_failure(self.path):
            self._stream.write(data)
        self._hash.update(data)
        self._size += len(data)

    def finish(self) -> FileDigest:
        """Bring everything to the disk and close; the file keeps its temporary name."""
        with explain_failure(self.path):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
        return FileDigest(size=self._size, sha256=self._hash.hexdigest())

    def publish(self) -> None:
        """Take the final name, in place of an earlier file."""
        assert self._stream.closed, "a file is published only after finish()"
        with explain_failure(self.path):
            self._temporary.replace(self.path)

    def discard(self) -> None:
        """Remove the temporary file if it is still there."""
        self._stream.close()
        self._temporary.unlink(missing_ok=True)


def publish_in_order(files: Iterable[PendingFile]) -> None:
    """Rename finished files, the one that vouches for the others last, and bring the renames to the disk."""
    folders = {}
    for file in files:
        file.publish()
        folders[file.path.parent] = file.path
    for folder, path in folders.items():
        with explain_failure(path):
            sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; without it a power cut can undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explain_failure(path: Path) -> Iterator[None]:
    """What the disk refuses becomes a TokenDataError that names the file."""
    try:
        yield
    except OSError as error:
        raise TokenDataError(
            f"{path}: cannot be written: {error.strerror or error}. An earlier file under this name was left as it was; "
            f"check the free space and the permissions of {path.parent}."
        ) from error
