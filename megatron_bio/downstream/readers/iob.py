"""CoNLL and IOB files: a word and its tag on a line, a blank line behind each sentence.

The word is the first column, the tag the last; columns between them (parts of speech, chunks) are not read. Columns are
separated by tabs or, in a line without a tab, by spaces. Lines that begin with -DOCSTART- or ###MEDLINE: begin a document.
The text of a sentence is its words with one space between them.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from megatron_bio.downstream.readers.entity_forms import EntitySet, Sentence
from megatron_bio.downstream.readers.tag_schemes import Tag, as_iob2, parsed_tag, scheme_of
from megatron_bio.tokens.data_file import DataFile, shown

DOCUMENT_MARKS = ("-DOCSTART-", "###MEDLINE:")


@dataclass(frozen=True, slots=True)
class _Lines:
    """A sentence as it stands in the file."""

    place: int
    document: int
    words: tuple[str, ...]
    tags: tuple[Tag, ...]


def read_iob(file: DataFile, types: Collection[str] | None = None) -> EntitySet:
    """Read a file of words and tags.

    `types` are the entity types that may occur; without it all may. Raises DamagedFileError with the line for one that has
    no word and tag, for an unknown mark or type, and for a file without a sentence.
    """
    raw, lines, documents = _read_lines(file, types)
    if not raw:
        raise file.damaged("end of the file", "sentences of words with tags, found none")
    scheme = scheme_of([sentence.tags for sentence in raw])
    repaired: Counter[str] = Counter()
    sentences = tuple(_sentence(sentence, as_iob2(sentence.tags, scheme, repaired)) for sentence in raw)
    return EntitySet(
        sentences=sentences, documents=documents, offsets_verified=0, repaired=repaired, lines=lines
    )


def is_iob_line(line: str) -> bool:
    """A document mark, or a word and a tag."""
    columns = _columns(line)
    return line.startswith(DOCUMENT_MARKS) or (len(columns) > 1 and parsed_tag(columns[-1]) is not None)


def _read_lines(file: DataFile, types: Collection[str] | None) -> tuple[list[_Lines], int, int]:
    """Sentences, the number of lines, the number of document marks."""
    sentences: list[_Lines] = []
    words: list[str] = []
    tags: list[Tag] = []
    documents = place = number = 0
    known: dict[str, Tag] = {}
    for number, line in file.lines():
        is_mark = line.startswith(DOCUMENT_MARKS)
        if is_mark or not line:
            if words:
                sentences.append(_Lines(place, documents, tuple(words), tuple(tags)))
                words, tags = [], []
            documents += is_mark
            continue
        columns = _columns(line)
        written = columns[-1]
        tag = known.get(written)
        if tag is None or len(columns) < 2 or not columns[0]:
            tag = known[written] = _checked_tag(file, number, line, types)
        place = place if words else number
        words.append(columns[0])
        tags.append(tag)
    if words:
        sentences.append(_Lines(place, documents, tuple(words), tuple(tags)))
    return sentences, number - file.text.endswith("\n"), documents


def _columns(line: str) -> list[str]:
    return line.rstrip("\t ").split("\t") if "\t" in line else line.split()


def _checked_tag(file: DataFile, number: int, line: str, types: Collection[str] | None) -> Tag:
    columns = _columns(line)
    tag = parsed_tag(columns[-1]) if len(columns) > 1 and columns[0] else None
    if tag is None:
        raise file.damaged(
            f"line {number}", f"a word and an IOB tag (O, B-TYPE, I-TYPE and the like), found {shown(line)}"
        )
    if types is not None and tag[1] and tag[1] not in types:
        raise file.damaged(f"line {number}", f"an entity type of {sorted(types)}, found {shown(tag[1])}")
    return tag


def _sentence(raw: _Lines, tags: tuple[str, ...]) -> Sentence:
    offsets = []
    start = 0
    for word in raw.words:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return Sentence(
        text=" ".join(raw.words),
        words=raw.words,
        offsets=tuple(offsets),
        tags=tags,
        document=str(raw.document) if raw.document else "",
        place=raw.place,
    )
