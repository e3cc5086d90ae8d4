"""The bytes of a usual record → its fields, by searching for the few elements that are wanted; far faster than `tree`.

Each element is taken only where NLM's DTD has it, which the tags around it show, and in its usual spelling. Whatever is
unusual or rare makes it give up; `tree` then reads the record. What it gives equals what `tree` gives, but what it passes
over (authors, references, grants) is not checked: damage there costs nothing and is not seen.
DTD: https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/250101/
"""

import re
from typing import Final

from lxml import etree

from megatron_bio.corpus.characters import UnknownEntityError, clean
from megatron_bio.corpus.markup_text import element_text
from megatron_bio.corpus.pubmed.fields import YEAR, Fields, Section
from megatron_bio.corpus.pubmed.parser import PieceParser
from megatron_bio.corpus.pubmed.tree import sections

_HEAD = re.compile(
    rb"(?:<PubmedArticle>\s*)?<MedlineCitation(?:\s[^<>&]*)?>\s*"
    rb'<PMID(?: Version="([0-9]{1,5})")?>([0-9]{1,10})</PMID>\s*'
    rb"(?:<Date(?:Created|Completed|Revised)>\s*(?:<(?:Year|Month|Day)>[^<&]*</(?:Year|Month|Day)>\s*)*"
    rb"</Date(?:Created|Completed|Revised)>\s*)*"
    rb'<Article(?: PubModel="[^"<&]*")?>\s*<Journal>'
)
_SECTION = re.compile(
    rb'\s*<AbstractText(?: Label="([^"<&]*)")?(?: NlmCategory="[^"<&]*")?>([^<]*)</AbstractText>'
)
_COPYRIGHT = re.compile(rb"\s*(?:<CopyrightInformation>[^<]*</CopyrightInformation>\s*)?</Abstract>")
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
_OTHER_ID = re.compile(rb'<OtherID(?: Source="[^"<&]*")?>([^<]*)</OtherID>')
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_LIST_MARKS = re.compile(rb"&|  |]]>")
_NOT_PRINTABLE: Final = bytes((*range(32), *range(127, 256)))
TAG_AND_SPACE_BYTES = 128
"""More than a tag that is looked for with the white space after it."""


class _UnusualError(Exception):
    """The record is not as nearly all are."""


def usual_fields(xml: bytes, all_fields: bool, parser: PieceParser) -> Fields | None:
    """The fields of a PubmedArticle or MedlineCitation; None if `tree` must be asked, also about what is wrong.

    `xml` holds no comment, CDATA section or instruction.
    """
    try:
        return _UsualRecord(xml, parser).fields(all_fields)
    except (_UnusualError, UnicodeDecodeError, UnknownEntityError, etree.XMLSyntaxError):
        return None


