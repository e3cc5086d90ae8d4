"""ChemProt (BioCreative VI track 5) from its original files, all with tabs:

* NAME_abstracts.tsv: PMID, title, abstract
* NAME_entities.tsv: PMID, T1, type (CHEMICAL, GENE-Y, GENE-N), start, end, mention; offsets count title, one character, abstract
* NAME_relations.tsv: PMID, CPR:n, Y or N (evaluated or not), name, Arg1:T1, Arg2:T2
* NAME_gold_standard.tsv: PMID, CPR:n, Arg1:T1, Arg2:T2, the evaluated relations

A pair is a chemical and a gene in one sentence. Its class is one of CPR:3, 4, 5, 6, 9, the five that are evaluated, or `false`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.downstream.readers.relation_forms import FALSE, Argument, Pair, Relation, RelationSet
from megatron_bio.downstream.readers.text_spans import document_sentences
from megatron_bio.tokens.data_file import DataFile, shown

CLASSES = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9")
CHEMICAL = "CHEMICAL"
GENES = ("GENE-Y", "GENE-N", "GENE")
PARTS = ("abstracts", "entities", "relations", "gold_standard")

NOT_EVALUATED = "relation of a class that is not evaluated"
ACROSS_SENTENCES = "evaluated relation across sentences"
SECOND_CLASS = "second class of a pair"
MENTION_ACROSS = "mention that goes over the end of a sentence"
ACROSS_PAIRS = "chemical and gene of one document in different sentences"

_PART = re.compile(r"(.*?)_?(abstracts|entities|relations|gold_standard)(?:_gs)?\.tsv(?:\.\w+)?")
_CLASS = re.compile(r"CPR:\d+")


@dataclass(frozen=True, slots=True)
class _Mention:
    id: str
    type: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class ChemProtFiles:
    """The files of one part. `test` was published with `_gs` behind the names of two of them."""

    name: str
    abstracts: Path
    entities: Path
    relations: Path | None
    gold_standard: Path | None


def chemprot_part(path: Path) -> tuple[str, str] | None:
    """Name and kind by the file's name: `chemprot_training`, `entities`; None for other files."""
    match = _PART.fullmatch(path.name)
    return (match[1], match[2]) if match else None


def read_chemprot(files: ChemProtFiles) -> RelationSet:
    """Read one part. Raises DamagedFileError with file and line.

    Without the gold standard the relations with Y are the gold; with both, they must be the same.
    """
    texts = _read_abstracts(DataFile(files.abstracts))
    mentions = _read_entities(DataFile(files.entities), texts)
    left_out: Counter[str] = Counter()
    gold = _read_gold(files, mentions, left_out)
    labels: dict[tuple[str, str, str], str] = {}
    for relation in gold:
        key = (relation.document, relation.first, relation.second)
        if labels.setdefault(key, relation.label) != relation.label:
            left_out[SECOND_CLASS] += 1
    pairs: list[Pair] = []
    sentences = 0
    for pmid, (title, abstract) in texts.items():
        ranges = document_sentences(title, abstract)
        sentences += len(ranges)
        pairs += _pairs(pmid, f"{title} {abstract}", ranges, mentions.get(pmid, {}), labels, left_out)
    held = {(pair.document, pair.first.id, pair.second.id) for pair in pairs}
    left_out[ACROSS_SENTENCES] += sum(key not in held for key in labels)
    return RelationSet(
        pairs=tuple(pairs),
        gold=tuple(gold),
        documents=len(texts),
        sentences=sentences,
        entities_by_type=Counter(mention.type for inside in mentions.values() for mention in inside.values()),
        offsets_verified=sum(map(len, mentions.values())),
        left_out=+left_out,
    )


def _rows(file: DataFile, columns: str) -> Iterator[tuple[int, list[str]]]:
    """Number and columns of each line; `columns` names those that must be there."""
    count = columns.count(",") + 1
    for number, line in file.filled_lines():
        row = line.split("\t")
        if len(row) != count:
            raise file.damaged(
                f"line {number}", f"{count} columns with tabs ({columns}), found {len(row)}: {shown(line)}"
            )
        yield number, row


def _read_abstracts(file: DataFile) -> dict[str, tuple[str, str]]:
    texts: dict[str, tuple[str, str]] = {}
    for number, (pmid, title, abstract) in _rows(file, "PMID, title, abstract"):
        if pmid in texts:
            raise file.damaged(f"line {number}", f"each PMID once, found {pmid} again")
        texts[pmid] = (title, abstract)
    return texts


