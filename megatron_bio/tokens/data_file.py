"""A file of a data set that others made, with the means to name a damaged place in it: text, and JSON with its paths."""

from pathlib import Path

from megatron_bio.corpus.decontamination.benchmark import BenchmarkFile, shown
from megatron_bio.corpus.decontamination.json_fields import Fields, is_complete_object, parsed_json
from megatron_bio.corpus.errors import DamagedFileError

__all__ = ["BenchmarkFile", "DamagedFileError", "DataFile", "Fields", "shown"]


class DataFile(BenchmarkFile):
    """The whole content of a file, plain, gzip, xz or zstd; UTF-8 with or without a byte order mark, LF or CRLF."""

    def __init__(self, path: Path) -> None:
        """Reads and decompresses all of it. Raises DamagedFileError."""
        super().__init__(path)
        self.size = len(self.content)
        """Bytes, decompressed."""

    def filled_lines(self) -> list[tuple[int, str]]:
        """The lines that are not blank, with their numbers from 1."""
        return [(number, line) for number, line in self.lines() if line]

    def json(self) -> object:
        """What the file holds as one JSON text. Raises DamagedFileError with line and column."""
        return parsed_json(self, self.text, 1)

    def json_lines(self) -> list[Fields]:
        """The objects of a JSONL file. Raises DamagedFileError with the line."""
        return [
            Fields(self, f"line {number}", parsed_json(self, line, number))
            for number, line in self.filled_lines()
        ]

    def first_object(self, number: int) -> Fields:
        """The object in line `number`, the first that is not blank, or the one that the whole file is."""
        lines = dict(self.lines())
        if is_complete_object(lines[number]):
            return Fields(self, f"line {number}", parsed_json(self, lines[number], number))
        return Fields(self, "", self.json())
