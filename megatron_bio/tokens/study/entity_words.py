"""A data set of named entities in IOB form → the words that are part of an entity, with their counts."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.decontamination.benchmark import BenchmarkFile, shown

DOCUMENT_MARKS = ("-DOCSTART-", "###MEDLINE:")
OUTSIDE = "O"
PARTS_OF_ENTITIES = ("B", "I", "E", "S", "L", "M", "U")


@dataclass(frozen=True, kw_only=True)
class EntityWords:
    """The words of all entities of a data set, as often as they stand in it; a word is a line of the file."""

    name: str
    sha256: str
    """Of the file as it is on the disk, decompressed."""
    words: Counter[str]
    all_words: int
    """Those outside of entities included."""


def read_entity_words(name: str, path: Path) -> EntityWords:
    """Read a file in which each line is a token and, last, its tag: O, or B, I and the like, perhaps with a type.

    Plain, gzip, xz or zstd. Raises DamagedFileError for a line of another form, and for a file without entities.
    """
    file = BenchmarkFile(path)
    words: Counter[str] = Counter()
    all_words = 0
    for number, line in file.lines():
        if not line or line.startswith(DOCUMENT_MARKS):
            continue
        columns = line.rstrip("\t ").split("\t") if "\t" in line else line.split()
        tag = columns[-1].partition("-")[0]
        if len(columns) < 2 or not columns[0] or (tag != OUTSIDE and tag not in PARTS_OF_ENTITIES):
            raise file.damaged(f"line {number}", f"a token and an IOB tag, found {shown(line)}")
        all_words += 1
        if tag != OUTSIDE:
            words[columns[0]] += 1
    if not words:
        raise file.damaged("end of the file", f"words of entities, found {all_words} words and all tagged O")
    return EntityWords(name=name, sha256=file.sha256, words=words, all_words=all_words)
