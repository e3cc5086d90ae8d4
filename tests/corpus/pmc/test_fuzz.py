"""Whatever the bytes are: a record, a loss, never another exception."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from megatron_bio.corpus.extraction.records import Kept, LeftOut, Lost
from megatron_bio.corpus.pmc.article import ArticleReader
from megatron_bio.corpus.pmc.file_list import FileList
from megatron_bio.corpus.pmc.package import Member
from megatron_bio.corpus.pmc.pieces import Choices, _read, pieces_of

from .conftest import tar_bytes

CHOICES = Choices(license="any", captions=True, require_body=False, minimum_words=0)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.sampled_from(
    ["word", "&alpha;", "&nope;", "&#x2009;", "1", ".", "-->", "]]>", "\ufdd0", "\ufffe", " "]
)
TAGS = st.one_of(
    st.sampled_from(
        ["article", "front", "article-meta", "body", "back", "sec", "p", "title", "abstract", "app-group"]
    ),
    st.sampled_from(
        ["sup", "sub", "xref", "fn", "list", "list-item", "label", "def-list", "def-item", "term", "def"]
    ),
    st.sampled_from(
        ["disp-formula", "inline-formula", "mml:math", "mml:mfrac", "mml:msup", "mml:mmultiscripts"]
    ),
    st.sampled_from(
        ["table-wrap", "table", "fig", "caption", "boxed-text", "break", "app", "ref-list", "title-group"]
    ),
    st.sampled_from(
        ["license", "permissions", "kwd-group", "kwd", "article-id", "article-title", "pub-date", "year"]
    ),
)
ATTRIBUTES = st.sampled_from(
    [
        "",
        ' ref-type="bibr"',
        ' ref-type="fn"',
        ' pub-id-type="pmc"',
        ' sec-type="conflict"',
        ' xmlns="urn:x"',
        ' a=">"',
    ]
)
MARKUP = st.recursive(
    st.one_of(
        TEXTS, st.sampled_from(["<!-- <p> -->", "<?x <p>?>", "<![CDATA[<p>]]>", "<p", "</p>", "<", "&"])
    ),
    lambda inner: st.builds(
        lambda tag, attribute, parts: f"<{tag}{attribute}>{''.join(parts)}</{tag}>",
        TAGS,
        ATTRIBUTES,
        st.lists(inner, max_size=4),
    ),
    max_leaves=30,
)


def records(content: bytes) -> list[object]:
    found = list(_read(ArticleReader(captions=True), Path("x.xml"), Member("x.xml", content), CHOICES, {}))
    assert found and all(isinstance(record, Kept | LeftOut | Lost) for record in found)
    return found


@given(markup=MARKUP, meta=MARKUP)
@example(markup="<p>&alpha;<xref ref-type='bibr'>1</xref></p>", meta="")
@FUZZ
def test_any_markup_in_an_article(markup: str, meta: str) -> None:
    content = (
        '<!DOCTYPE article SYSTEM "x.dtd"><article xmlns:mml="http://www.w3.org/1998/Math/MathML"><front><article-meta>'
        f"{meta}</article-meta></front><body>{markup}</body></article>"
    )
    records(content.encode("utf-8", errors="ignore"))


@given(position=st.integers(0, 10_000), change=st.binary(max_size=6), cut=st.integers(0, 40))
@FUZZ
def test_any_change_of_the_bytes(
    article: Callable[..., bytes], position: int, change: bytes, cut: int
) -> None:
    content = article(body="<p>a<sup><xref ref-type='bibr'>1</xref></sup> &alpha;</p>", back="<ref-list/>")
    position %= len(content)
    records(content[:position] + change + content[position + cut :])


@given(content=st.binary(max_size=300))
@example(content=b"")
@example(content=b"<back")
@example(content=b"\xff\xfe<\x00a\x00")
@FUZZ
def test_any_bytes(content: bytes) -> None:
    records(content)


@given(
    changes=st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=12)), max_size=3),
    length=st.integers(0, 20_000),
)
@FUZZ
def test_any_change_of_a_package(
    article: Callable[..., bytes],
    tmp_path: Path,
    changes: list[tuple[int, bytes]],
    length: int,
) -> None:
    content = bytearray(tar_bytes({f"PMC{n}.xml": article(n) for n in range(1, 5)}))
    for position, change in changes:
        position %= len(content)
        content[position : position + len(change)] = change
    path = tmp_path / "package.tar"
    path.write_bytes(content[: max(1, length % (2 * len(content)))])
    found = [record for piece in pieces_of([path], CHOICES, FileList()) for record in piece.records()]
    assert all(isinstance(record, Kept | LeftOut | Lost) for record in found)
    if not changes and length % (2 * len(content)) >= len(content):
        assert [type(record) for record in found] == [Kept] * 4
    elif length % (2 * len(content)) < len(content) - 10 * 1024:
        assert any(isinstance(record, Lost) for record in found), "a cut is always noticed"
