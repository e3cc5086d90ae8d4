"""The verb `extract text`: JSONL, Parquet and plain text → documents."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from megatron_bio.config.extract_text import ExtractTextOptions
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.line_pieces import DamagedPiece, line_pieces
from megatron_bio.corpus.extraction.records import Piece
from megatron_bio.corpus.extraction.run import extract
from megatron_bio.corpus.inputs import check_distinct_names, expand_inputs
from megatron_bio.corpus.text.content import Format, recognise
from megatron_bio.corpus.text.fields import DocumentKeys
from megatron_bio.corpus.text.lines import JsonReader, PlainReader
from megatron_bio.corpus.text.parquet import parquet_pieces
from megatron_bio.corpus.text.whole_files import WholeFilesPiece, is_full

READ_ANEW = ("output", "inputs", "workers", "resume", "on_error", "progress")
"""Options that no document depends on, beside the files themselves."""


def extract_text(options: ExtractTextOptions) -> None:
    """Writes the documents and the report, see `extract`. Raises CorpusError."""
    paths = expand_inputs(options.inputs)
    if options.file_ids == "name":
        check_distinct_names(paths, "Give --file_ids path")
    choices = {name: value for name, value in asdict(options).items() if name not in READ_ANEW}
    extract(
        options, paths, _Pieces(options).of(paths), {"source": "text", "options": choices}, "reading texts"
    )


@dataclass(frozen=True)
class _Pieces:
    """Cuts files into pieces, each according to what it holds."""

    options: ExtractTextOptions

    def of(self, paths: Sequence[Path]) -> Iterator[Piece]:
        """The pieces in the order of the files; small files that are one document each are taken together."""
        files: list[tuple[Path, str]] = []
        for number, path in enumerate(paths):
            try:
                form = self._format(path)
            except DamagedFileError as error:
                yield from self._together(files, number)
                yield DamagedPiece(error=error, file_number=number)
                continue
            if form == "text" and self.options.document_separator == "file":
                files.append((path, self._file_id(path)))
                if is_full(files):
                    yield from self._together(files, number + 1)
                continue
            yield from self._together(files, number)
            yield from self._of_one(path, number, form)
        yield from self._together(files, len(paths))

    def _of_one(self, path: Path, number: int, form: Format) -> Iterator[Piece]:
        file_id = self._file_id(path)
        if form == "parquet":
            yield from parquet_pieces(path, number, self._keys(), file_id)
        elif form == "jsonl":
            reader = JsonReader(keys=self._keys(), file_id=file_id)
            yield from line_pieces(path, number, reader, encoding=self._encoding())
        else:
            at_blank_lines = self.options.document_separator == "blank-line"
            plain = PlainReader(
                at_blank_lines=at_blank_lines,
                source=self.options.source,
                minimum_words=self.options.minimum_words,
                file_id=file_id,
            )
            yield from line_pieces(
                path, number, plain, encoding=self._encoding(), at_blank_lines=at_blank_lines
            )

    def _together(self, files: list[tuple[Path, str]], next_number: int) -> Iterator[Piece]:
        """The files as one piece; the list is empty afterwards."""
        if files:
            yield WholeFilesPiece(
                files=tuple(files),
                first_number=next_number - len(files),
                source=self.options.source,
                minimum_words=self.options.minimum_words,
                encoding=self._encoding(),
            )
            files.clear()

    def _format(self, path: Path) -> Format:
        chosen = self.options.format
        return recognise(path, self._encoding()) if chosen == "auto" else chosen

    def _encoding(self) -> str:
        return "" if self.options.encoding == "auto" else self.options.encoding

    def _file_id(self, path: Path) -> str:
        return path.name if self.options.file_ids == "name" else path.as_posix()

    def _keys(self) -> DocumentKeys:
        options = self.options
        return DocumentKeys(
            text=options.text_key,
            title=options.title_key,
            id=options.id_key,
            meta=options.meta_names,
            source=options.source,
            minimum_words=options.minimum_words,
        )