def _read_entities(file: DataFile, texts: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, _Mention]]:
    mentions: dict[str, dict[str, _Mention]] = {}
    for number, (pmid, name, kind, start, end, mention) in _rows(file, "PMID, id, type, start, end, mention"):
        if pmid not in texts:
            raise file.damaged(f"line {number}", f"a PMID of the abstracts' file, found {shown(pmid)}")
        if kind != CHEMICAL and kind not in GENES:
            raise file.damaged(
                f"line {number}", f"the type {CHEMICAL}, {' or '.join(GENES)}, found {shown(kind)}"
            )
        if not (start.isdecimal() and end.isdecimal()):
            raise file.damaged(
                f"line {number}", f"two offsets in characters, found {shown(start)} and {shown(end)}"
            )
        found = " ".join(texts[pmid])[int(start) : int(end)]
        if found != mention or not mention:
            raise file.damaged(
                f"line {number}",
                f"the mention {shown(mention)} at characters {start} to {end} of document {pmid}, found {shown(found)}",
            )
        of_document = mentions.setdefault(pmid, {})
        if name in of_document:
            raise file.damaged(f"line {number}", f"each id once in document {pmid}, found {name} again")
        of_document[name] = _Mention(name, kind, int(start), int(end))
    return mentions


def _read_gold(
    files: ChemProtFiles, mentions: Mapping[str, Mapping[str, _Mention]], left_out: Counter[str]
) -> list[Relation]:
    evaluated: list[Relation] | None = None
    if files.relations is not None:
        file = DataFile(files.relations)
        evaluated = []
        for number, (pmid, label, flag, _, *arguments) in _rows(
            file, "PMID, class, Y or N, name, Arg1, Arg2"
        ):
            if flag.strip() not in ("Y", "N"):
                raise file.damaged(f"line {number}", f"Y or N in the third column, found {shown(flag)}")
            relation = _relation(file, number, pmid, label, arguments, mentions)
            if flag.strip() == "Y":
                evaluated.append(_evaluated(file, number, relation))
            else:
                left_out[NOT_EVALUATED] += 1
    if files.gold_standard is None:
        return evaluated or []
    file = DataFile(files.gold_standard)
    gold = [
        _evaluated(file, number, _relation(file, number, pmid, label, arguments, mentions))
        for number, (pmid, label, *arguments) in _rows(file, "PMID, class, Arg1, Arg2")
    ]
    if evaluated is not None and (differing := set(gold) ^ set(evaluated)):
        one = min(differing, key=lambda relation: (relation.document, relation.first, relation.second))
        raise file.damaged(
            "whole file",
            f"the relations with Y of {files.relations}, found {len(differing)} in one file alone, the first {one}",
        )
    return gold


def _relation(
    file: DataFile,
    number: int,
    pmid: str,
    label: str,
    arguments: list[str],
    mentions: Mapping[str, Mapping[str, _Mention]],
) -> Relation:
    """The relation with a chemical first and a gene second; a row that names other mentions is refused."""
    first, second = (
        argument.removeprefix(f"Arg{place}:") for place, argument in enumerate(arguments, start=1)
    )
    known = mentions.get(pmid, {})
    if not _CLASS.fullmatch(label):
        raise file.damaged(f"line {number}", f"a class CPR:n, found {shown(label)}")
    if first not in known or second not in known:
        missing = first if first not in known else second
        raise file.damaged(f"line {number}", f"ids of mentions of document {pmid}, found {shown(missing)}")
    if known[first].type != CHEMICAL or known[second].type not in GENES:
        kinds = f"{known[first].type} and {known[second].type}"
        raise file.damaged(f"line {number}", f"a chemical and a gene, found {kinds}")
    return Relation(document=pmid, label=label, first=first, second=second)


def _evaluated(file: DataFile, number: int, relation: Relation) -> Relation:
    if relation.label not in CLASSES:
        raise file.damaged(
            f"line {number}",
            f"one of the evaluated classes {', '.join(CLASSES)}, found {shown(relation.label)}",
        )
    return relation


def _pairs(
    pmid: str,
    text: str,
    ranges: list[tuple[int, int]],
    mentions: Mapping[str, _Mention],
    labels: Mapping[tuple[str, str, str], str],
    left_out: Counter[str],
) -> Iterator[Pair]:
    whole = {
        mention.id: index
        for mention in mentions.values()
        for index, (start, end) in enumerate(ranges)
        if start <= mention.start and mention.end <= end
    }
    left_out[MENTION_ACROSS] += len(mentions) - len(whole)
    ordered = sorted(mentions.values(), key=lambda mention: (mention.start, mention.end))
    for chemical in ordered:
        if chemical.type != CHEMICAL:
            continue
        for gene in ordered:
            if gene.type not in GENES:
                continue
            index = whole.get(chemical.id)
            if index is None or whole.get(gene.id) != index:
                left_out[ACROSS_PAIRS] += 1
                continue
            start, end = ranges[index]
            yield Pair(
                document=pmid,
                text=text[start:end],
                first=_argument(chemical, CHEMICAL, start),
                second=_argument(gene, "GENE", start),
                label=labels.get((pmid, chemical.id, gene.id), FALSE),
            )


def _argument(mention: _Mention, kind: str, start: int) -> Argument:
    return Argument(id=mention.id, type=kind, start=mention.start - start, end=mention.end - start)
