"""One benchmark file → its items, in whichever format it is, told by the content and never by the name."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import DamagedFileError

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkItem:
    """What must not be in the corpus: documents with one of `pmids`, and documents with a piece of its texts."""

    name: str
    pmids: tuple[int, ...] = ()
    whole: tuple[str, ...] = ()
    """Texts that say something alone, as a question, a title, a sentence: a short one counts if it is found entire."""
    texts: tuple[str, ...] = ()
    """Texts of which every run of words counts, but a short one says nothing alone, as one of five options."""


class BenchmarkFile:
    """The content of one file, with the means to say where it is damaged."""

    def __init__(self, path: Path) -> None:
        """Reads and decompresses all of it. Raises DamagedFileError."""
        self.path = path
        self.name = f"{path.absolute().parent.name}/{path.name}"
        with DecompressedFile(path) as raw, io.BufferedReader(raw) as file:
            self.content = file.read()
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        content = self.content.removeprefix(b"\xef\xbb\xbf")
        if content.startswith(UTF_16_MARKS):
            raise self.damaged(
                "byte 1", "UTF-8, found the mark of UTF-16. Convert the file to UTF-8, for example with iconv"
            )
        if b"\x00" in content:
            raise DamagedFileError(
                path,
                "binary benchmark",
                f"line {content[: content.index(0)].count(10) + 1}: expected text, found a zero byte. Unpack archives "
                "and convert Parquet to JSONL first.",
            )
        try:
            self.text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(
                f"line {content[: error.start].count(10) + 1}",
                f"UTF-8, found the byte 0x{content[error.start]:02x}. Convert the file to UTF-8, for example with iconv",
            ) from error
        if not self.text.strip():
            raise DamagedFileError(
                path,
                "empty",
                "expected the items of a benchmark, found no content. Download the file again or leave it out.",
            )

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their numbers from 1, without their ends; blank ones are among them, as ''."""
        for number, line in enumerate(self.text.split("\n"), start=1):
            yield number, "" if line.isspace() else line.removesuffix("\r")

    def damaged(self, place: str, story: str) -> DamagedFileError:
        """The error to raise at `place`, `line 7`; `story` is what was expected and found there."""
        return DamagedFileError(
            self.path,
            "malformed benchmark",
            f"{place}: expected {story}. Correct it or download the file again.",
        )


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A file that was read."""

    name: str
    format: str
    sha256: str
    items: tuple[BenchmarkItem, ...]


def shown(found: object, limit: int = 60) -> str:
    """What was found, short enough for a message."""
    text = ascii(found)
    return text if len(text) <= limit else f"{text[:limit]}..."
