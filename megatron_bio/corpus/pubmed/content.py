"""The content of an XML file as UTF-8, whatever its compression and its encoding, and the lines in it."""

import codecs
import re
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import DamagedFileError

DECLARATION_BYTES = 1024
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED: Final = ((b"<\x00?\x00", "utf-16-le"), (b"\x00<\x00?", "utf-16-be"))
_DECLARED = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([A-Za-z][\w.:-]*)["']""")
_UPPER_BYTES: Final = bytes(range(128, 256))
_ALREADY_UTF8: Final = frozenset({"utf-8", "ascii"})


class XmlContent:
    """Context manager that gives the content piece by piece, in UTF-8 without byte order mark.

    The encoding is that of the byte order mark, else of the XML declaration, else UTF-8. UTF-8 is passed on unchecked, as
    one wrong byte must not cost the whole file; of other encodings a byte that cannot be read ends the reading, and so does
    UTF-8 under the name of an encoding with one byte a character. Raises DamagedFileError.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file."""
        self._path = path
        self._file = DecompressedFile(path)
        self._decoder: codecs.IncrementalDecoder | None = None
        self._utf8: codecs.IncrementalDecoder | None = None
        """While it is not yet seen that a file with one byte a character is none of UTF-8."""
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def compressed_position(self) -> int:
        """Bytes taken from disk so far."""
        return self._file.compressed_position

    def read(self) -> bytes:
        """The next bytes, some hundred thousand; b"" at the end."""
        content = self._file.read_content() if self._started else self._first()
        if self._decoder is None:
            return content
        text = self._decode(content)
        while content and not text:
            content = self._file.read_content()
            text = self._decode(content)
        return text.encode()

    def _first(self) -> bytes:
        self._started = True
        content = b""
        while len(content) < DECLARATION_BYTES and (more := self._file.read_content()):
            content += more
        name = "utf-8"
        declared = _DECLARED.match(content.lstrip()[:DECLARATION_BYTES])
        for start, encoding in (*_MARKS, *_UNMARKED):
            if content.startswith(start):
                name = encoding
                content = content.removeprefix(start) if (start, encoding) in _MARKS else content
                break
        else:
            if declared:
                name = declared[1].decode().lower()
        try:
            "a".encode(name)  # Refuses what is known but no encoding of text.
            name = codecs.lookup(name).name
            if name not in _ALREADY_UTF8:
                self._decoder = codecs.getincrementaldecoder(name)()
                if len(_UPPER_BYTES.decode(name, "replace")) == len(_UPPER_BYTES):
                    self._utf8 = codecs.getincrementaldecoder("utf-8")()
        except (LookupError, UnicodeError) as error:
            raise DamagedFileError(
                self._path,
                "unknown encoding",
                f"expected an encoding that Python knows in the XML declaration, found '{name}'. Convert the file to UTF-8, "
                "for example with iconv, and correct the declaration.",
            ) from error
        return content

    def _decode(self, content: bytes) -> str:
        assert self._decoder is not None
        if self._utf8 is not None and not content.isascii():
            self._refuse_utf8(content)
        try:
            return self._decoder.decode(content, final=not content)
        except UnicodeError as error:
            raise DamagedFileError(
                self._path,
                "wrong encoding",
                f"expected the encoding that the file declares, found bytes that it does not have before byte "
                f"{self.compressed_position:,} of the file ({error}). Correct the declaration or download the file again.",
            ) from error

    def _refuse_utf8(self, content: bytes) -> None:
        """A text with one byte a character has bytes above 127 that make no UTF-8, practically always in its first piece."""
        assert self._utf8 is not None
        try:
            text = self._utf8.decode(content)
        except UnicodeDecodeError:
            self._utf8 = None
            return
        if not text.isascii():
            raise DamagedFileError(
                self._path,
                "wrong encoding",
                "expected the encoding that the file declares, with one byte a character, found UTF-8 before byte "
                f'{self.compressed_position:,} of the file. Correct the XML declaration to encoding="utf-8".',
            )


class LineFinder:
    """Line numbers of ascending positions in the content of a file, by reading it once more; for messages only."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first question."""
        self._path = path
        self._content: XmlContent | None = None
        self._piece = b""
        self._begin = 0
        self._lines_before = 0

    def line(self, position: int) -> int:
        """The line, from 1, of the byte at `position`; positions must not descend."""
        if self._content is None:
            self._content = XmlContent(self._path)
        while position > self._begin + len(self._piece):
            try:
                piece = self._content.read()
            except DamagedFileError:
                piece = b""
            if not piece:
                break
            self._lines_before += self._piece.count(b"\n")
            self._begin += len(self._piece)
            self._piece = piece
        return 1 + self._lines_before + self._piece.count(b"\n", 0, max(0, position - self._begin))

    def close(self) -> None:
        """Closes the file."""
        if self._content is not None:
            self._content.__exit__(None, None, None)
