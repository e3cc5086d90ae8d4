"""PMC's lists of files → what they say about each article's licence, in a few bytes an article.

Read are the lists with a header line that names the columns (oa_file_list.csv and the *.filelist.csv and .txt of the bulk
packages, comma or tab) and the older oa_file_list.txt without one. https://pmc.ncbi.nlm.nih.gov/tools/openftlist/
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.pmc.license import license_in
from megatron_bio.corpus.pmc.license_wording import UNKNOWN

READ_BUFFER_BYTES: Final = 1 << 20
MAXIMUM_NUMBER: Final = 200_000_000
_ACCESSION = re.compile(r"PMC(\d{1,10})")
_RETRACTED = 0x80


class FileList:
    """PMCID → licence and retraction; one byte for each number up to the highest in the lists, about 13 MB for all of PMC."""

    def __init__(self) -> None:
        """Starts empty."""
        self._codes = bytearray()
        self._names: list[str] = [""]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "FileList":
        """Reads the lists; of two lines about one article the later counts. Raises CorpusError and DamagedFileError."""
        found = cls()
        for path in paths:
            count = 0
            for number, name, retracted in _rows(path):
                found._put(number, license_in(name) or UNKNOWN, retracted)
                count += 1
            if not count:
                raise DamagedFileError(
                    path,
                    "no file list",
                    "expected a list of PMC with the columns 'Accession ID' and 'License', found no line of one. Take "
                    "oa_file_list.csv or a .filelist.csv from PMC's FTP service.",
                )
        return found

    def __bool__(self) -> bool:
        return bool(self._codes)

    def look_up(self, number: int) -> tuple[str, bool] | None:
        """The licence's name and whether the article is retracted; None if it is in no list."""
        code = self._codes[number] if 0 <= number < len(self._codes) else 0
        return (self._names[code & ~_RETRACTED], bool(code & _RETRACTED)) if code else None

    def _put(self, number: int, name: str, retracted: bool) -> None:
        if name not in self._names:
            if len(self._names) == _RETRACTED:
                raise CorpusError(
                    "--file_list: expected fewer than 127 licences, found more. Is it a list of PMC?"
                )
            self._names.append(name)
        if number >= len(self._codes):
            self._codes.extend(bytes(number + 1 - len(self._codes)))
        self._codes[number] = self._names.index(name) | (_RETRACTED if retracted else 0)


def _rows(path: Path) -> Iterator[tuple[int, str, bool]]:
    with (
        DecompressedFile(path) as raw,
        io.BufferedReader(raw, READ_BUFFER_BYTES) as content,
        io.TextIOWrapper(content, encoding="utf-8-sig", errors="replace", newline="") as lines,
    ):
        try:
            yield from _articles(lines)
        except csv.Error as error:
            raise DamagedFileError(
                path, "malformed file list", f"expected a list of PMC, found: {error}. Download it again."
            ) from error


def _articles(lines: TextIO) -> Iterator[tuple[int, str, bool]]:
    """Number, licence as written, retracted."""
    first = lines.readline()
    delimiter = "\t" if "\t" in first or "," not in first else ","
    header = [_plain(name) for name in next(_split([first], delimiter), [])]
    accession = next((header.index(name) for name in ("accessionid", "pmcid") if name in header), 2)
    license_column = header.index("license") if "license" in header else -1
    retracted = header.index("retracted") if "retracted" in header else None
    for row in _split(lines, delimiter):
        match = _ACCESSION.fullmatch(row[accession].strip()) if len(row) > accession else None
        if match is None or int(match[1]) > MAXIMUM_NUMBER:
            continue
        license_ = row[license_column] if len(row) > max(license_column, accession + 1) else ""
        is_retracted = (
            retracted is not None and len(row) > retracted and row[retracted].strip().lower() == "yes"
        )
        yield int(match[1]), license_, is_retracted


def _split(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    if delimiter == ",":
        return csv.reader(lines)
    return (line.rstrip("\r\n").split(delimiter) for line in lines)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
