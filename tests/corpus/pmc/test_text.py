"""The exact text of each oddity of JATS."""

from collections.abc import Callable

import pytest

from megatron_bio.corpus.pmc.article import Article, ArticleReader, UnusableArticle

pytestmark = pytest.mark.usefixtures("each_reader")

MATH = "<mml:math><mml:msup><mml:mi>E</mml:mi><mml:mn>2</mml:mn></mml:msup></mml:math>"
BIBR = '<xref ref-type="bibr" rid="r">{}</xref>'


def bibr(*texts: str) -> list[str]:
    return [BIBR.format(text) for text in texts]


def read(content: bytes, captions: bool = False) -> Article:
    (found,) = ArticleReader(captions).read(content)
    assert isinstance(found, Article)
    return found


ONE, TWO, FOUR = bibr("1", "2", "4")
HIGH_ONE, HIGH_TWO = bibr("<sup>1</sup>", "<sup>2</sup>")

PARAGRAPHS = {
    "markup keeps the spaces": (
        "Growth of <italic>E. coli</italic> in <bold>TNF</bold>-<sub>α</sub>",
        "Growth of E. coli in TNF-_(α)",
    ),
    "superscripts stay apart": (
        "10<sup>6</sup> cells, Ca<sup>2+</sup>, H<sub>2</sub>O",
        "10⁶ cells, Ca²⁺, H₂O",
    ),
    "nested scripts": ("x<sup><italic>n</italic>+1</sup> and a<sub>b<sub>2</sub></sub>", "xⁿ⁺¹ and a_(b₂)"),
    "small caps and styles": (
        '<sc>l</sc>-alanine <styled-content style="x">and</styled-content> <monospace>code</monospace>',
        "l-alanine and code",
    ),
    "links": (
        'see <ext-link xlink:href="http://a.org">our page</ext-link>, <uri>b.org</uri>.',
        "see our page, b.org.",
    ),
    "line break": ("one<break/>two", "one two"),
    "underlined signs": ("<underline>&lt;</underline> 5, <underline>a</underline>", "≤ 5, a"),
    "no-break and thin spaces": ("Fig.\u00a01, 5\u2009mM", "Fig. 1, 5 mM"),
    "references to figures stay": ('in <xref ref-type="fig" rid="f">Figure 1</xref>A', "in Figure 1A"),
    "numbers in brackets stay": (
        f"shown [{ONE},{TWO}–{FOUR}] and ({ONE}, {TWO}).",
        "shown [1,2–4] and (1, 2).",
    ),
    "brackets inside a reference stay": (
        f"leprosy{BIBR.format('[4]')}, {BIBR.format('[5]')}.",
        "leprosy[4], [5].",
    ),
    "author and year stay": (
        f"({BIBR.format('Smith et al., 2010')}) and Li ({BIBR.format('2011')})",
        "(Smith et al., 2010) and Li (2011)",
    ),
    "superscript citations go": (
        f"proteins<sup>{ONE}</sup>, and so on<sup>{ONE},{TWO}–{FOUR}</sup>.",
        "proteins, and so on.",
    ),
    "superscript in brackets goes": (f"soil<sup>[{ONE}]</sup> type", "soil type"),
    "superscript inside the reference goes": (
        f"cells{HIGH_ONE}, then{HIGH_ONE},{HIGH_TWO} more",
        "cells, then more",
    ),
    "separator in a superscript of its own": (f"cells{HIGH_ONE}<sup>,</sup>{HIGH_TWO} more", "cells more"),
    "only the last full stop stays": (
        f"by Li <italic>et al</italic>.<sup>{ONE}</sup>. Next",
        "by Li et al. Next",
    ),
    "glued numbers go": (
        f"as described{ONE}. Then{ONE},{TWO}–{FOUR} and{ONE}{TWO} on",
        "as described. Then and on",
    ),
    "a number after a space stays": (f"in reference {ONE} and Ref.\u00a0{TWO}", "in reference 1 and Ref. 2"),
    "an exponent is no citation": ("10<sup>3</sup> and ED<sup>50</sup>", "10³ and ED⁵⁰"),
    "an exponent beside a citation": (f"10<sup>3{ONE}</sup>", "10"),
    "words beside a citation stay high": (f"x<sup>a+b{ONE}</sup>", "xᵃ⁺ᵇ"),
    "footnote marks go": ('cultivar<sup><xref ref-type="fn" rid="f">*</xref></sup> ‘A’', "cultivar ‘A’"),
    "MathML": (f"where <inline-formula>{MATH}</inline-formula> is", "where E² is"),
    "MathML beside TeX and a picture": (
        f"<inline-formula><alternatives><tex-math>$E^2$</tex-math>{MATH}<inline-graphic/></alternatives></inline-formula> is",
        "E² is",
    ),
    "a formula that is only TeX or a picture": (
        "of <inline-formula><tex-math>$x$</tex-math></inline-formula> and <inline-graphic/>so",
        "of and so",
    ),
    "display formulas part words": (f"given by<disp-formula>{MATH}</disp-formula>where", "given by where"),
    "also where markup follows": (
        "in<disp-formula>y</disp-formula><italic>x</italic> and<fig/><graphic/>so",
        "in x and so",
    ),
    "no space before the full stop": (f"given by<disp-formula>{MATH}</disp-formula>.", "given by."),
    "tables and figures in a paragraph": (
        "as in Table 1.<table-wrap><table><tr><td>x</td></tr></table></table-wrap> More",
        "as in Table 1. More",
    ),
    "markup characters": ("a &lt; b &amp; c", "a < b & c"),
    "character references": ("A&#x2013;B &#8804; C", "A–B ≤ C"),
    "entities of the DTD": ("&alpha;-helix, 5 &micro;m", "α-helix, 5 µm"),
    "an entity before a citation": (f"the &alpha;{ONE} chain", "the α chain"),
    "combining characters": ("cafe\u0301", "café"),
    "comments and instructions": ("a<!-- no --> b<?page 2?> c", "a b c"),
    "CDATA": ("<![CDATA[a < b]]> c", "a < b c"),
}


