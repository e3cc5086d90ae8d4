"""What stands before the records: XML declaration, document type, comments, the root's start tag."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from megatron_bio.corpus.errors import DamagedFileError

RECORDS: Final = frozenset(
    {"PubmedArticle", "PubMedArticle", "MedlineCitation", "PubmedBookArticle", "DeleteCitation"}
)
SETS: Final = frozenset({"PubmedArticleSet", "PubMedArticleSet", "MedlineCitationSet"})

_ROOT = re.compile(rb"""<([^\s<>/&!?]+)(?:[^<>"']|"[^"<]*"|'[^'<]*')*>""")
_IN_DOCTYPE = re.compile(rb"""<!--|<\?|["'\[\]>]""")


@dataclass(frozen=True)
class Prologue:
    """The root of a file: its name, its start tag, and where that begins and ends in the content."""

    name: str
    tag: bytes
    begin: int
    end: int


def read_prologue(path: Path, content: bytes, is_all: bool) -> Prologue | None:
    """The root of a file that begins with `content`; None when more of it is needed, which `is_all` rules out.

    Raises DamagedFileError for what is no XML and for another kind of XML.
    """
    at = 0
    while True:
        at += len(content[at:]) - len(content[at:].lstrip())
        end = _misc_end(content, at)
        if end is None:
            break
        if end < 0:
            if is_all:
                raise _no_xml(path, content, at)
            return None
        at = end
    root = _ROOT.match(content, at)
    if root is None:
        begun = content.startswith(b"<", at) and b">" not in content[at:]
        if is_all or (at < len(content) and not begun):
            raise _no_xml(path, content, at)
        return None
    name = root[1].decode(errors="replace")
    if name not in RECORDS | SETS:
        hint = " That is a full text (JATS), not a PubMed citation." if name == "article" else ""
        raise DamagedFileError(
            path,
            "wrong root element",
            f"expected PubMed XML with the root element PubmedArticleSet or MedlineCitationSet, found <{name}>.{hint} "
            "Give only files of PubMed citations to this verb.",
        )
    return Prologue(name, root[0], root.start(), root.end())


def _misc_end(content: bytes, at: int) -> int | None:
    """Where a comment, an instruction or the document type at `at` ends; -1 if not in `content`, None if there is none."""
    for start, stop in ((b"<!--", b"-->"), (b"<?", b"?>")):
        if content.startswith(start, at):
            end = content.find(stop, at + len(start))
            return -1 if end < 0 else end + len(stop)
    if content[at : at + 9].upper() == b"<!DOCTYPE":
        return _doctype_end(content, at + 9)
    return None


def _doctype_end(content: bytes, at: int) -> int:
    inside_subset = False
    while mark := _IN_DOCTYPE.search(content, at):
        at = mark.end()
        if mark[0] in (b"<!--", b"<?", b'"', b"'"):
            stop = {b"<!--": b"-->", b"<?": b"?>"}.get(mark[0], mark[0])
            end = content.find(stop, at)
            if end < 0:
                return -1
            at = end + len(stop)
        elif mark[0] == b">":
            if not inside_subset:
                return at
        else:
            inside_subset = mark[0] == b"["
    return -1


def _no_xml(path: Path, content: bytes, at: int) -> DamagedFileError:
    if not content.strip():
        return DamagedFileError(
            path, "empty", "expected PubMed XML, found an empty file. Download it again or leave it out."
        )
    line = 1 + content.count(b"\n", 0, at)
    return DamagedFileError(
        path,
        "not well-formed XML",
        f"line {line}: expected well-formed PubMed XML that begins with <PubmedArticleSet>, found: "
        f"{shown(content[at : at + 80])}. Download the file again and compare its checksum.",
    )


def shown(piece: bytes) -> str:
    """A piece of a file for a message: one line, at most 60 characters, harmless for a terminal."""
    text = " ".join(piece.decode(errors="replace").split())
    text = "".join(character if character.isprintable() else "�" for character in text)
    return f"'{text[:60]}'" + "…" * (len(text) > 60)
