"""Where a long job keeps what it has finished, so that a kill at any moment costs only what was in the making."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from megatron_bio.corpus.errors import CorpusError

SUFFIX = ".unfinished"


class WorkFolder:
    """The folder OUTPUT.unfinished beside an output; it is removed when the output is complete.

    What is in it is written with `atomic_file` and vouched for by a fingerprint of everything that it was made from, so
    a later run takes only what it would make itself, byte for byte. It stays after an error, an interrupt or a kill.
    """

    def __init__(self, path: Path) -> None:
        """Use `WorkFolder.beside`."""
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
            raise CorpusError(
                f"{path}: expected a folder to write in, found: {error.strerror}. Give another --output."
            ) from error
        return cls(path)

    def remove(self) -> None:
        """The output is complete."""
        shutil.rmtree(self.path)


def fingerprint(content: Mapping[str, object]) -> str:
    """SHA-256 of what JSON can hold, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_identity(path: Path) -> list[object]:
    """What tells a file from another, or from itself changed, without reading it: full name, bytes, time of change."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