@pytest.mark.parametrize(("xml", "expected"), PARAGRAPHS.values(), ids=PARAGRAPHS.keys())
def test_paragraph(article: Callable[..., bytes], xml: str, expected: str) -> None:
    assert read(article(body=f"<sec><title>T</title><p>{xml}</p></sec>")).body == ["T", expected]


BODIES = {
    "bare text": (
        "bare<sec><title>A</title>more <italic>bare</italic></sec>between<p>1</p>after<sec>2</sec><sec>3</sec>end",
        ["bare", "A", "more bare", "between", "1", "after", "2", "3", "end"],
    ),
    "bare text with markup before a paragraph": ("a <italic>b</italic><p>1</p>", ["a b", "1"]),
    "paragraphs in paragraphs": (
        "<p>a<p>b</p>c<p>d<sup>2</sup><p>e</p></p></p><p>f</p>",
        ["a", "b", "c", "d²", "e", "f"],
    ),
    "sections in order": (
        "<p>0</p><sec><title>A</title><p>1</p><sec><title>B</title><p>2</p></sec></sec><sec><title>C</title><p>3</p></sec>",
        ["0", "A", "1", "B", "2", "C", "3"],
    ),
    "numbered sections": (
        "<sec><label>1.</label><title>Aims</title><p>1</p></sec>",
        ["1. Aims", "1"],
    ),
    "a list inside a paragraph": (
        "<p>Three:<list><list-item><label>1.</label><p>one</p></list-item><list-item><label>•</label><p>two</p><p>more</p>"
        "</list-item><list-item><p>three</p></list-item></list>after</p>",
        ["Three:", "1. one", "two", "more", "three", "after"],
    ),
    "nested lists": (
        "<list><list-item><p>a</p><list><list-item><p>b</p></list-item></list></list-item></list>",
        ["a", "b"],
    ),
    "definitions": (
        "<def-list><def-item><term>AB</term><def><p>a b</p></def></def-item><def-item><term>CD</term><def><p>c</p></def>"
        "</def-item></def-list>",
        ["AB: a b", "CD: c"],
    ),
    "quotations": (
        "<p>He said:<disp-quote><p>Yes.</p><attrib>Him</attrib></disp-quote></p>",
        ["He said:", "Yes.", "Him"],
    ),
    "boxed text": (
        "<boxed-text><label>Box 1.</label><caption><title>What</title></caption><p>Text</p></boxed-text>",
        ["Box 1. What", "Text"],
    ),
    "footnotes follow their paragraph": (
        "<p>Before<fn><label>1</label><p>A note.</p></fn> after <fn><p>Another.</p></fn>it.</p><p>Next</p>",
        ["Before after it.", "A note.", "Another.", "Next"],
    ),
    "headings of nothing": (
        "<sec><title>Tables</title><table-wrap><label>Table 1</label></table-wrap></sec><p>x</p>",
        ["x"],
    ),
    "sections beside the matter": (
        '<sec sec-type="supplementary-material"><title>Files</title><p>a</p></sec><sec><title>Authors’ contributions</title>'
        "<p>b</p></sec><sec><title>5. Conflict of Interest Statement</title><p>c</p></sec><sec><title>Funding</title><p>d</p>"
        "</sec><sec><title>Supporting Information</title><p>e</p></sec><sec><title>Funding of care</title><p>kept</p></sec>",
        ["Funding of care", "kept"],
    ),
    "references, notes and code inside a body": (
        "<p>x</p><ref-list><ref><mixed-citation>r</mixed-citation></ref></ref-list><fn-group><fn><p>f</p></fn></fn-group>"
        "<p>y<code>z = 1</code></p>",
        ["x", "y"],
    ),
}


