"""The verb `extract pile`: The Pile's files → documents of some subsets, as BioMedLM was trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from megatron_bio.config.extract_text import PILE_SUBSETS, ExtractPileOptions
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.line_pieces import DamagedPiece, kept_or_reason, line_pieces, lost
from megatron_bio.corpus.extraction.records import LeftOut, Piece, Record
from megatron_bio.corpus.extraction.run import extract
from megatron_bio.corpus.inputs import check_distinct_names, expand_inputs
from megatron_bio.corpus.json_lines import bad_line, parse_object, parse_string
from megatron_bio.corpus.line_batches import LineBatch
from megatron_bio.corpus.pile.subset import subset_at_end, subsets_of
from megatron_bio.corpus.text.content import recognise


@dataclass(frozen=True, kw_only=True)
class PileReader:
    """Reads lines `{"text": ..., "meta": {"pile_set_name": ...}}`; only those of wanted subsets are parsed.

    The text is kept as it is. Titles stay empty: the first line of most PubMed abstracts in The Pile is the title, but
    nothing marks it, and some have none.
    """

    subsets: tuple[str, ...]
    minimum_words: int

    def read(self, batch: LineBatch) -> Iterator[Record]:
        """As `BatchReader`."""
        for number, line in enumerate(batch.data.split(b"\n"), start=batch.first_line):
            if not line or line.isspace():
                continue
            subset = subset_at_end(line)
            if subset is not None and subset not in self.subsets:
                yield _left_out([subset])
                continue
            try:
                yield self._record(batch, number, line)
            except DamagedFileError as error:
                yield lost(error)

    def _record(self, batch: LineBatch, number: int, line: bytes) -> Record:
        fields = parse_object(batch.path, number, line)
        names = subsets_of(fields)
        if not names or any(name not in self.subsets for name in names):
            return _left_out(names)
        if "text" not in fields:
            raise bad_line(batch.path, number, f"expected a key 'text', found the keys {sorted(fields)}")
        document = Document(
            id=f"pile:{batch.path.name}:{number}",
            text=parse_string(batch.path, number, "text", fields["text"]),
            source=source_of(names),
            meta={"pile_set_name": names[0] if len(names) == 1 else names},
        )
        return kept_or_reason(document, self.minimum_words)


def source_of(names: list[str]) -> str:
    """`pile-pubmed-abstracts`: the name under which documents of these subsets are counted."""
    return "pile-" + "+".join(name.lower().replace(" ", "-") for name in names)


def _left_out(names: list[str]) -> LeftOut:
    if not names:
        reason = "no subset named"
    elif all(name in PILE_SUBSETS for name in names):
        reason = f"subset {' and '.join(sorted(names))}"
    else:
        reason = "subset not of The Pile"
    return LeftOut(key=None, version=1, reason=reason)


def extract_pile(options: ExtractPileOptions) -> None:
    """Writes the documents and the report, see `extract`. Raises CorpusError."""
    paths = expand_inputs(options.inputs)
    check_distinct_names(paths, "Rename one of them")
    reader = PileReader(subsets=tuple(options.subsets), minimum_words=options.minimum_words)
    pieces = chain.from_iterable(_pieces(path, number, reader) for number, path in enumerate(paths))
    choices = {"minimum_words": options.minimum_words, "subsets": sorted(options.subsets)}
    extract(options, paths, pieces, {"source": "pile", **choices}, "reading The Pile")


def _pieces(path: Path, number: int, reader: PileReader) -> Iterator[Piece]:
    """The batches of one file, unless it is not text at all."""
    try:
        if recognise(path) == "parquet":
            raise DamagedFileError(
                path,
                "Parquet",
                "expected The Pile's JSONL, found a Parquet copy of it. Read it with extract text --meta_keys "
                "pile_set_name=meta.pile_set_name.",
            )
    except DamagedFileError as error:
        yield DamagedPiece(error=error, file_number=number)
        return
    yield from line_pieces(path, number, reader)