class _UsualRecord:
    __slots__ = ("article_end", "at", "parser", "xml")

    def __init__(self, xml: bytes, parser: PieceParser) -> None:
        self.xml = xml
        self.parser = parser
        self.at = 0
        """How far it was read."""
        self.article_end = 0

    def fields(self, all_fields: bool) -> Fields:
        xml = self.xml
        head = _HEAD.match(xml)
        if head is None:
            raise _UnusualError
        title = self.find(b"<ArticleTitle>", head.end())
        if title < 0:
            raise _UnusualError
        self.require_before(title, (b"</Journal>",))
        title_end = self.find(b"</ArticleTitle>", title)
        self.article_end = article_end = self.find(b"</Article>", title_end)
        citation_end = self.find(b"</MedlineCitation>", article_end)
        if title_end < 0 or article_end < 0 or citation_end < 0:
            raise _UnusualError
        version, pmid = head.groups()
        fields = Fields(pmid=pmid.decode(), version=version.decode() if version else "1", has_all=all_fields)
        fields.title = self.text(title, b"<ArticleTitle>", title_end)
        self.at = title_end
        abstract = xml.find(b"<Abstract", title_end, article_end)
        if abstract >= 0:
            self.require_before(abstract, _BEFORE_ABSTRACT)
            fields.abstract = self.abstract(abstract)
        fields.languages = self.languages()
        if all_fields:
            self.describe_article(fields, head.end(), title, abstract if abstract >= 0 else article_end)
            self.describe_record(fields, citation_end)
        return fields

    def find(self, tag: bytes, begin: int) -> int:
        return self.xml.find(tag, begin)

    def require_before(self, position: int, tags: tuple[bytes, ...]) -> None:
        """Gives up unless the last tag before `position` is one of `tags`."""
        if not self.xml[max(0, position - TAG_AND_SPACE_BYTES) : position].rstrip().endswith(tags):
            raise _UnusualError

    def text(self, begin: int, tag: bytes, end: int) -> str:
        """The text of the element whose start tag `tag` is at `begin` and whose end tag is at `end`."""
        inner = self.xml[begin + len(tag) : end]
        if b"<" not in inner:
            text = _plain(inner)
            if text is not None:
                return text
        return element_text(self.parser.elements(self.xml[begin : end + len(tag) + 1])[0])

    def abstract(self, begin: int) -> list[Section]:
        end = self.xml.find(b"</Abstract>", begin, self.article_end)
        if end < 0 or not self.xml.startswith(b"<Abstract>", begin):
            raise _UnusualError
        found: list[Section] = []
        at = begin + len(b"<Abstract>")
        while section := _SECTION.match(self.xml, at):
            label, text = section.groups()
            plain, name = _plain(text), _plain(label) if label else ""
            if plain is None or name is None:
                break
            if plain:
                found.append((name, plain))
            at = section.end()
        self.at = end + len(b"</Abstract>")
        if _COPYRIGHT.match(self.xml, at):
            return found
        return sections(self.parser.elements(self.xml[begin : self.at])[0])

    def languages(self) -> list[str]:
        begin = self.xml.find(b"<Language", self.at, self.article_end)
        if begin < 0:
            return []
        self.require_before(begin, _BEFORE_LANGUAGE)
        found = []
        self.at = begin
        while language := _LANGUAGE.match(self.xml, self.at):
            found.append(language[1])
            self.at = language.end()
        if self.xml.find(b"<Language", self.at, self.article_end) >= 0:
            raise _UnusualError
        return _plain_list(found)

    def describe_article(self, fields: Fields, journal_at: int, title: int, locations_end: int) -> None:
        xml = self.xml
        journal = xml[journal_at:title]
        names = self.all_of(_JOURNAL, b"<Title", journal)
        if len(names) > 1:
            raise _UnusualError
        fields.journal = _plain_list(names)[0] if names and names[0].strip() else ""
        if b"<PubDate" in journal:
            date = _DATE.search(journal)
            fields.date = date[1].decode() if date else ""
            if not YEAR.search(fields.date):
                raise _UnusualError
        types = xml.find(b"<PublicationType", self.at, self.article_end)
        if types >= 0:
            types_end = xml.find(b"</PublicationTypeList>", types, self.article_end)
            if types_end < 0 or not xml.startswith(b"<PublicationTypeList>", types):
                raise _UnusualError
            region = xml[types + len(b"<PublicationTypeList>") : types_end]
            fields.publication_types = _plain_list(self.all_of(_TYPE, b"<PublicationType", region))
            self.at = types_end
            if xml.find(b"<PublicationType", types_end, self.article_end) >= 0:
                raise _UnusualError
        vernacular = xml.find(b"<VernacularTitle", self.at, self.article_end)
        if vernacular >= 0:
            vernacular_end = xml.find(b"</VernacularTitle>", vernacular, self.article_end)
            if vernacular_end < 0 or not xml.startswith(b"<VernacularTitle>", vernacular):
                raise _UnusualError
            fields.vernacular_title = self.text(vernacular, b"<VernacularTitle>", vernacular_end)
        locations = xml[xml.find(b"</ArticleTitle>", title) : locations_end]
        fields.identifiers = [
            (kind.decode(), _plain_list([value])[0])
            for kind, valid, value in self.all_of(_LOCATION, b"<ELocationID", locations)
            if valid == b"Y" and kind == b"doi" and value.strip()
        ]

    def describe_record(self, fields: Fields, citation_end: int) -> None:
        xml, begin = self.xml, self.article_end
        if (
            xml.find(b"<OtherAbstract", begin, citation_end) >= 0
            or xml.find(b"RetractionIn", begin, citation_end) >= 0
        ):
            raise _UnusualError
        mesh = xml.find(b"<MeshHeadingList", begin, citation_end)
        if mesh >= 0:
            mesh_end = xml.rfind(b"</MeshHeadingList>", mesh, citation_end)
            fields.mesh = _plain_list(self.all_of(_DESCRIPTOR, b"<DescriptorName", xml[mesh:mesh_end]))
        keywords = xml.find(b"<KeywordList", begin, citation_end)
        if keywords >= 0:
            region = xml[keywords:citation_end]
            found = _KEYWORD.findall(region)
            if len(found) != region.count(b"</Keyword>"):
                raise _UnusualError
            fields.keywords = _plain_list(found)
        others = xml.find(b"<OtherID", begin, citation_end)
        other_ids = self.all_of(_OTHER_ID, b"<OtherID", xml[others:citation_end]) if others >= 0 else []
        own = xml.find(b"<ArticleIdList", citation_end)
        identifiers: list[tuple[bytes, bytes]] = []
        if own >= 0:
            self.require_before(own, _BEFORE_IDENTIFIERS)
            own_end = xml.find(b"</ArticleIdList>", own)
            identifiers = self.all_of(_IDENTIFIER, b"<ArticleId ", xml[own:own_end])
        identifiers = [pair for pair in identifiers if pair[0] in (b"doi", b"pmc") and pair[1].strip()]
        fields.identifiers = [
            *(
                (kind.decode(), value)
                for kind, value in zip(
                    [kind for kind, _ in identifiers],
                    _plain_list([value for _, value in identifiers]),
                    strict=True,
                )
            ),
            *fields.identifiers,
            *(("pmc", value) for value in _plain_list(other_ids)),
        ]

    @staticmethod
    def all_of(pattern: re.Pattern[bytes], begin_tag: bytes, region: bytes) -> list:
        """What `pattern` finds in the region; gives up if it does not match every element that begins with the tag."""
        found = pattern.findall(region)
        if len(found) != region.count(begin_tag):
            raise _UnusualError
        return found


def _plain(piece: bytes) -> str | None:
    """The cleaned text of a piece without tags; None if it holds what only a parser should judge."""
    if b"]" in piece and b"]]>" in piece:
        return None
    text = piece.decode()
    if b"&" in piece:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'")
        if text.count("&") != text.count("&amp;"):
            return None
        text = text.replace("&amp;", "&")
    if len(piece.translate(None, _NOT_PRINTABLE)) == len(piece):
        # As `clean` does it, for what is only printable ASCII.
        return " ".join(text.split()) if "  " in text else text.strip(" ")
    return None if _FORBIDDEN.search(text) else clean(text)


def _plain_list(pieces: list[bytes]) -> list[str]:
    """The cleaned texts that are not empty."""
    joined = b"<".join(pieces)
    if len(joined.translate(None, _NOT_PRINTABLE)) == len(joined) and not _LIST_MARKS.search(joined):
        return [text for item in joined.decode().split("<") if (text := item.strip(" "))]
    texts = [_plain(piece) for piece in pieces]
    if None in texts:
        raise _UnusualError
    return [text for text in texts if text]