@pytest.mark.parametrize(("xml", "expected"), BODIES.values(), ids=BODIES.keys())
def test_body(article: Callable[..., bytes], xml: str, expected: list[str]) -> None:
    assert read(article(body=xml)).body == expected


FIGURE = (
    "<fig><object-id>10.1/f1</object-id><label>Figure 1.</label><caption><title>What it shows.</title><p>More <italic>of"
    "</italic> it.</p></caption><graphic/></fig>"
)
TABLE = (
    "<table-wrap><label>Table 1</label><caption><p>Counts.</p></caption><table><tr><td>9</td></tr></table><table-wrap-foot>"
    "<p>a</p></table-wrap-foot></table-wrap>"
)


def test_captions_on_request(article: Callable[..., bytes]) -> None:
    content = article(
        body=f"<p>One {FIGURE}word.</p>{TABLE}<p>Two</p>", after=f"<floats-group>{FIGURE}</floats-group>"
    )
    assert read(content).body == ["One word.", "Two"]
    figure = ["Figure 1. What it shows.", "More of it."]
    assert read(content, captions=True).body == ["One word.", *figure, "Table 1 Counts.", "Two", *figure]


def test_what_stands_behind_the_body(article: Callable[..., bytes]) -> None:
    back = (
        "<ack><p>Thanks</p></ack><ref-list><ref><mixed-citation>r</mixed-citation></ref></ref-list><fn-group><fn><p>f</p></fn>"
        "</fn-group><glossary><def-list><def-item><term>T</term></def-item></def-list></glossary><notes><p>n</p></notes>"
    )
    appendix = "<app-group><app><title>Appendix A</title><p>Kept.</p></app><app><title>Additional file</title></app></app-group>"
    content = article(
        body="<p>Text</p>", back=back, after="<sub-article><body><p>Reply</p></body></sub-article>"
    )
    assert read(content).body == ["Text"]
    assert read(article(body="<p>Text</p>", back=back + appendix)).body == ["Text", "Appendix A", "Kept."]


def test_an_entity_without_a_meaning_costs_only_its_article(article: Callable[..., bytes]) -> None:
    content = article(7, body="<p>&unheard-of;</p>")
    assert list(ArticleReader().read(content)) == [
        UnusableArticle(reason="entity that is never expanded", number=7, entity="unheard-of")
    ]
    assert read(article(back="<ack><p>&unheard-of;</p></ack>")).body == ["Some words here."]


def test_deep_nesting(article: Callable[..., bytes]) -> None:
    depth = 200
    formula = f"<mml:math>{'<mml:mrow>' * depth}<mml:mi>x</mml:mi>{'</mml:mrow>' * depth}</mml:math>"
    assert read(article(body=f"<p>{formula}</p>")).body == ["x"]
    assert read(article(body=f"{'<sec>' * depth}<p>y</p>{'</sec>' * depth}")).body == ["y"]
