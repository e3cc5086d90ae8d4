from collections.abc import Callable

import pytest
from lxml import etree

from megatron_bio.corpus.pmc.article import Article, ArticleReader, UnusableArticle, to_document
from megatron_bio.corpus.pmc.entities import UNKNOWN_ENTITY

pytestmark = pytest.mark.usefixtures("each_reader")

Make = Callable[..., bytes]
HEADED = "<title>Abstract</title>"


def read(content: bytes) -> Article:
    (found,) = ArticleReader().read(content)
    assert isinstance(found, Article)
    return found


@pytest.mark.parametrize(
    ("xml", "title"),
    [
        ("<article-title>On <italic>E. coli</italic><sup>2</sup></article-title>", "On E. coli²"),
        ("<article-title>Pain</article-title><subtitle>a trial</subtitle>", "Pain: a trial"),
        ("<article-title>Pain?</article-title><subtitle>A trial</subtitle>", "Pain? A trial"),
        (
            '<article-title>Pain<xref ref-type="fn"><sup>*</sup></xref><fn><p>n</p></fn></article-title>',
            "Pain",
        ),
        ("<article-title/><trans-title-group><trans-title>Schmerz</trans-title></trans-title-group>", ""),
        ("", ""),
    ],
)
def test_title(article: Make, xml: str, title: str) -> None:
    assert read(article(title=xml)).title == title


@pytest.mark.parametrize(
    ("abstracts", "expected"),
    [
        (f"<abstract>{HEADED}<p>One.</p><p>Two.</p></abstract>", ["One.", "Two."]),
        (
            "<abstract><sec><title>Aim</title><p>a</p><p>b</p></sec><sec><title>Methods:</title><p>c</p></sec></abstract>",
            ["Aim: a", "b", "Methods: c"],
        ),
        (
            '<abstract abstract-type="teaser"><p>t</p></abstract><abstract><p>main</p></abstract>'
            '<abstract abstract-type="graphical"><p>g</p></abstract>',
            ["main"],
        ),
        (
            "<abstract><title>Graphical Abstract</title><p>g</p></abstract><abstract><p>main</p></abstract>",
            ["main"],
        ),
        ("<abstract><title>Highlights</title><p>h</p></abstract>", []),
        ('<abstract abstract-type="summary"><title>Summary</title><p>s</p></abstract>', ["s"]),
        (
            '<abstract><p>main</p></abstract><abstract abstract-type="summary"><title>Author Summary</title><p>s</p></abstract>',
            ["main"],
        ),
        ('<trans-abstract xml:lang="de"><p>deutsch</p></trans-abstract>', []),
        ("<abstract><p>main</p><p>DOI: http://dx.doi.org/10.7554/eLife.00001.001</p></abstract>", ["main"]),
        (
            "<abstract><sec><title>Results</title><p>r</p></sec><sec><title>Electronic supplementary material</title>"
            "<p>The online version.</p></sec></abstract>",
            ["Results: r"],
        ),
    ],
)
def test_the_abstract_is_the_main_one(article: Make, abstracts: str, expected: list[str]) -> None:
    assert read(article(abstract="", meta=abstracts)).abstract == expected


def test_document(article: Make) -> None:
    content = article(
        "PMC77",
        abstract="<p>One.</p><p>Two.</p>",
        meta='<article-id pub-id-type="pmid">12</article-id><article-id pub-id-type="doi">https://doi.org/10.1/AbC</article-id>'
        '<article-categories><subj-group subj-group-type="heading"><subject>Original  Research</subject></subj-group>'
        '<subj-group subj-group-type="discipline"><subject>Physics</subject></subj-group></article-categories>'
        '<pub-date pub-type="epub"><year>2011</year></pub-date><pub-date pub-type="collection"><year>2012</year></pub-date>'
        '<pub-date pub-type="pmc-release"><year>2020</year></pub-date>'
        "<kwd-group><title>Keywords</title><kwd><italic>E. coli</italic> K-12</kwd><kwd>pain</kwd></kwd-group>"
        '<kwd-group kwd-group-type="abbreviations"><kwd>AB</kwd></kwd-group>',
        attributes='article-type="research-article" xml:lang="fr"',
    )
    found = read(content)
    document = to_document(found, found.number, "PMC77", {})
    assert (document.id, document.title, document.source) == ("pmc:PMC77", "A title", "pmc")
    assert document.text == "One.\nTwo.\nSome words here."
    assert document.meta == {
        "pmid": 12,
        "doi": "10.1/abc",
        "year": 2012,
        "journal": "Journal",
        "languages": ["fre"],
        "publication_types": ["research-article", "Original Research"],
        "keywords": ["E. coli K-12", "pain"],
        "pmcid": "PMC77",
        "license": "CC-BY-4.0",
        "abstract_lines": 2,
    }


def test_identifiers(article: Make) -> None:
    versioned = read(article(None, meta='<article-id pub-id-type="pmcid-ver">PMC8.2</article-id>'))
    assert (versioned.number, versioned.version) == (8, 2)
    nameless = read(article(None, meta='<article-id pub-id-type="doi">10.5/X</article-id>'))
    assert nameless.number is None
    assert to_document(nameless, None, "file", {}).id == "pmc:10.5/x"
    assert to_document(read(article("abc")), None, "file", {}).id == "pmc:file"


