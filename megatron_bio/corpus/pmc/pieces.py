"""Packages and single files → pieces of input, each read by one worker.

A package is read by the parent, which gives its articles to the workers in batches; where a batch ends depends only on
the package. Single files are opened by the workers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lxml import etree

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.records import Kept, LeftOut, Lost, Piece, Record
from megatron_bio.corpus.pmc.article import Article, ArticleReader, to_document
from megatron_bio.corpus.pmc.entities import line_of_entity
from megatron_bio.corpus.pmc.file_list import FileList
from megatron_bio.corpus.pmc.license import Choice, family, is_allowed, strictest
from megatron_bio.corpus.pmc.package import MAXIMUM_ARTICLE_BYTES, TOO_LARGE, Member, Package, is_package
from megatron_bio.corpus.work_folder import file_identity

BATCH_BYTES: Final = 8 << 20
BATCH_ARTICLES: Final = 256
FILES_IN_A_PIECE: Final = 64

_IDENTIFIER = re.compile(rb"<article-id\b[^>]*>\s*(?:PMC)?(\d{1,10})\b")
_PMCID_IN_NAME = re.compile(r"PMC(\d{1,10})\b")
_PARSER_POSITION = re.compile(r"[.,]*\s*line \d+, column \d+$")
_ENDINGS = re.compile(r"(?:\.(?:xml|nxml|gz|xz|zst))+$", re.IGNORECASE)

Listed = tuple[str, bool]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the documents depend on, beside the input."""

    license: Choice
    captions: bool
    require_body: bool
    minimum_words: int

    def as_dictionary(self) -> dict[str, object]:
        """What JSON can hold."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ArticleBatch:
    """Articles of a package, with what was passed over or damaged between them."""

    path: Path
    name: str
    place: str
    identity: object
    progress_bytes: int
    choices: Choices
    entries: Sequence[Member | LeftOut | Lost]
    listed: Mapping[int, Listed]
    """What the file lists say about the articles that may be in it."""

    def records(self) -> Iterator[Record]:
        """As `Piece`."""
        reader = ArticleReader(self.choices.captions)
        for entry in self.entries:
            if isinstance(entry, Member):
                yield from _read(reader, self.path, entry, self.choices, self.listed)
            else:
                yield entry


@dataclass(frozen=True, kw_only=True)
class ArticleFiles:
    """Single files, plain or compressed."""

    paths: Sequence[Path]
    name: str
    choices: Choices
    file_list: FileList

    @property
    def place(self) -> str:
        """As `Piece`."""
        return (
            f"{self.paths[0]} and {len(self.paths) - 1} more" if len(self.paths) > 1 else str(self.paths[0])
        )

    @property
    def identity(self) -> object:
        """As `Piece`."""
        return [file_identity(path) for path in self.paths]

    @property
    def progress_bytes(self) -> int:
        """As `Piece`."""
        return sum(path.stat().st_size for path in self.paths)

    def records(self) -> Iterator[Record]:
        """As `Piece`."""
        reader = ArticleReader(self.choices.captions)
        for path in self.paths:
            try:
                content = _content(path)
            except DamagedFileError as error:
                yield Lost(path=path, reason=error.reason, message=error.message)
                continue
            if content is None:
                yield LeftOut(key=None, version=1, reason=TOO_LARGE)
                continue
            member = Member(path.name, content)
            listed = _listed(self.file_list, [member])
            yield from _read(reader, path, member, self.choices, listed)


def pieces_of(paths: Sequence[Path], choices: Choices, file_list: FileList) -> Iterator[Piece]:
    """The pieces of all files, in order."""
    single: list[Path] = []
    for number, path in enumerate(paths):
        if not is_package(path):
            single.append(path)
            if len(single) == FILES_IN_A_PIECE:
                yield _files(single, number, choices, file_list)
                single = []
            continue
        if single:
            yield _files(single, number - 1, choices, file_list)
            single = []
        yield from _batches(path, number, choices, file_list)
    if single:
        yield _files(single, len(paths) - 1, choices, file_list)


def _files(paths: Sequence[Path], last_number: int, choices: Choices, file_list: FileList) -> ArticleFiles:
    return ArticleFiles(paths=paths, name=f"{last_number:06d}", choices=choices, file_list=file_list)


def _batches(path: Path, number: int, choices: Choices, file_list: FileList) -> Iterator[ArticleBatch]:
    package = Package(path)
    identity = file_identity(path)
    index = 0
    shown = 0
    entries: list[Member | LeftOut | Lost] = []
    size = 0

    def batch() -> ArticleBatch:
        return ArticleBatch(
            path=path,
            name=f"{number:06d}-{index:06d}",
            place=f"batch {index + 1} of {path}",
            identity=[*identity, index],
            progress_bytes=package.compressed_position - shown,
            choices=choices,
            entries=entries,
            listed=_listed(file_list, [entry for entry in entries if isinstance(entry, Member)]),
        )

    for entry in package.members():
        entries.append(entry)
        size += len(entry.content) if isinstance(entry, Member) else 0
        if size >= BATCH_BYTES or len(entries) == BATCH_ARTICLES:
            yield batch()
            index, shown, entries, size = index + 1, package.compressed_position, [], 0
    if entries or not index:
        yield batch()


def _listed(file_list: FileList, members: Sequence[Member]) -> dict[int, Listed]:
    """What the lists say about all numbers that could be the PMCID of an article in these files."""
    if not file_list:
        return {}
    numbers = {int(match[1]) for member in members for match in _IDENTIFIER.finditer(member.content)}
    numbers |= {int(match[1]) for member in members for match in _PMCID_IN_NAME.finditer(member.name)}
    return {number: found for number in sorted(numbers) if (found := file_list.look_up(number)) is not None}


def _content(path: Path) -> bytes | None:
    """The bytes inside a file; None if they are too many."""
    parts = []
    size = 0
    with DecompressedFile(path) as stream:
        while part := stream.read(1 << 20):
            size += len(part)
            if size > MAXIMUM_ARTICLE_BYTES:
                return None
            parts.append(part)
    if not parts:
        raise DamagedFileError(
            path, "empty", "expected a JATS article, found an empty file. Download it again or leave it out."
        )
    return b"".join(parts)


def _read(
    reader: ArticleReader, path: Path, member: Member, choices: Choices, listed: Mapping[int, Listed]
) -> Iterator[Record]:
    base_name = member.name.replace("\\", "/").rpartition("/")[2]
    in_name = _PMCID_IN_NAME.match(base_name)
    name = _ENDINGS.sub("", base_name) or base_name
    where = "" if member.name == path.name else f"member {member.name}, "
    try:
        for article in reader.read(member.content):
            number = int(in_name[1]) if article.number is None and in_name else article.number
            if isinstance(article, Article):
                yield _record(article, number, choices, listed.get(number or 0), name)
            elif article.entity:
                yield Lost(
                    path=path,
                    reason=article.reason,
                    message=f"{where}line {line_of_entity(member.content, article.entity)}: expected entities that XML or HTML "
                    f"defines, found &{article.entity};, whose text only a DTD could tell. Put the text in its place, or take "
                    "PMC's own file; --on_error keep reads what is intact.",
                )
            else:
                yield LeftOut(key=number, version=article.version, reason=article.reason)
    except etree.XMLSyntaxError as error:
        what = _PARSER_POSITION.sub("", error.msg or "unreadable content")
        yield Lost(
            path=path,
            reason="not well-formed XML",
            message=f"{where}line {error.lineno}, column {error.offset}: expected well-formed JATS, found: {what}. Download "
            "the file again and compare its checksum.",
        )


def _record(
    article: Article, number: int | None, choices: Choices, listed: Listed | None, name: str
) -> Kept | LeftOut:
    listed_license, retracted = listed if listed is not None else (article.license, False)
    license_ = strictest([article.license, listed_license]) or article.license
    extra: dict[str, object] = {"license": license_}
    if family(listed_license) != family(article.license):
        extra["license_listed"] = listed_license
    if retracted:
        extra["retracted"] = True
    document = to_document(article, number, name, extra)
    words = article.words
    reason = ""
    if not is_allowed(license_, choices.license):
        reason = f"licence {license_}{_disagreement(article.license, listed_license)}"
    elif not words:
        reason = "neither abstract nor body"
    elif choices.require_body and not article.body:
        reason = "no body"
    elif words < choices.minimum_words:
        reason = f"fewer than {choices.minimum_words} words"
    if reason:
        return LeftOut(key=number, version=article.version, reason=reason)
    return Kept(
        key=number,
        version=article.version,
        words=words,
        characters=len(document.text),
        line=document.to_json(),
    )


def _disagreement(stated: str, listed: str) -> str:
    """What to add to a reason when article and list do not name the same licence."""
    if family(stated) == family(listed):
        return ""
    if strictest([stated, listed]) == stated:
        return f" (article; the file list says {listed})"
    return f" (file list; the article says {stated})"
