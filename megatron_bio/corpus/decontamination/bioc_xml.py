"""Benchmarks in BioC XML: documents of passages. Entities are never expanded and nothing else is opened.

Format: Comeau et al. 2013, BioC: a minimalist approach to interoperability for biomedical text processing.
"""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from megatron_bio.corpus.decontamination.benchmark import BenchmarkFile, BenchmarkItem, shown
from megatron_bio.corpus.safe_parsing import SAFE_PARSING

_PMID = re.compile(r"[1-9][0-9]{0,8}")


def is_xml(line: str) -> bool:
    """A declaration or an element begins."""
    return line.startswith("<")


def read_bioc_xml(file: BenchmarkFile) -> Iterator[BenchmarkItem]:
    """One item a document; its id is its PMID unless it is a PMC number or a word."""
    try:
        root = etree.fromstring(file.content, etree.XMLParser(**SAFE_PARSING))
    except etree.XMLSyntaxError as error:
        raise file.damaged(f"line {error.lineno}", f"well-formed BioC XML, found: {error.msg}") from error
    if root.tag != "collection":
        raise file.damaged("line 1", f"BioC XML with the root element collection, found <{shown(root.tag)}>")
    for document in root.iterchildren("document"):
        yield _item(document)


def _item(document: Any) -> BenchmarkItem:
    identifier = (document.findtext("id") or "").strip()
    numbers = [identifier] + [
        (infon.text or "").strip()
        for infon in document.findall("passage/infon")
        if infon.get("key") == "article-id_pmid"
    ]
    texts = [text for passage in document.iterchildren("passage") for text in _texts(passage)]
    return BenchmarkItem(
        name=f"document {identifier or f'at line {document.sourceline}'}",
        pmids=tuple(dict.fromkeys(int(number) for number in numbers if _PMID.fullmatch(number))),
        whole=tuple(texts),
    )


def _texts(passage: Any) -> list[str]:
    """The text of a passage, or of its sentences where it is cut into them."""
    elements = passage.findall("text") or passage.findall("sentence/text")
    return ["".join(element.itertext()) for element in elements]
