"""PubTator files: BC5CDR and NCBI-disease as published, and what PubTator exports.

`PMID|t|title`, `PMID|a|abstract`, then lines of annotations with tabs: PMID, start, end, mention, type, and perhaps an
identifier and the parts of a composite mention. Offsets count characters of the title, one character, and the abstract.
Relations between identifiers (`PMID  CID  D00  D00`) are counted, not read.
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from megatron_bio.downstream.readers.entity_forms import OUTSIDE, Document, Entity, EntitySet, Sentence
from megatron_bio.downstream.readers.text_spans import Range, document_sentences, word_ranges
from megatron_bio.tokens.data_file import DataFile, shown

RELATIONS = "relation between identifiers"
REPEATED = "same mention at the same place twice"
DOCUMENT_AGAIN = "document that was there before, as one of NCBI-disease's training set is"
OVERLAPPING = "inside or across a longer entity"
ACROSS_SENTENCES = "goes over the end of a sentence"
INSIDE_A_WORD = "begins or ends inside a word"

_TEXT_LINE = re.compile(r"(\d+)\|([ta])\|(.*)")
_RELATION_COLUMNS = 4
_ENTITY_COLUMNS = 5


@dataclass
class _Open:
    """A document whose lines are being read."""

    texts: dict[str, str] = field(default_factory=dict)
    entities: list[Entity] = field(default_factory=list)


def is_pubtator_line(line: str) -> bool:
    """`12345678|t|Title`."""
    match = _TEXT_LINE.fullmatch(line)
    return match is not None and match[2] == "t"


def read_pubtator(
    file: DataFile, types: Collection[str] | None = None
) -> tuple[tuple[Document, ...], Counter[str]]:
    """Documents with all entities as they are in the file, and what of its lines is not in them, by reason.

    Of a PMID that comes twice with the same texts the annotations are put together. Raises DamagedFileError with the line for one
    with other texts, an annotation without a text before it, offsets that do not give the mention,
    a type that is not among `types`, and any other line.
    """
    opened: dict[str, _Open] = {}
    left_out: Counter[str] = Counter()
    for number, line in file.filled_lines():
        text = _TEXT_LINE.fullmatch(line)
        if text is not None:
            texts = opened.setdefault(text[1], _Open()).texts
            if texts.get(text[2], text[3]) != text[3]:
                raise file.damaged(
                    f"line {number}", f"each PMID once, found another text for {text[1]}|{text[2]}|"
                )
            left_out[DOCUMENT_AGAIN] += text[2] == "t" and "t" in texts
            texts[text[2]] = text[3]
            continue
        columns = line.split("\t")
        document = opened.get(columns[0])
        if document is None or len(document.texts) < 2 or len(columns) < _RELATION_COLUMNS:
            raise file.damaged(
                f"line {number}",
                f"PMID|t|title, PMID|a|abstract or an annotation of a text before it, found {shown(line)}",
            )
        if not columns[1].isdecimal():
            left_out[RELATIONS] += 1
        else:
            document.entities.append(_entity(file, number, columns, document, types))
    documents = tuple(
        Document(
            id=pmid,
            title=document.texts.get("t", ""),
            abstract=document.texts.get("a", ""),
            entities=tuple(document.entities),
        )
        for pmid, document in opened.items()
    )
    return documents, +left_out


def read_pubtator_sentences(file: DataFile, types: Collection[str] | None = None) -> EntitySet:
    """The same as sentences with tags. Entities that tags cannot hold are counted by reason. Raises as `read_pubtator`."""
    documents, left_out = read_pubtator(file, types)
    return EntitySet(
        sentences=tuple(
            sentence for document in documents for sentence in tagged_sentences(document, left_out)
        ),
        documents=len(documents),
        offsets_verified=sum(len(document.entities) for document in documents),
        left_out=left_out,
    )


def tagged_sentences(document: Document, left_out: Counter[str]) -> list[Sentence]:
    """The sentences of a document with IOB2 tags; of entities that overlap the longest is kept, then the first."""
    text = document.text
    flat = _without_overlaps(document.entities, left_out)
    sentences = []
    for start, end in document_sentences(document.title, document.abstract):
        inside = [entity for entity in flat if start <= entity.start < end]
        words = word_ranges(text[start:end])
        tags = [OUTSIDE] * len(words)
        for entity in inside:
            if entity.end > end:
                left_out[ACROSS_SENTENCES] += 1
            elif not _tag(tags, words, entity, start):
                left_out[INSIDE_A_WORD] += 1
        sentences.append(
            Sentence(
                text=text[start:end],
                words=tuple(text[start + first : start + last] for first, last in words),
                offsets=tuple(words),
                tags=tuple(tags),
                document=document.id,
                place=start,
            )
        )
    return sentences


def _entity(
    file: DataFile, number: int, columns: list[str], document: _Open, types: Collection[str] | None
) -> Entity:
    if len(columns) < _ENTITY_COLUMNS or not columns[2].isdecimal():
        raise file.damaged(
            f"line {number}", f"PMID, start, end, mention and type with tabs, found {shown(columns)}"
        )
    start, end, mention, kind = int(columns[1]), int(columns[2]), columns[3], columns[4]
    found = f"{document.texts['t']} {document.texts['a']}"[start:end]
    if found != mention or not mention:
        raise file.damaged(
            f"line {number}",
            f"the mention {shown(mention)} at characters {start} to {end} of document {columns[0]}, found {shown(found)}",
        )
    if types is not None and kind not in types:
        raise file.damaged(f"line {number}", f"an entity type of {sorted(types)}, found {shown(kind)}")
    return Entity(
        start=start,
        end=end,
        mention=mention,
        type=kind,
        identifier=columns[5] if len(columns) > _ENTITY_COLUMNS else "",
    )


def _without_overlaps(entities: tuple[Entity, ...], left_out: Counter[str]) -> list[Entity]:
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda entity: (entity.start - entity.end, entity.start)):
        others = [other for other in kept if entity.start < other.end and other.start < entity.end]
        if not others:
            kept.append(entity)
        elif any(
            (other.start, other.end, other.type) == (entity.start, entity.end, entity.type)
            for other in others
        ):
            left_out[REPEATED] += 1
        else:
            left_out[OVERLAPPING] += 1
    return sorted(kept, key=lambda entity: entity.start)


def _tag(tags: list[str], words: list[Range], entity: Entity, start: int) -> bool:
    """Tag the words of an entity; False, and no tag, if it does not begin and end with a word."""
    first, last = entity.start - start, entity.end - start
    inside = [index for index, (begin, end) in enumerate(words) if begin < last and first < end]
    if not inside or words[inside[0]][0] != first or words[inside[-1]][1] != last:
        return False
    for index in inside:
        tags[index] = f"{'B' if index == inside[0] else 'I'}-{entity.type}"
    return True
