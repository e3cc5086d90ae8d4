"""The bytes of a usual record → its fields, by searching for the few elements that are wanted; far faster than `tree`.

Each element is taken only where NLM's DTD has it, which the tags around it show, and in its usual spelling. Whatever is
unusual or rare makes it give up; `tree` then reads the record. What it gives equals what `tree` gives, but what it passes
over (authors, references, grants) is not checked: damage there costs nothing and is not seen.
DTD: https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/250101/
"""

import re
from typing import Any, Final

from lxml import etree

from megatron_bio.corpus.characters import UnknownEntityError
from megatron_bio.corpus.markup_text import element_text
from megatron_bio.corpus.pubmed.compiled import Spans, read_citation
from megatron_bio.corpus.pubmed.fields import YEAR, Fields, Section
from megatron_bio.corpus.pubmed.parser import PieceParser
from megatron_bio.corpus.pubmed.plain_text import plain_text, plain_texts
from megatron_bio.corpus.pubmed.splitter import RawRecord
from megatron_bio.corpus.pubmed.tree import sections

TAG_AND_SPACE_BYTES = 128
"""More than a tag that is looked for with the white space after it."""

_HEAD = re.compile(
    rb"(?:<PubmedArticle>\s*)?<MedlineCitation(?:\s[^<>&]*)?>\s*"
    rb'<PMID(?: Version="([0-9]{1,5})")?>([0-9]{1,10})</PMID>\s*'
    rb"(?:<Date(?:Created|Completed|Revised)>\s*(?:<(?:Year|Month|Day)>[^<&]*</(?:Year|Month|Day)>\s*)*"
    rb"</Date(?:Created|Completed|Revised)>\s*)*"
    rb'<Article(?: PubModel="[^"<&]*")?>\s*<Journal>'
)
_SECTION = re.compile(rb'\s*<AbstractText(?: Label="([^"<&]*)")?(?: NlmCategory="[^"<&]*")?>')
_AFTER_SECTIONS = re.compile(rb"\s*(?:<CopyrightInformation>[^<]*</CopyrightInformation>\s*)?</Abstract>")
_LANGUAGE = re.compile(rb"\s*<Language>([^<&]*)</Language>")
_BEFORE_ABSTRACT: Final = (b"</ArticleTitle>", b"</Pagination>", b"</ELocationID>")
_BEFORE_LANGUAGE: Final = (*_BEFORE_ABSTRACT, b"</Abstract>", b"</Affiliation>", b"</AuthorList>")
_BEFORE_IDENTIFIERS: Final = (b"</PublicationStatus>", b"</History>", b"<PubmedData>")
_JOURNAL = re.compile(rb"<Title>([^<]*)</Title>")
_DATE = re.compile(rb"<PubDate>\s*<(?:Year|MedlineDate)>([^<&]*)</(?:Year|MedlineDate)>")
_TYPE = re.compile(rb'<PublicationType(?: UI="[^"<&]*")?>([^<]*)</PublicationType>')
_LOCATION = re.compile(rb'<ELocationID EIdType="([^"<&]*)" ValidYN="([^"<&]*)">([^<]*)</ELocationID>')
_DESCRIPTOR = re.compile(rb"<MeshHeading>\s*<DescriptorName(?:\s[^<>&]*)?>([^<]*)</DescriptorName>")
_KEYWORD = re.compile(rb"<Keyword(?:\s[^<>&]*)?>([^<]*)</Keyword>")
_IDENTIFIER = re.compile(rb'<ArticleId IdType="([^"<&]*)">([^<]*)</ArticleId>')
_OWN_IDENTIFIERS = re.compile(rb"<ArticleIdList>(?:\s*%b)*\s*</ArticleIdList>" % _IDENTIFIER.pattern)
_OTHER_ID = re.compile(rb'<OtherID(?: Source="[^"<&]*")?>([^<]*)</OtherID>')


class _UnusualError(Exception):
    """The record is not as nearly all are."""


def usual_fields(record: RawRecord, all_fields: bool, parser: PieceParser) -> Fields | None:
    """The fields of a PubmedArticle or MedlineCitation without marks; None if `tree` must be asked, also if it is damaged."""
    try:
        return _fields(record.buffer, record.begin, record.end, all_fields, parser)
    except (_UnusualError, UnicodeDecodeError, UnknownEntityError, etree.XMLSyntaxError):
        return None


