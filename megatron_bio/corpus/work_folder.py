"""Where a long job keeps what it has finished, so that a kill at any moment costs only what was in the making."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from megatron_bio.corpus.errors import CorpusError

SUFFIX = ".unfinished"
LOCK = ".lock"


class WorkFolder:
    """The folder OUTPUT.unfinished beside an output; it is removed when the output is complete.

    What is in it is written with `atomic_file` and vouched for by a fingerprint of everything that it was made from, so
    a later run takes only what it would make itself, byte for byte. With something finished in it, it stays after an error,
    an interrupt or a kill.
    """

    def __init__(self, path: Path) -> None:
        """Use `WorkFolder.beside`, or `WorkFolder.locked_beside`."""
        self.path = path

    @classmethod
    def beside(cls, output: Path, resume: bool) -> Self:
        """The folder for `output`, made if missing; without `resume` what an earlier run left in it is thrown away.

        Raises CorpusError when the disk refuses.
        """
        path = output.with_name(output.name + SUFFIX)
        try:
            if path.exists() and not resume:
                shutil.rmtree(path)
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refused(path, error) from error
        return cls(path)

    @classmethod
    @contextmanager
    def locked_beside(cls, output: Path, resume: bool) -> Iterator[Self]:
        """As `beside`, for one run at a time; the system frees the lock when a process ends, however it ends.

        What killed runs left half written, here or beside the output, is removed. Raises CorpusError if another run has
        the lock.
        """
        folder = cls.beside(output, resume=True)
        try:
            descriptor = os.open(folder.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _refused(folder.path, error) from error
        try:
            _lock(descriptor, folder.path / LOCK, output)
            try:
                folder._clear(output, everything=not resume)
                yield folder
            finally:
                folder._remove_if_empty(descriptor)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """The output is complete."""
        shutil.rmtree(self.path)

    def _remove_if_empty(self, lock: int) -> None:
        """If nothing in it is finished (a worker that was ended leaves half a file), and it is not already another run's."""
        # What led here is more important than a refusal, and the folder is taken for what it is the next time.
        with suppress(OSError):
            is_empty = all(path.name == LOCK or path.name.endswith(".tmp") for path in self.path.iterdir())
            if is_empty and _is_of(lock, self.path / LOCK):
                shutil.rmtree(self.path)

    def _clear(self, output: Path, everything: bool) -> None:
        stale = list(self.path.iterdir() if everything else self.path.rglob("*.tmp"))
        stale += [path for path in output.parent.iterdir() if _is_temporary(path.name, output.name)]
        for path in stale:
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink(missing_ok=True)


def _lock(descriptor: int, path: Path, output: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The run that had it may have removed the folder since it was opened here.
        is_current = path.exists() and _is_of(descriptor, path)
    except BlockingIOError:
        is_current = False
    except OSError as error:
        raise _refused(path, error) from error
    if not is_current:
        raise CorpusError(
            f"--output {output}: expected no other run that writes it, found one that is still on. Wait for it or end it, "
            "then start again."
        )


def _is_of(descriptor: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), path.stat())


def _is_temporary(name: str, output: str) -> bool:
    """Whether `atomic_file` of a killed run left it, of the output or of a file beside it named after the output."""
    return name.startswith(f".{output}.") and name.endswith(".tmp")


def _refused(path: Path, error: OSError) -> CorpusError:
    return CorpusError(
        f"{path}: expected a folder to write in, found: {error.strerror}. Give another --output."
    )


def fingerprint(content: Mapping[str, object]) -> str:
    """SHA-256 of what JSON can hold, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_identity(path: Path) -> list[object]:
    """What tells a file from another, or from itself changed, without reading it: full name, bytes, time of change."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
