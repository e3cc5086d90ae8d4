"""The bytes of a JATS (or NLM) file → its articles: title, abstract, body, identifiers, licence.

Reads `article` as the root and below PMC's wrappers (`pmc-articleset`, OAI-PMH, with or without namespaces). Entities are
never expanded and no other file or address is opened. https://jats.nlm.nih.gov/
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from megatron_bio.corpus.document import Document
from megatron_bio.corpus.pmc.compiled import ArticleText, read_article
from megatron_bio.corpus.pmc.entities import (
    UNKNOWN_ENTITY,
    entity_in_a_tag,
    may_have_entities,
    unexpanded_entity,
    with_characters,
)
from megatron_bio.corpus.pmc.license import article_license
from megatron_bio.corpus.pmc.metadata import describe, identifiers
from megatron_bio.corpus.pmc.selection import is_main_abstract, is_side_section, side_sections
from megatron_bio.corpus.pmc.text import NEVER_READ, line, paragraphs
from megatron_bio.corpus.pmc.tree import set_text
from megatron_bio.corpus.safe_parsing import TEXT_ONLY

NO_ARTICLE: Final = "XML without an article"
NO_METADATA: Final = "article without article-meta"

_OWN_ADDRESS = re.compile(r"DOI:? ?(?:https?://(?:dx\.)?doi\.org/)?10\.\S+")
"""eLife puts the DOI of each part below it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Article:
    """One article; `abstract` and `body` are paragraphs. `number` and `version` are of its PMCID, None without one."""

    number: int | None
    version: int
    doi: str
    title: str
    license: str
    words: int
    """Of abstract and body."""
    abstract: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    meta: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnusableArticle:
    """Something that is no article that can be used, with the phrase it is counted under."""

    reason: str
    number: int | None = None
    version: int = 1
    entity: str = ""
    """The name of an entity that makes it damage."""


class ArticleReader:
    """Reads articles with the same choices, one file's bytes after the other."""

    def __init__(self, captions: bool = False) -> None:
        """With `captions` the captions of figures and tables are text."""
        self._captions = captions
        self._parser = etree.XMLParser(**TEXT_ONLY)

    def read(self, content: bytes) -> Iterator["Article | UnusableArticle"]:
        """The articles in the bytes of a file, at least one thing; raises etree.XMLSyntaxError."""
        read = read_article(content, self._captions)
        if read is not None:
            yield self._article(etree.fromstring(read.front, self._parser), read)
            return
        has_entities = may_have_entities(content)
        if has_entities:
            content = with_characters(content)
            if entity := entity_in_a_tag(content):
                yield UnusableArticle(reason=UNKNOWN_ENTITY, entity=entity)
                return
        root = etree.fromstring(content, self._parser)
        found = False
        for article in list(root.iter("{*}article")):
            if _is_inside_article(article):
                continue
            found = True
            _forget_namespace(article)
            yield self._article(article, has_entities=has_entities)
        if not found:
            yield UnusableArticle(reason=NO_ARTICLE)

    def _article(
        self, article: Any, text: ArticleText | None = None, has_entities: bool = False
    ) -> Article | UnusableArticle:
        """With abstract and body as in `text`; without it they are read here."""
        article_meta = article.find("front/article-meta")
        if article_meta is None:
            return UnusableArticle(reason=NO_METADATA)
        known = identifiers(article_meta)
        number, version = known.pop("number", None), known.pop("version", 1)
        if has_entities and (entity := unexpanded_entity(article)):
            return UnusableArticle(reason=UNKNOWN_ENTITY, number=number, version=version, entity=entity)
        title = _title(article_meta)
        if text is None:
            for element in list(article.iterdescendants(*NEVER_READ)):
                set_text(element, "")
            abstract, body = _abstract(article_meta), self._body(article)
            body_words = count_words(body)
        else:
            abstract, body, body_words = text.abstract, text.body, text.body_words
        abstract = [paragraph for paragraph in abstract if not _OWN_ADDRESS.fullmatch(paragraph)]
        return Article(
            number=number,
            version=version,
            doi=str(known.get("doi", "")),
            title=title,
            license=article_license(article_meta),
            words=count_words(abstract) + body_words,
            abstract=abstract,
            body=body,
            meta={**known, **describe(article, article_meta, title)},
        )

    def _body(self, article: Any) -> list[str]:
        body = article.find("body")
        if body is None:
            return []
        _remove_side_sections(body)
        text = paragraphs(body, self._captions)
        for appendix in article.findall("back/app-group/app"):
            if not is_side_section(appendix):
                _remove_side_sections(appendix)
                text += paragraphs(appendix, self._captions)
        floats = article.find("floats-group")
        if self._captions and floats is not None:
            text += paragraphs(floats, captions=True)
        return text


def count_words(paragraphs: Sequence[str]) -> int:
    """Words, as parted by spaces, of cleaned paragraphs."""
    return sum(paragraph.count(" ") + 1 for paragraph in paragraphs)


def to_document(
    article: Article, number: int | None, name: str, extra_meta: Mapping[str, object]
) -> Document:
    """The document of an article; without PMCID (`number`) and DOI it is called by `name`."""
    meta = dict(article.meta)
    if number is not None:
        meta["pmcid"] = f"PMC{number}"
    meta["license"] = article.license
    meta["abstract_lines"] = len(article.abstract)
    if article.version != 1:
        meta["version"] = article.version
    return Document(
        id=f"pmc:{meta.get('pmcid') or article.doi or name}",
        title=article.title,
        text="\n".join(article.abstract + article.body),
        source="pmc",
        meta={**meta, **extra_meta},
    )


def _remove_side_sections(holder: Any) -> None:
    for section in side_sections(holder):
        section.getparent().remove(section)


def _is_inside_article(element: Any) -> bool:
    return next(element.iterancestors("{*}article"), None) is not None


def _forget_namespace(article: Any) -> None:
    """OAI-PMH puts JATS in a namespace of its own."""
    if not article.tag.startswith("{"):
        return
    namespace = article.tag.rpartition("}")[0] + "}"
    for element in article.iter(f"{namespace}*"):
        element.tag = element.tag.removeprefix(namespace)


def _title(article_meta: Any) -> str:
    group = article_meta.find("title-group")
    if group is None:
        return ""
    parts = [part for element in group.iterchildren("article-title", "subtitle") if (part := line(element))]
    title = ""
    for part in parts:
        title += (
            part
            if not title
            else f" {part}"
            if title.endswith((":", ".", "?", "!", "–", "—"))
            else f": {part}"
        )
    return title


def _abstract(article_meta: Any) -> list[str]:
    """The paragraphs of the abstract proper; a section's title stands before its first paragraph, `Methods: We ...`."""
    abstracts = list(article_meta.iterchildren("abstract"))
    chosen = next((abstract for abstract in abstracts if is_main_abstract(abstract)), None)
    if chosen is None:
        chosen = next(
            (abstract for abstract in abstracts if abstract.get("abstract-type") == "summary"), None
        )
    if chosen is None:
        return []
    _remove_side_sections(chosen)
    for heading in chosen.findall("title") + chosen.findall("label"):
        chosen.remove(heading)
    for heading in list(chosen.iterdescendants("title")):
        label = line(heading).rstrip(" .:")
        heading.tag = "label"
        set_text(heading, f"{label}:" if label else "")
    return paragraphs(chosen)
