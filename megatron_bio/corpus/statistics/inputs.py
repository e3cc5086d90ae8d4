"""What `corpus stats` is given → documents files with the split they belong to, and what was left out before them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.built_corpus import MANIFEST, BuiltCorpus, read_json_object
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.inputs import expand_inputs

REPORT_SUFFIX = ".report.json"


@dataclass(frozen=True, kw_only=True)
class DocumentsFile:
    """A file to count, and the split of the corpus that it is in; empty where there is none."""

    path: Path
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class DropTable:
    """How many records or documents an earlier verb left out, by reason."""

    told_by: str
    """The report or manifest."""
    read: int | None
    kept: int | None
    dropped: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that is counted."""

    files: list[DocumentsFile]
    drops: list[DropTable]


def find_inputs(names: Sequence[str]) -> Inputs:
    """The files of built corpora and single files, in the order given, each once; raises CorpusError.

    A folder must be a finished corpus: it has a manifest. A file that an `extract` verb wrote has its report beside it.
    """
    files: dict[Path, DocumentsFile] = {}
    drops: dict[Path, DropTable] = {}
    for name in names:
        folder = Path(name)
        if folder.is_dir():
            corpus = BuiltCorpus.read(folder)
            drops.setdefault(folder / MANIFEST, drop_table(folder / MANIFEST, corpus.manifest))
            found = [DocumentsFile(path=file.path, split=file.split) for file in corpus.files if file.split]
        else:
            found = [DocumentsFile(path=path) for path in expand_inputs([name])]
            for file in found:
                report = file.path.with_name(file.path.name + REPORT_SUFFIX)
                if report.is_file():
                    drops.setdefault(report, drop_table(report, read_json_object(report)))
        for file in found:
            if not file.path.is_file():
                raise CorpusError(f"{file.path}: expected a file, because {MANIFEST} names it, found none.")
            files.setdefault(file.path.resolve(), file)
    return Inputs(files=list(files.values()), drops=list(drops.values()))


def drop_table(path: Path, content: Mapping[str, object]) -> DropTable:
    """What the report of an extraction, or the manifest of a corpus, says about what is not in the output."""
    dropped = {
        phrase: count
        for key, phrase in (
            ("replaced", "replaced by a later record"),
            ("deleted", "deleted by the publisher"),
        )
        if (count := _documents(content.get(key)))
    }
    for key in ("skipped", "dropped"):
        reasons = content.get(key)
        if isinstance(reasons, Mapping):
            dropped |= {str(reason): _documents(count) or 0 for reason, count in reasons.items()}
    read = content.get("records_read", content.get("read"))
    return DropTable(
        told_by=path.as_posix(), read=_documents(read), kept=_documents(content.get("kept")), dropped=dropped
    )


def _documents(value: object) -> int | None:
    """A number of documents, alone or beside the numbers of words and characters."""
    if isinstance(value, Mapping):
        value = value.get("documents")
    return value if isinstance(value, int) and not isinstance(value, bool) else None
