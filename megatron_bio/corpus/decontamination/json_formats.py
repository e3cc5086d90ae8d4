"""Benchmarks in JSON: BioASQ, SQuAD, PubMedQA, BioC, and records one a line or in a list, as MedQA and MedMCQA are."""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from megatron_bio.corpus.decontamination.benchmark import BenchmarkFile, BenchmarkItem, shown
from megatron_bio.corpus.decontamination.json_fields import Fields, is_complete_object, parsed_json
from megatron_bio.corpus.decontamination.records import record_item, records_format
from megatron_bio.corpus.identifiers import as_pmid

Reader = Callable[[Fields], Iterator[BenchmarkItem]]

_PMID = re.compile(r"[1-9][0-9]{0,8}")
_PUBMED_ADDRESS = re.compile(r"pubmed(?:\.ncbi\.nlm\.nih\.gov)?/([1-9][0-9]{0,8})\b")


def is_json(line: str) -> bool:
    """An object or a list begins."""
    return line.startswith(("{", "["))


def read_json(file: BenchmarkFile) -> tuple[str, list[BenchmarkItem]]:
    """The name of the form and the items. Several objects, one a line, are JSONL. Raises DamagedFileError."""
    objects = _lines_of_objects(file)
    if objects:
        return records_format(objects[0]), [record_item(fields) for fields in objects]
    content = parsed_json(file, file.text, 1)
    if isinstance(content, list) and content and not isinstance(content[0], dict):
        return "PMID list", [_listed_pmid(file, index, value) for index, value in enumerate(content)]
    fields = Fields(file, "", {"articles": content} if isinstance(content, list) else content)
    for key, (name, read) in FORMS.items():
        if key in fields.values:
            return name, [item for part in fields.objects(key) for item in read(part)]
    if fields.values and all(_PMID.fullmatch(key) for key in fields.values):
        return "PubMedQA", [_pubmedqa(fields, pmid) for pmid in fields.values]
    return records_format(fields), [record_item(fields)]


def _listed_pmid(file: BenchmarkFile, index: int, value: object) -> BenchmarkItem:
    """An entry of a list that is no list of objects."""
    pmid = as_pmid(value)
    if pmid is None:
        raise file.damaged(
            f"entry {index + 1} of the list", f"a PMID, as in a list of PMIDs, found {shown(value)}"
        )
    return BenchmarkItem(name=f"PMID {pmid}", pmids=(pmid,))


def _lines_of_objects(file: BenchmarkFile) -> list[Fields]:
    """The objects of a JSONL file; none if it is one JSON text, which may go over many lines."""
    lines = [(number, line) for number, line in file.lines() if line]
    if len(lines) < 2 or not is_complete_object(lines[0][1]):
        return []
    return [Fields(file, f"line {number}", parsed_json(file, line, number)) for number, line in lines]


def _squad(article: Fields) -> Iterator[BenchmarkItem]:
    """SQuAD: an article of paragraphs, each with its questions; or any record, which other sets keep under `data`."""
    if "paragraphs" not in article.values:
        yield record_item(article)
        return
    for paragraph in article.objects("paragraphs"):
        yield BenchmarkItem(
            name=paragraph.place,
            whole=(
                paragraph.string("context"),
                *(question.string("question") for question in paragraph.objects("qas")),
            ),
        )


def _bioasq(question: Fields) -> Iterator[BenchmarkItem]:
    """BioASQ task B: a question, addresses of the articles with the answer, snippets of them."""
    snippets = list(question.objects("snippets"))
    addresses = question.strings("documents")
    addresses += [snippet.string("document") for snippet in snippets if "document" in snippet.values]
    pmids = [int(match[1]) for address in addresses if (match := _PUBMED_ADDRESS.search(address))]
    yield BenchmarkItem(
        name=f"question {question.values.get('id', question.place)}",
        pmids=tuple(dict.fromkeys(pmids)),
        whole=(question.string("body"), *(snippet.string("text") for snippet in snippets)),
    )


def _bioc(document: Fields) -> Iterator[BenchmarkItem]:
    """BioC: a document of passages."""
    identifier = str(document.values.get("id", ""))
    yield BenchmarkItem(
        name=f"document {identifier or document.place}",
        pmids=(int(identifier),) if _PMID.fullmatch(identifier) else (),
        whole=tuple(part.string("text") for part in document.objects("passages") if "text" in part.values),
    )


def _pubmedqa(questions: Fields, pmid: str) -> BenchmarkItem:
    """PubMedQA: PMID → question, contexts, conclusion; or PMID → answer, as in the ground truth of its test set."""
    name, pmids = f"PMID {pmid}", (int(pmid),)
    if isinstance(questions.values[pmid], str):
        return BenchmarkItem(name=name, pmids=pmids)
    fields = Fields(questions.file, name, questions.values[pmid])
    conclusion = [fields.string("LONG_ANSWER")] if "LONG_ANSWER" in fields.values else []
    return BenchmarkItem(
        name=name,
        pmids=pmids,
        whole=(fields.string("QUESTION"),),
        texts=(*fields.strings("CONTEXTS"), *conclusion),
    )


def _record(fields: Fields) -> Iterator[BenchmarkItem]:
    yield record_item(fields)


FORMS: Final[Mapping[str, tuple[str, Reader]]] = MappingProxyType(
    {
        "questions": ("BioASQ", _bioasq),
        "data": ("SQuAD", _squad),
        "documents": ("BioC JSON", _bioc),
        "PubTator3": ("BioC JSON", _bioc),
        "articles": ("JSON records", _record),
    }
)
"""The key by which a form is told → its name and the reader of one object in the list under that key."""