def _fields(xml: bytes, begin: int, end: int, all_fields: bool, parser: PieceParser) -> Fields | None:
    """The fields of the record in xml[begin:end]."""
    found = read_citation(xml, begin, end)
    if found is None:
        found = _text_fields(xml, begin, end, parser)
    if found is None:
        return None
    fields, spans = found
    corrections = xml.find(b"<CommentsCorrections", spans.article_end, spans.citation_end)
    if corrections >= 0 and (
        xml.find(b"RetractionIn", corrections, spans.citation_end) >= 0
        or xml.find(b"&#", corrections, spans.citation_end) >= 0
    ):
        return None
    if not all_fields:
        types = xml[spans.after_languages : spans.article_end]
        return None if b"retracted" in types.lower() or b"&#" in types else fields
    fields.has_all = True
    journal = xml[spans.head_end : spans.title_begin]
    locations = xml[spans.title_end : spans.before_authors]
    _describe_content(journal, locations, xml[spans.after_languages : spans.article_end], fields, parser)
    _describe_record(xml[spans.article_end : spans.citation_end], xml[spans.citation_end : end], fields)
    return fields


def _text_fields(xml: bytes, begin: int, end: int, parser: PieceParser) -> tuple[Fields, Spans] | None:
    """Title, abstract and languages of the record in xml[begin:end], and where they stand."""
    head = _HEAD.match(xml, begin, end)
    if head is None:
        return None
    find = xml.find
    # The bytes are passed over once: after the abstract and the authors comes the language, near the end of the article.
    title = find(b"<ArticleTitle>", head.end(), end)
    title_end = find(b"</ArticleTitle>", title, end)
    abstract = find(b"<Abstract>", title_end, end)
    sections_found, at = _abstract(xml, abstract, end, parser) if abstract >= 0 else ((), title_end)
    language = find(b"<Language>", at, end)
    article_end = find(b"</Article>", language, end)
    citation_end = find(b"</MedlineCitation>", article_end, end)
    if min(title, title_end, language, article_end, citation_end) < 0:
        return None
    if find(b"<Abstract", at, article_end) >= 0:
        return None  # One in another spelling, or a second one.
    _require_before(xml, title, b"</Journal>")
    _require_before(xml, language, _BEFORE_LANGUAGE)
    version, pmid = head.groups()
    fields = Fields(
        pmid=int(pmid),
        version=int(version) if version else 1,
        title=_text(xml, title, b"<ArticleTitle>", title_end, parser),
        abstract=sections_found,
    )
    languages = []
    at = language
    while found := _LANGUAGE.match(xml, at):
        languages.append(found[1])
        at = found.end()
    if find(b"<Language", at, article_end) >= 0:
        return None
    fields.languages = _texts(languages)
    spans = Spans(
        head_end=head.end(),
        title_begin=title,
        title_end=title_end,
        before_authors=language if abstract < 0 else abstract,
        after_languages=at,
        article_end=article_end,
        citation_end=citation_end,
    )
    return fields, spans


def _abstract(xml: bytes, begin: int, limit: int, parser: PieceParser) -> tuple[list[Section], int]:
    """The sections of the abstract that begins at `begin`, and where it ends."""
    _require_before(xml, begin, _BEFORE_ABSTRACT)
    found: list[Section] = []
    at = begin + len(b"<Abstract>")
    while section := _SECTION.match(xml, at, limit):
        label, inside = section[1], section.end()
        end = xml.find(b"</AbstractText>", inside, limit)
        text, name = plain_text(xml[inside:end]), plain_text(label) if label else ""
        if end < 0 or text is None or name is None:
            break
        if text:
            found.append((name, text))
        at = end + len(b"</AbstractText>")
    if close := _AFTER_SECTIONS.match(xml, at, limit):
        return found, close.end()
    end = xml.find(b"</Abstract>", begin, limit)
    if end < 0:
        raise _UnusualError
    end += len(b"</Abstract>")
    return sections(parser.elements(xml[begin:end])[0]), end


