"""Cutting before parsing gives the same text as not cutting."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio.corpus.pmc import article as article_module
from megatron_bio.corpus.pmc.article import ArticleReader
from megatron_bio.corpus.pmc.cutting import without_unread_parts
from megatron_bio.corpus.pmc.package import Member, Package

DATA = Path(__file__).parents[4] / "shared" / "data" / "pmc"
TABLE = (
    "<table-wrap><table><tr><td>9</td></tr></table><table-wrap-foot><p>f</p></table-wrap-foot></table-wrap>"
)
REFERENCES = "<ref-list><ref-list><ref/></ref-list><ref><mixed-citation>r</mixed-citation></ref></ref-list>"
BODY = f"<p>a{TABLE}b</p><p>c</p>"


def test_what_is_cut(article: Callable[..., bytes]) -> None:
    content = article(
        body=BODY,
        meta="<contrib-group><contrib/></contrib-group>",
        back=f"<ack><p>x</p></ack>{REFERENCES}",
        after=f"<floats-group>{TABLE}</floats-group>",
    )
    cut = without_unread_parts(content, captions=False)
    assert b"a<table-wrap/>b" in cut
    for name in (b"table>", b"ref-list", b"contrib", b"back", b"floats-group", b"ack"):
        assert b"<" + name in content and b"<" + name not in cut
    kept = without_unread_parts(content, captions=True)
    assert b"a<table-wrap>" in kept and kept.count(b"<table>") == 1 and b"<back" not in kept
    appendix = article(body="<p>a</p>", back=f"{REFERENCES}<app-group><app/></app-group>")
    cut = without_unread_parts(appendix, captions=False)
    assert b"<app>" not in cut and b"<app/>" in cut and b"<ref-list" not in cut


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("<p>c", "<!-- <table-wrap> --><p>c"),
        lambda text: text.replace("<p>c", "<![CDATA[<table-wrap>]]><p>c"),
        lambda text: text.replace("<p>c", "<?x <table-wrap>?><p>c"),
        lambda text: text.replace('.dtd">', '.dtd" [<!ENTITY a "<table-wrap>">]>'),
        lambda text: '<?xml version="1.0" encoding="shift_jis"?>' + text,
        lambda text: text.replace("</table-wrap>", ""),
    ],
)
def test_where_it_is_not_certain_nothing_is_cut(
    article: Callable[..., bytes], change: Callable[[str], str]
) -> None:
    content = article(body=BODY, back=REFERENCES)
    assert without_unread_parts(content, captions=False) != content
    changed = change(content.decode()).encode()
    assert changed != content and without_unread_parts(changed, captions=False) == changed


def results(content: bytes, captions: bool) -> list[object]:
    return list(ArticleReader(captions).read(content))


@pytest.fixture
def uncut(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, bool], list[object]]:
    """Reads without cutting."""

    def read(content: bytes, captions: bool) -> list[object]:
        with monkeypatch.context() as patch:
            patch.setattr(article_module, "without_unread_parts", lambda content, captions: content)
            patch.setattr(article_module, "may_have_glued_marks", lambda content: True)
            return results(content, captions)

    return read


@pytest.mark.parametrize("captions", [False, True])
def test_real_articles_read_the_same(uncut: Callable[[bytes, bool], list[object]], captions: bool) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the shared PMC packages are not at {DATA}")
    compared = 0
    for path in sorted(DATA.glob("*.tar.gz")):
        for number, member in enumerate(Package(path).members()):
            assert isinstance(member, Member)
            if captions and number % 5:
                continue
            assert results(member.content, captions) == uncut(member.content, captions), member.name
            compared += 1
    assert compared >= (95 if captions else 479)


NAMES = st.sampled_from(
    ["sec", "p", "table-wrap", "table", "ref-list", "back", "app", "contrib-group", "fig", "italic"]
)
TREES = st.recursive(
    st.sampled_from(["word ", "1", "&#x2013;", "a<xref ref-type='bibr'>2</xref>", "b<sup>3</sup>", "<table-wrap/>"]),
    lambda inner: st.builds(lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", NAMES, st.lists(inner, max_size=4)),
    max_leaves=25,
)  # fmt: skip


@given(body=TREES, back=TREES, meta=TREES, captions=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_tree_reads_the_same(body: str, back: str, meta: str, captions: bool) -> None:
    content = (
        f"<article><front><article-meta>{meta}<title-group/></article-meta></front><body>{body}</body>"
        f"<back>{back}</back><floats-group>{body}</floats-group></article>"
    ).encode()
    with pytest.MonkeyPatch.context() as patch:
        cut = results(content, captions)
        patch.setattr(article_module, "without_unread_parts", lambda content, captions: content)
        patch.setattr(article_module, "may_have_glued_marks", lambda content: True)
        assert cut == results(content, captions)
