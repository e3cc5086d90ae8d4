"""Held-out documents, in order, with how much of the files has been read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.tokens.document_lines import read_line_blocks
from megatron_bio.tokens.document_texts import parse_texts
from megatron_bio.tokens.encoding import EMPTY_DOCUMENT, NO_KEY, whole_text
from megatron_bio.tokens.token_inputs import find_inputs


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One document."""

    id: str
    place: str
    """File and line, for messages."""
    text: str
    """Empty if it is left out."""
    left_out: str | None
    """Why it is, if it is."""
    read_bytes: int
    """How much of the files on disk was read up to its end, about."""


def data_files(data: str) -> list[Path]:
    """Return the files that `--data` means; raises `UserError` for none, and for a whole corpus with its training split."""
    found = find_inputs([data], split_asked=False)
    if found.are_split:
        raise ConfigurationError(
            f"--data {data}: it is a whole corpus, with what models are trained on. Give a split of it, as {Path(data) / 'test'}."
        )
    return found.files


def read_held_out(files: Sequence[Path], keys: Sequence[str], most: int | None) -> Iterator[HeldOut]:
    """Give the first `most` documents, those to leave out too; raises DamagedFileError with file and line."""
    before = count = 0
    for block in read_line_blocks(files, [0] * len(files)):
        for number, line in enumerate(block.lines, start=block.first_line):
            if line.isspace():
                continue
            if most is not None and count == most:
                return
            count += 1
            document = parse_texts(block.path, number, line, keys)
            text = whole_text(document.texts)
            reason = EMPTY_DOCUMENT if document.texts else f"{NO_KEY} {', '.join(keys)}"
            yield HeldOut(
                id=document.id,
                place=f"{block.path}, line {number}",
                text=text,
                left_out=None if text else reason,
                read_bytes=before
                + block.read_bytes * (number - block.first_line + 1) // max(1, len(block.lines)),
            )
        before += block.read_bytes
