"""Documents files → blocks of lines, the tasks of the first stage; damage of a file travels in its last block."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.workers import map_in_order

BLOCK_BYTES = 32 << 20
READ_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class InputFile:
    """A file to read, with what tells its content from any other."""

    path: Path
    bytes: int
    sha256: str

    @property
    def identity(self) -> dict[str, object]:
        """What documents depend on: where there is no id or source the name of the file stands, but never its folder."""
        return {"file": self.path.name, "bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True, kw_only=True)
class Block:
    """Lines of one file, as a task; `damage` is where reading the file ended before its end, after these lines."""

    path: Path
    number: int
    """Of the block among all blocks of the job."""
    first_line: int
    lines: list[bytes]
    damage: DamagedFileError | None
    identity: tuple[str, int, int]
    """SHA-256 of the file, bytes per block, number of the block in the file."""
    progress_bytes: int

    @property
    def name(self) -> str:
        """Of its part."""
        return f"{self.number:06d}"

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.path}, lines {self.first_line:,} to {self.first_line + len(self.lines) - 1:,}"


@dataclass(frozen=True)
class _FileTask:
    path: Path

    @property
    def place(self) -> str:
        return str(self.path)


def identify(paths: Sequence[Path], workers: int) -> list[InputFile]:
    """Size and SHA-256 of each file; raises CorpusError for one that cannot be read."""
    return list(map_in_order(_identify, [_FileTask(path) for path in paths], workers))


def read_blocks(files: Sequence[InputFile]) -> Iterator[Block]:
    """The blocks of all files, in order; a file without a line gives one that says so."""
    number = 0
    for file in files:
        for block in _read_file(file, number):
            yield block
            number += 1


def _identify(task: _FileTask) -> InputFile:
    try:
        with task.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return InputFile(task.path, file.tell(), digest.hexdigest())
    except OSError as error:
        raise CorpusError(f"{task.path}: cannot be read: {error.strerror}.") from error


def _read_file(file: InputFile, first_number: int) -> Iterator[Block]:
    line, shown, in_file, found = 1, 0, 0, False
    damage: DamagedFileError | None = None
    with DecompressedFile(file.path) as raw, io.BufferedReader(raw, READ_BUFFER_BYTES) as stream:
        while damage is None:
            lines, damage = _read_lines(stream)
            found = found or any(not line.isspace() for line in lines)
            if not lines and damage is None:
                if found:
                    return
                damage = DamagedFileError(
                    file.path,
                    "empty",
                    "expected one JSON object per line, found no content. Leave the file out or make it again.",
                )
            yield Block(
                path=file.path,
                number=first_number + in_file,
                first_line=line,
                lines=lines,
                damage=damage,
                identity=(file.sha256, BLOCK_BYTES, in_file),
                progress_bytes=raw.compressed_position - shown,
            )
            shown, line, in_file = raw.compressed_position, line + len(lines), in_file + 1


def _read_lines(stream: "io.BufferedReader[DecompressedFile]") -> tuple[list[bytes], DamagedFileError | None]:
    """About BLOCK_BYTES of whole lines; none at the end of the file; of a damaged file those before the damage."""
    lines: list[bytes] = []
    size = 0
    try:
        while size < BLOCK_BYTES and (line := stream.readline()):
            lines.append(line)
            size += len(line)
    except DamagedFileError as error:
        return lines, error
    return lines, None