@pytest.mark.parametrize(
    ("options", "retracted"),
    [
        ({}, None),
        ({"attributes": 'article-type="retraction"'}, True),
        ({"meta": '<related-article related-article-type="retracted-article"/>'}, True),
        ({"meta": '<related-article related-article-type="corrected-article"/>'}, None),
        ({"title": "<article-title>RETRACTED: A trial</article-title>"}, True),
        ({"title": "<article-title>Retraction of the tibia</article-title>"}, None),
    ],
)
def test_retraction(article: Make, options: dict[str, str], retracted: bool | None) -> None:
    assert read(article(**options)).meta.get("retracted") is retracted


def test_wrappers_and_namespaces(article: Make) -> None:
    one, two = article(1, doctype=""), article(2, doctype="")
    both = b"<pmc-articleset>" + one + two + b"</pmc-articleset>"
    found = [item for item in ArticleReader().read(both) if isinstance(item, Article)]
    assert [item.number for item in found] == [1, 2] and found[1].body == ["Some words here."]
    namespaced = one.replace(b"<article ", b'<article xmlns="https://jats.nlm.nih.gov/ns/archiving/1.3/" ')
    oai = (
        b'<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><GetRecord><record><metadata>'
        + namespaced
        + b"</metadata></record></GetRecord></OAI-PMH>"
    )
    wrapped = read(oai)
    assert (wrapped.number, wrapped.title, wrapped.body) == (1, "A title", ["Some words here."])
    assert wrapped.license == "CC-BY-4.0"


def test_what_is_no_article() -> None:
    reader = ArticleReader()
    assert list(reader.read(b"<book/>")) == [UnusableArticle(reason="XML without an article")]
    assert list(reader.read(b"<article><body/></article>")) == [
        UnusableArticle(reason="article without article-meta")
    ]
    for content in (
        b"",
        b"no xml",
        b"<article>",
        b"<article></artikel>",
        b"\x00\x01",
        b"<article>&odd;</article>",
    ):
        with pytest.raises(etree.XMLSyntaxError):
            list(reader.read(content))


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252", "utf-8-sig"])
def test_declared_encodings(article: Make, encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    content = f'<?xml version="1.0" encoding="{declared}"?>' + article(body="<p>né à Zürich</p>").decode()
    assert read(content.encode(encoding)).body == ["né à Zürich"]


def test_entities_are_never_expanded(article: Make) -> None:
    bomb = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    doctype = f'<!DOCTYPE article [<!ENTITY l0 "lol">{bomb}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    for name in ("l0", "f"):
        (found,) = ArticleReader().read(article(body=f"<p>&{name};</p>", doctype=doctype))
        assert found == UnusableArticle(reason=UNKNOWN_ENTITY, number=1, entity=name)
    with pytest.raises(etree.XMLSyntaxError):
        list(ArticleReader().read(article(body="<p>&l11;</p>", doctype=doctype)))
    for name in ("l0", "l11"):
        content = article(body=f'<sec sec-type="&{name};"><p>x</p></sec>', doctype=doctype)
        assert list(ArticleReader().read(content)) == [UnusableArticle(reason=UNKNOWN_ENTITY, entity=name)]
    assert read(article(doctype=doctype)).body == ["Some words here."]


@pytest.mark.parametrize("place", ["title", "abstract", "license", "keywords"])
def test_an_entity_is_damage_wherever_it_is_read(article: Make, place: str) -> None:
    parts = {
        "title": {"title": "<article-title>On &odd; things</article-title>"},
        "abstract": {"abstract": "<p>On &odd; things</p>"},
        "license": {
            "license": "<permissions><license><license-p>CC BY&odd;</license-p></license></permissions>"
        },
        "keywords": {"meta": "<kwd-group><kwd>&odd;</kwd></kwd-group>"},
    }
    content = article(3, **parts[place])
    assert list(ArticleReader().read(content)) == [
        UnusableArticle(reason=UNKNOWN_ENTITY, number=3, entity="odd")
    ]


@pytest.mark.parametrize(
    "doctype", ["", '<!DOCTYPE article SYSTEM "jats.dtd">', '<!DOCTYPE article [<!ENTITY alpha "x">]>']
)
def test_names_of_html_need_no_doctype(article: Make, doctype: str) -> None:
    content = article(
        title="<article-title>&alpha;&nbsp;1</article-title>",
        meta="<kwd-group><kwd>TNF-&alpha;</kwd></kwd-group>",
        body="<!-- &odd; &alpha; --><p>5&nbsp;&mu;m &lt; 6 &amp; &bne;<![CDATA[ &alpha;]]></p>"
        '<sec sec-type="supplementary&#45;material&ZeroWidthSpace;"><title>&Beta;&lsqb;</title><p>x</p></sec>',
        doctype=doctype,
    )
    found = read(content)
    assert found.title == "α 1"
    assert found.meta["keywords"] == ["TNF-α"]
    assert found.body == ["5 μm < 6 & =\u20e5 &alpha;", "Β[", "x"]
