"""The element of a record → its fields: the way that reads everything, of which `shortcut` is a faster copy."""

import re
from collections.abc import Iterator
from typing import Any

from megatron_bio.corpus.characters import clean
from megatron_bio.corpus.markup_text import element_text
from megatron_bio.corpus.pubmed.citation import NO_PMID, Deletion, UnusableRecord
from megatron_bio.corpus.pubmed.fields import Fields, Section

_PMID = re.compile(r"[0-9]{1,10}")
_VERSION = re.compile(r"[0-9]{1,5}")


def deletions(record: Any) -> Iterator[Deletion | UnusableRecord]:
    """What a DeleteCitation withdraws; NLM names each version."""
    for element in record.iterchildren("PMID"):
        pmid = _pmid(element)
        if pmid is None:
            yield UnusableRecord(reason=NO_PMID)
        else:
            yield Deletion(pmid=pmid, version=_version(element))


def record_fields(record: Any, all_fields: bool) -> Fields:
    """The fields of a citation or book; raises UnknownEntityError."""
    if record.tag == "PubmedBookArticle":
        holder = content = record.find("BookDocument")
    else:
        holder = record if record.tag == "MedlineCitation" else record.find("MedlineCitation")
        content = None if holder is None else holder.find("Article")
    number = None if holder is None else holder.find("PMID")
    if number is None or holder is None:
        return Fields(pmid=None)
    version = _version(number)
    fields = Fields(pmid=_pmid(number), version=1 if version is None else version, has_all=all_fields)
    if content is not None:
        title = content.find("ArticleTitle")
        if title is None:
            title = content.find("Book/BookTitle")
        if title is not None:
            fields.title = element_text(title)
        fields.abstract = [
            section for abstract in content.iterfind("Abstract") for section in sections(abstract)
        ]
        fields.languages = _texts(content.iterfind("Language"))
        fields.publication_types = [
            *_texts(content.iterfind("PublicationTypeList/PublicationType")),
            *_texts(content.iterfind("PublicationType")),
        ]
        if all_fields:
            _describe_content(content, fields)
    fields.relations = [
        element.get("RefType", "")
        for element in holder.iterfind("CommentsCorrectionsList/CommentsCorrections")
    ]
    if all_fields:
        _describe_record(record, holder, content, fields)
    return fields


def _pmid(element: Any) -> int | None:
    found = _PMID.fullmatch(clean(element.text or ""))
    return int(found[0]) if found else None


def _version(element: Any) -> int | None:
    found = _VERSION.fullmatch(element.get("Version", ""))
    return int(found[0]) if found else None


def sections(abstract: Any) -> list[Section]:
    """Label and text of each section; text that stands outside of sections against the DTD is one too."""
    found = [("", clean(abstract.text or ""))]
    for child in abstract:
        if child.tag == "AbstractText":
            found.append((clean(child.get("Label", "")), element_text(child)))
        found.append(("", clean(child.tail or "")))
    return [section for section in found if section[1]]


def _describe_content(content: Any, fields: Fields) -> None:
    vernacular = content.find("VernacularTitle")
    if vernacular is not None:
        fields.vernacular_title = element_text(vernacular)
    date = content.find("Journal/JournalIssue/PubDate")
    if date is None:
        date = content.find("Book/PubDate")
    if date is not None:
        fields.date = " ".join(date.itertext())
    journal = content.find("Journal/Title")
    if journal is None:
        journal = content.find("Book/BookTitle")
    if journal is not None:
        fields.journal = element_text(journal)


def _describe_record(record: Any, holder: Any, content: Any | None, fields: Fields) -> None:
    fields.mesh = _texts(holder.iterfind("MeshHeadingList/MeshHeading/DescriptorName"))
    fields.keywords = _texts(holder.iterfind("KeywordList/Keyword"))
    fields.other_abstracts = [
        (clean(element.get("Language", "")), sections(element))
        for element in holder.iterfind("OtherAbstract")
    ]
    identifiers = [
        (element.get("IdType", ""), element_text(element))
        for path in ("PubmedData/ArticleIdList/ArticleId", "PubmedBookData/ArticleIdList/ArticleId")
        for element in record.iterfind(path)
    ]
    if content is not None:
        identifiers += [
            (element.get("EIdType", ""), element_text(element))
            for element in content.iterfind("ELocationID")
            if element.get("ValidYN", "Y") == "Y"
        ]
    identifiers += [("pmc", element_text(element)) for element in holder.iterfind("OtherID")]
    fields.identifiers = [pair for pair in identifiers if pair[0] in ("doi", "pmc")]


def _texts(elements: Iterator[Any]) -> list[str]:
    return [text for element in elements if (text := element_text(element))]