def _describe_content(
    journal: bytes, locations: bytes, after_language: bytes, fields: Fields, parser: PieceParser
) -> None:
    """What an Article says beside title, abstract and languages."""
    names = _all_of(_JOURNAL, b"<Title", journal)
    if len(names) > 1:
        raise _UnusualError
    if names:
        fields.journal = _one(names[0])
    if b"<PubDate" in journal:
        date = _DATE.search(journal)
        fields.date = date[1].decode() if date else ""
        if not YEAR.search(fields.date):
            raise _UnusualError
    types = after_language.find(b"<PublicationType")
    if types >= 0:
        types_end = after_language.find(b"</PublicationTypeList>", types)
        if types_end < 0 or not after_language.startswith(b"<PublicationTypeList>", types):
            raise _UnusualError
        region = after_language[types + len(b"<PublicationTypeList>") : types_end]
        fields.publication_types = _texts(_all_of(_TYPE, b"<PublicationType", region))
        if after_language.find(b"<PublicationType", types_end) >= 0:
            raise _UnusualError
    title = after_language.find(b"<VernacularTitle")
    if title >= 0:
        title_end = after_language.find(b"</VernacularTitle>", title)
        if title_end < 0 or not after_language.startswith(b"<VernacularTitle>", title):
            raise _UnusualError
        fields.vernacular_title = _text(after_language, title, b"<VernacularTitle>", title_end, parser)
    fields.identifiers = [
        ("doi", _one(value))
        for kind, is_valid, value in _all_of(_LOCATION, b"<ELocationID", locations)
        if kind == b"doi" and is_valid == b"Y"
    ]


def _describe_record(citation: bytes, data: bytes, fields: Fields) -> None:
    """What stands behind the Article: the rest of the MedlineCitation, and PubmedData."""
    if b"<OtherAbstract" in citation:
        raise _UnusualError
    mesh = citation.find(b"<MeshHeadingList")
    if mesh >= 0:
        mesh_end = citation.rfind(b"</MeshHeadingList>")
        if mesh_end < mesh:
            raise _UnusualError
        fields.mesh = _texts(_all_of(_DESCRIPTOR, b"<DescriptorName", citation[mesh:mesh_end]))
    keywords = citation.find(b"<KeywordList", max(mesh, 0))
    if keywords >= 0:
        found = _KEYWORD.findall(citation, keywords)
        if len(found) != citation.count(b"</Keyword>") or citation.rfind(b"</KeywordList>") < keywords:
            raise _UnusualError
        fields.keywords = _texts(found)
    identifiers: list[tuple[str, str]] = []
    own = data.find(b"<ArticleIdList")
    if own >= 0:
        _require_before(data, own, _BEFORE_IDENTIFIERS)
        own_list = _OWN_IDENTIFIERS.match(data, own)
        if own_list is None:
            raise _UnusualError
        identifiers += [
            (kind.decode(), _one(value))
            for kind, value in _IDENTIFIER.findall(own_list[0])
            if kind in (b"doi", b"pmc")
        ]
    identifiers += fields.identifiers
    other = citation.find(b"<OtherID")
    if other >= 0:
        values = _texts(_all_of(_OTHER_ID, b"<OtherID", citation[other:]))
        identifiers += [("pmc", value) for value in values]
    fields.identifiers = identifiers


def _text(xml: bytes, begin: int, tag: bytes, end: int, parser: PieceParser) -> str:
    """The text of the element whose start tag `tag` is at `begin` and whose end tag is at `end`."""
    text = plain_text(xml[begin + len(tag) : end])
    if text is None:
        text = element_text(parser.elements(xml[begin : end + len(tag) + 1])[0])
    return text


def _texts(pieces: list[bytes]) -> list[str]:
    texts = plain_texts(pieces)
    if texts is None:
        raise _UnusualError
    return texts


def _one(piece: bytes) -> str:
    text = plain_text(piece)
    if text is None:
        raise _UnusualError
    return text


def _all_of(pattern: re.Pattern[bytes], begin_tag: bytes, region: bytes) -> list[Any]:
    """What `pattern` finds in the region; gives up if it does not match every element that begins with the tag."""
    found = pattern.findall(region)
    if len(found) != region.count(begin_tag):
        raise _UnusualError
    return found


def _require_before(xml: bytes, position: int, tags: bytes | tuple[bytes, ...]) -> None:
    """Gives up unless the last tag before `position` is one of `tags`."""
    if xml.endswith(tags, 0, position):
        return
    if not xml[max(0, position - TAG_AND_SPACE_BYTES) : position].rstrip().endswith(tags):
        raise _UnusualError
