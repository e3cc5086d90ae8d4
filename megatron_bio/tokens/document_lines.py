"""Documents files → blocks of whole lines, from any line on; parsing them is left to the workers."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import DamagedFileError

BLOCK_BYTES = 1 << 20
BLOCK_LINES = 1 << 12
READ_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class LineBlock:
    """Consecutive lines of one file, as a task for a worker."""

    path: Path
    file: int
    """Which of the files, from 0."""
    first_line: int
    """Number of its first line, from 1."""
    lines: list[bytes]
    part: int
    """Which output the documents of this file belong to, where the inputs say so; otherwise 0."""
    read_bytes: int
    """How much of the file on disk was read for it."""

    @property
    def place(self) -> str:
        """What it is, for messages."""
        return f"{self.path}, lines {self.first_line:,} to {self.last_line:,}"

    @property
    def last_line(self) -> int:
        """Number of its last line, from 1."""
        return self.first_line + len(self.lines) - 1


def read_line_blocks(
    files: Sequence[Path], parts: Sequence[int], first_file: int = 0, lines_done: int = 0
) -> Iterator[LineBlock]:
    """The lines of the files in order, without the files before `first_file` and the first `lines_done` lines of that one.

    Lines before a damaged place come first, then DamagedFileError. A file without content is an error too.
    """
    for number in range(first_file, len(files)):
        yield from _read_file(files[number], number, parts[number], lines_done)
        lines_done = 0


def _read_file(path: Path, file: int, part: int, skip: int) -> Iterator[LineBlock]:
    found, reported = False, 0
    with DecompressedFile(path) as raw, io.BufferedReader(raw, READ_BUFFER_BYTES) as stream:
        for _ in range(skip):
            found = not stream.readline().isspace() or found
        first_line = skip + 1
        while True:
            lines, damage = _read_lines(stream)
            if lines:
                position = raw.compressed_position
                yield LineBlock(
                    path=path,
                    file=file,
                    first_line=first_line,
                    lines=lines,
                    part=part,
                    read_bytes=position - reported,
                )
                reported, first_line = position, first_line + len(lines)
                found = found or any(not line.isspace() for line in lines)
            if damage is not None:
                raise damage
            if not lines:
                break
    if not found:
        raise DamagedFileError(
            path,
            "empty",
            "expected one JSON object per line, found no content. Leave the file out or make it again.",
        )


def _read_lines(stream: "io.BufferedReader[DecompressedFile]") -> tuple[list[bytes], DamagedFileError | None]:
    lines: list[bytes] = []
    size = 0
    try:
        while size < BLOCK_BYTES and len(lines) < BLOCK_LINES and (line := stream.readline()):
            lines.append(line)
            size += len(line)
    except DamagedFileError as error:
        return lines, error
    return lines, None
