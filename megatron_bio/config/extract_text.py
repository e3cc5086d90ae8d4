"""Options of `extract pile` and `extract text`, which take texts that others have extracted."""

import codecs
import difflib
from dataclasses import dataclass, field
from typing import Literal

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.extract import ExtractionOptions

PILE_SUBSETS = (
    *("ArXiv", "BookCorpus2", "Books3", "DM Mathematics", "Enron Emails", "EuroParl", "FreeLaw", "Github"),
    *("Gutenberg (PG-19)", "HackerNews", "NIH ExPorter", "OpenSubtitles", "OpenWebText2", "PhilPapers"),
    *("Pile-CC", "PubMed Abstracts", "PubMed Central", "StackExchange", "USPTO Backgrounds", "Ubuntu IRC"),
    *("Wikipedia (en)", "YoutubeSubtitles"),
)
BIOMEDICAL_SUBSETS = ("PubMed Abstracts", "PubMed Central")


@dataclass(frozen=True, kw_only=True)
class ExtractPileOptions(ExtractionOptions):
    """The Pile's files in, the documents of some of its subsets out, text unchanged."""

    subsets: list[str] = field(default_factory=lambda: list(BIOMEDICAL_SUBSETS))
    """Subsets to keep, by The Pile's own names; what belongs to another one is counted by its name."""

    def __post_init__(self) -> None:
        """Refuse names that The Pile does not have."""
        super().__post_init__()
        if not self.subsets:
            raise ConfigurationError("--subsets: expected at least one subset of The Pile, found none.")
        for name in self.subsets:
            if name not in PILE_SUBSETS:
                lower = {subset.lower(): subset for subset in PILE_SUBSETS}
                near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.4)
                meant = f" Did you mean '{lower[near[0]]}'?" if near else ""
                raise ConfigurationError(
                    f"--subsets: expected names of subsets of The Pile, found '{name}'.{meant} "
                    f"All: {', '.join(PILE_SUBSETS)}. Put names with a space in quotes."
                )


@dataclass(frozen=True, kw_only=True)
class ExtractTextOptions(ExtractionOptions):
    """JSONL, Parquet or plain text in, documents out, text unchanged. Keys may lie deeper: meta.year is year inside meta."""

    format: Literal["auto", "jsonl", "text", "parquet"] = "auto"
    """What the files are; auto looks into each of them."""
    text_key: str = "text"
    """Key or column of the text."""
    title_key: str = "title"
    """Key or column of the title; records without one get an empty title."""
    id_key: str = "id"
    """Key or column of the id, text or a whole number; records without one are named FILE:NUMBER by line or row."""
    meta_keys: list[str] = field(default_factory=list)
    """Further keys or columns to keep in the document's meta; year=meta.pub_year keeps one under another name."""
    source: str = "text"
    """Source of these documents, under which later counts list them."""
    document_separator: Literal["file", "blank-line", "line"] = "file"
    """In plain text, what ends a document."""
    file_ids: Literal["name", "path"] = "name"
    """Name documents after the file's name, or after its path as given, for files of the same name in several folders."""
    encoding: str = "auto"
    """Encoding of JSONL and plain text: auto is UTF-8 unless a byte order mark says UTF-16 or UTF-32; or latin-1, cp1252, ..."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any file is opened."""
        super().__post_init__()
        for flag, choice, choices in (
            ("format", self.format, ("auto", "jsonl", "text", "parquet")),
            ("document_separator", self.document_separator, ("file", "blank-line", "line")),
            ("file_ids", self.file_ids, ("name", "path")),
        ):
            if choice not in choices:
                raise ConfigurationError(f"--{flag}: expected {' or '.join(choices)}, found '{choice}'.")
        for flag, key in (("text_key", self.text_key), ("source", self.source)):
            if not key:
                raise ConfigurationError(f"--{flag}: expected a name, found an empty one.")
        names = list(self.meta_names)
        if len(names) != len(self.meta_keys) or not all(names):
            raise ConfigurationError(
                f"--meta_keys: expected KEY or NAME=KEY, each name once, found {' '.join(self.meta_keys)}."
            )
        if self.encoding != "auto":
            _check_encoding(self.encoding)

    @property
    def meta_names(self) -> dict[str, str]:
        """Name in the document's meta to the key that it is taken from."""
        pairs = (entry.partition("=") for entry in self.meta_keys)
        return {name: key if equals else name for name, equals, key in pairs}


def _check_encoding(name: str) -> None:
    try:
        codecs.lookup(name)
        "text".encode(name)
    except LookupError as error:
        raise ConfigurationError(
            f"--encoding: expected the name of a text encoding, such as utf-8, latin-1 or cp1252, found '{name}'."
        ) from error
