"""The compiled reader gives what the reader in Python gives, to the last character, or leaves the article to it."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from megatron_bio import native
from megatron_bio.corpus.pmc import article as article_module
from megatron_bio.corpus.pmc.article import ArticleReader
from megatron_bio.corpus.pmc.citations import MARK_TYPES
from megatron_bio.corpus.pmc.compiled import read_article
from megatron_bio.corpus.pmc.package import Member, Package
from megatron_bio.corpus.pmc.selection import SIDE_SECTION_TYPES
from megatron_bio.corpus.pmc.text import _RENDERED, LEFT_OUT, NEVER_READ

DATA = Path(__file__).parents[4] / "shared" / "data" / "pmc"

pytestmark = pytest.mark.skipif(native.compiled is None, reason=f"no compiled parts: {native.reason}")


def results(content: bytes, captions: bool) -> list[object] | str:
    try:
        return list(ArticleReader(captions).read(content))
    except etree.XMLSyntaxError:
        return "not well-formed"


def reference(content: bytes, captions: bool) -> list[object] | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(article_module, "read_article", lambda content, captions: None)
        return results(content, captions)


def members() -> list[Member]:
    if not DATA.is_dir():
        pytest.skip(f"the shared PMC packages are not at {DATA}")
    found = [member for path in sorted(DATA.glob("*.tar.gz")) for member in Package(path).members()]
    return [member for member in found if isinstance(member, Member)]


@pytest.mark.parametrize("captions", [False, True])
def test_real_articles_read_the_same(captions: bool) -> None:
    compared = compiled = 0
    for number, member in enumerate(members()):
        if captions and number % 4:
            continue
        compiled += read_article(member.content, captions) is not None
        assert results(member.content, captions) == reference(member.content, captions), member.name
        compared += 1
    assert compared >= (119 if captions else 479)
    assert compiled >= 0.97 * compared


@pytest.mark.slow
def test_mutated_real_articles_read_the_same() -> None:
    """Also what is then malformed: the compiled reader must not take it."""
    chooser = random.Random(1)
    pool = [member.content for member in members() if len(member.content) < 60_000]
    pieces = [b"<", b">", b"&", b"</p>", b"<p>", b"]]>", b"<!--", b"-->", b"\xff", b"&#x0;", b"&#60;", b"&alpha;", b" a='1'",
              b"\r", b"<sup>", b"</sup>", b"<xref ref-type='bibr'>3</xref>", b"\xc2\xa0", b"<x:y/>", b"xmlns='u'"]  # fmt: skip
    taken = 0
    for _ in range(1500):
        content = bytearray(chooser.choice(pool))
        for _ in range(chooser.randint(1, 3)):
            at = chooser.randrange(len(content))
            content[at : at + chooser.choice([0, 0, 1, 9])] = chooser.choice([*pieces, b""])
        changed = bytes(content)
        taken += read_article(changed, True) is not None
        assert results(changed, True) == reference(changed, True), changed
    assert taken > 150


NAMES = st.sampled_from(
    [
        "sec", "p", "title", "label", "list", "list-item", "term", "def-item", "table-wrap", "table", "caption", "fig", "fn",
        "fn-group", "ref-list", "app", "contrib-group", "disp-formula", "break", "sup", "sub", "italic", "boxed-text",
        "xref ref-type='bibr'", "xref ref-type='fig'", "mml:math", "mml:mi", "sec sec-type='conflict'",
    ]
)  # fmt: skip
TEXTS = st.sampled_from(
    ["word ", "1", "12", "a", ".", ", ", "–", "&#x2013;", "&amp;", "•", " \n ", " ", "é", "e\u0301", "\u200b", "funding", "٣",
     "a<xref ref-type='bibr'>2</xref>", "b<sup>3</sup>", "<table-wrap/>", "<!-- c -->", "<![CDATA[<x>]]>", "<?p i?>"]
)  # fmt: skip
TREES = st.recursive(
    TEXTS,
    lambda inner: st.builds(
        lambda name, parts: f"<{name}>{''.join(parts)}</{name.split()[0]}>",
        NAMES,
        st.lists(inner, max_size=5),
    ),
    max_leaves=30,
)


@given(abstract=TREES, body=TREES, back=TREES, captions=st.booleans())
@example(abstract="", body="<sec>1<table-wrap/><back></back>word </sec>", back="", captions=False)
@example(
    abstract="<title>x :. </title>",
    body="<p>a<fn><label>1</label>n</fn>b</p>c",
    back="<app-group/>",
    captions=True,
)
@settings(max_examples=400, deadline=None)
def test_any_tree_reads_the_same(abstract: str, body: str, back: str, captions: bool) -> None:
    content = (
        '<article xmlns:mml="http://www.w3.org/1998/Math/MathML"><front><article-meta><title-group/>'
        f"<abstract>{abstract}</abstract></article-meta></front><body>{body}</body>"
        f"<back><app-group><app>{back}</app></app-group>{back}</back><floats-group>{body}</floats-group></article>"
    ).encode()
    assert results(content, captions) == reference(content, captions)


MANY_ATTRIBUTES = "".join(f" a{number}='1'" for number in range(20_000))
UNUSUAL = {
    "comment before": (lambda text: "<!-- c -->" + text, True),
    "carriage return": (lambda text: text.replace("words", "wo\r\nrds"), False),
    "entity": (lambda text: text.replace("words", "&alpha;"), False),
    "subset": (lambda text: text.replace('.dtd">', '.dtd" [<!ENTITY a "b">]>'), False),
    "encoding": (lambda text: '<?xml version="1.0" encoding="iso-8859-1"?>' + text, False),
    "namespace": (lambda text: text.replace("<article ", '<article xmlns="u" '), False),
    "prefix": (lambda text: text.replace("words", "<o:p/>"), False),
    "end tag": (lambda text: text.replace("</p>", "", 1), False),
    "cut short": (lambda text: text[:-5], False),
    "after the end": (lambda text: text + "x", False),
    "attribute twice": (lambda text: text.replace("<body>", "<body a='1' a='2'>"), False),
    "less than in an attribute": (lambda text: text.replace("<body>", "<body a='<'>"), False),
    "end of CDATA": (lambda text: text.replace("words", "]]>"), False),
    "depth": (lambda text: text.replace("words", "<b>" * 300 + "</b>" * 300), False),
    "long name": (lambda text: text.replace("words", f"<{'n' * 60_000}/>"), False),
    "long comment": (lambda text: text.replace("words", f"<!--{'c' * 2_000_000}-->"), False),
    "many attributes": (lambda text: text.replace("words", f"<b{MANY_ATTRIBUTES}/>"), False),
    "one address under two names": (
        lambda text: text.replace("words", "<b xmlns:b='u' xmlns:c='u' b:x='1' c:x='2'/>"),
        False,
    ),
    "reserved address": (
        lambda text: text.replace("words", "<b xmlns:b='http://www.w3.org/2000/xmlns/'/>"),
        False,
    ),
    "white space as an address": (lambda text: text.replace("words", "<b xmlns:b=' '/>"), False),
    "front behind the body": (
        lambda text: re.sub("(<front>.*</front>)(.*)</article>", r"\2\1</article>", text),
        False,
    ),
    "table in a title": (
        lambda text: text.replace(
            "<p>Some", "<sec><title>Funding<table>x</table></title><p>y</p></sec><p>Some"
        ),
        True,
    ),
    "formulas that declare their names": (
        lambda text: text.replace(
            "words",
            "<mml:math xmlns:mml='http://www.w3.org/1998/Math/MathML'><mml:mi>x</mml:mi></mml:math>" * 3000,
        ),
        True,
    ),
    "standalone": (lambda text: '<?xml version="1.0" standalone="yes"?>' + text, False),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_is_not_certain_is_left_to_the_reference(article: Callable[..., bytes], case: str) -> None:
    change, is_taken = UNUSUAL[case]
    content = article()
    assert read_article(content, False) is not None
    changed = change(content.decode()).encode()
    assert changed != content and (read_article(changed, False) is not None) == is_taken
    assert results(changed, False) == reference(changed, False)


def test_every_prefix_of_an_article_is_safe(article: Callable[..., bytes]) -> None:
    """Nothing is read past the end."""
    content = article(body="<p a='1'>x&#x41;<!-- c --><![CDATA[d]]><?p?><sup>2</sup>é</p>")
    for end in range(len(content)):
        assert read_article(content[:end], True) is None
    assert read_article(content, True) is not None


CHARACTERS = [
    *map(chr, range(0x20, 0x7F)),
    *"–‐‑−—†‡§¶∗’”“•°²é中αß٣߂１Ⅷ½\u00a0\u2009\u3000\u0301\u200b\ufeff😀",
]


@pytest.mark.parametrize("character", CHARACTERS, ids=lambda character: f"U+{ord(character):04X}")
def test_each_character_where_it_decides(article: Callable[..., bytes], character: str) -> None:
    c = escape(character)
    one, two, high = (f"<xref ref-type='bibr'>{text}</xref>" for text in ("1", "2", "<sup>3</sup>"))
    body = (
        f"<p>w<disp-formula/>{c}x</p><p>a{high}{c}{high} b</p><p>a{one}{c}{two} b</p><p>b<sup>{one}{c}{two}</sup></p>"
        f"<p>{c}{one}</p><p>a<xref ref-type='bibr'>3{c}4</xref></p><p>a<xref ref-type='bibr'>{c}<sup>3</sup>{c}</xref></p>"
        f"<p>et al.{high}{c}</p><list><list-item><label>{c}</label><p>i</p></list-item></list><p>{c}</p>"
        f"<def-list><def-item><term>t</term>{c} d</def-item></def-list><p>x<sup>{c}</sup><sub>{c}</sub>{c}</p>"
        f"<sec><title>{c}</title></sec><sec><title>Funding{c}</title><p>f</p></sec><p>a {c} b{c}\n c {c}{c}</p>"
    )
    for captions in (False, True):
        content = article(body=body, abstract=f"<sec><title>T{c}</title><p>{c}a</p></sec>")
        assert results(content, captions) == reference(content, captions)


@pytest.mark.parametrize(
    "inner",
    ["<disp-formula/> b", "<xref ref-type='bibr'><sup>1</sup></xref> b", "<xref ref-type='bibr'>1</xref> b"],
)
def test_a_paragraph_full_of_marks_takes_no_more_than_its_size(
    article: Callable[..., bytes], inner: str
) -> None:
    """Joined one by one with copies, its text would take more memory than any machine has."""
    found = read_article(article(body="<p>a" + inner * 100_000 + "</p>"), False)
    assert found is not None and found.body == ["a" + " b" * 100_000]


def test_what_would_take_memory_by_the_square_is_left_to_python(article: Callable[..., bytes]) -> None:
    assert read_article(article(body="<p>" + "word word<fn><p>n</p></fn>" * 20_000 + "</p>"), False) is None


ELEMENTS = sorted(
    {name for name in (*_RENDERED, *LEFT_OUT, *NEVER_READ) if name.isidentifier() or "-" in name}
)


@pytest.mark.parametrize("name", ELEMENTS)
def test_both_readers_know_the_same_elements(article: Callable[..., bytes], name: str) -> None:
    element = f"<{name}>in <b>x</b><fn><p>n</p></fn></{name}>"
    content = article(
        body=f"<sec>a{element}b<p>c{element}d</p></sec>{element}", abstract=f"<p>e{element}f</p>{element}"
    )
    assert read_article(content, False) is not None
    for captions in (False, True):
        assert results(content, captions) == reference(content, captions)


@pytest.mark.parametrize("kind", sorted(MARK_TYPES | {"fig"}))
def test_both_readers_know_the_same_marks(article: Callable[..., bytes], kind: str) -> None:
    content = article(
        body=f"<p>a<xref ref-type='{kind}'>1</xref> b<xref ref-type='{kind}'><sup>2</sup></xref></p>"
    )
    assert read_article(content, False) is not None
    assert results(content, False) == reference(content, False)


@pytest.mark.parametrize("kind", sorted(SIDE_SECTION_TYPES | {"methods", "Conflict"}))
def test_both_readers_know_the_same_sections(article: Callable[..., bytes], kind: str) -> None:
    section = f"<sec sec-type='{kind}'><p>a</p></sec>"
    appendix = f"<app-group><app sec-type='{kind}'><p>c</p></app></app-group>"
    content = article(body=f"{section}<p>b</p>", back=appendix)
    assert read_article(content, False) is not None
    assert results(content, False) == reference(content, False)
