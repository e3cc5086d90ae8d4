"""Random damage to one record of a file: no defect, no hang, no loss beyond it; and both ways of reading agree."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.records import Lost
from megatron_bio.corpus.pubmed.citation import Citation, Deletion
from megatron_bio.corpus.pubmed.parser import PieceParser
from megatron_bio.corpus.pubmed.read import PubmedRecord, read_pubmed
from megatron_bio.corpus.pubmed.shortcut import usual_fields
from megatron_bio.corpus.pubmed.splitter import RawRecord

pytestmark = pytest.mark.usefixtures("each_reader")

HEAD = b'<?xml version="1.0"?>\n<!DOCTYPE PubmedArticleSet SYSTEM "x">\n<PubmedArticleSet>\n'
END = b"\n</PubmedArticleSet>\n"
JOURNAL = (
    "<Journal><JournalIssue><PubDate><Year>2001</Year></PubDate></JournalIssue><Title>J</Title></Journal>"
)
FRAGMENTS = [
    *(
        "<x>",
        "</Article>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?",
        "?>",
        "</PubmedArticle>",
        "<PubmedArticle>",
    ),
    *(
        "</PubmedArticleSet>",
        "<!DOCTYPE",
        "&foo;",
        "&#0;",
        "&lt;",
        "<i>",
        "</sup>",
        "<Language>",
        "<Abstract>",
        "\x00",
    ),
    *("<PMID>1</PMID>", "<MedlineCitation>", "'", '"', ">", "<", "&", "\u2028", "<DeleteCitation>"),
]


def record(pmid: int, kind: int) -> str:
    """A small record of one of five kinds."""
    citation = (
        f'<MedlineCitation Status="x"><PMID Version="1">{pmid}</PMID><Article PubModel="Print">{JOURNAL}'
        f'<ArticleTitle>T {pmid}.</ArticleTitle><Abstract><AbstractText Label="AIM">Words <i>x</i> &lt; é.</AbstractText>'
        "</Abstract><AuthorList><Author>D</Author></AuthorList><Language>eng</Language><PublicationTypeList>"
        '<PublicationType UI="D1">Journal Article</PublicationType></PublicationTypeList></Article>'
        '<MeshHeadingList><MeshHeading><DescriptorName UI="D2">Iron</DescriptorName></MeshHeading></MeshHeadingList>'
        "</MedlineCitation>"
    )
    return (
        f'<PubmedArticle>{citation}<PubmedData><ArticleIdList><ArticleId IdType="doi">10.1234/{pmid}</ArticleId>'
        "</ArticleIdList></PubmedData></PubmedArticle>",
        f"<PubmedArticle><!-- c <PubmedArticle> -->{citation}<?pi a?></PubmedArticle>",
        f"<!-- between <PubmedArticle> --><PubmedArticle>{citation.replace('Words', '<![CDATA[</Abstract>]]>')}</PubmedArticle>",
        f'<DeleteCitation><PMID Version="1">{pmid}</PMID></DeleteCitation>',
        f"<PubmedBookArticle><BookDocument><PMID>{pmid}</PMID><ArticleTitle>B.</ArticleTitle></BookDocument></PubmedBookArticle>",
    )[kind]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, int, int]:
    """A file, how many records it has, and which of them was changed at one place."""
    records = [
        record(100 + n, kind).encode()
        for n, kind in enumerate(draw(st.lists(st.integers(0, 4), min_size=3, max_size=6)))
    ]
    victim = draw(st.integers(0, len(records) - 1))
    sound = records[victim]
    begin = draw(st.integers(0, len(sound)))
    end = min(len(sound), begin + draw(st.sampled_from([0, 0, 1, 2, 5, 40])))
    put = draw(
        st.one_of(
            st.just(b""),
            st.sampled_from(FRAGMENTS).map(str.encode),
            st.binary(max_size=3),
            st.just(sound[begin:end] * 2),
        )
    )
    records[victim] = sound[:begin] + put + sound[end:]
    return HEAD + b"\n".join(records) + END, len(records), victim


def read(path: Path, **options: bool) -> list[PubmedRecord]:
    """What the file gives; that it stops early is an error of these tests, as only one record is damaged."""
    return list(read_pubmed(path, **options))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(damaged())
def test_damage_to_one_record(tmp_path_factory: pytest.TempPathFactory, case: tuple[bytes, int, int]) -> None:
    content, count, victim = case
    path = tmp_path_factory.getbasetemp() / "fuzz.xml"
    path.write_bytes(content)
    by_tree = read(path, shortcut=False)
    by_shortcut = read(path)
    for found in (by_tree, by_shortcut):
        kept = [one.pmid for one in found if isinstance(one, Citation | Deletion)]
        expected = [100 + n for n in range(count) if n != victim]
        assert [pmid for pmid in kept if pmid in expected] == expected, "each other record, once, in order"
        assert len(found) >= count, "what is not kept is named"
    if not any(isinstance(one, Lost) for one in by_tree):
        assert by_tree == by_shortcut


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([*FRAGMENTS, record(1, 0), record(2, 3), "<PubmedArticleSet>"])).map(
            lambda parts: "".join(parts).encode()
        ),
    )
)
def test_no_content_is_a_defect(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.xml"
    for whole in (content, HEAD + content):
        path.write_bytes(whole)
        for shortcut in (True, False):
            try:
                read(path, shortcut=shortcut)
            except DamagedFileError as error:
                assert str(error).startswith(f"{path}: ")


TEXT = st.text(st.sampled_from("ab <>&;[]().:\"'é∘αx2-\u00a0\n"), max_size=12)
WRAPS = ("{}", "<i>{}</i>", "a<sup>{}</sup>", "<b>{}<sub>2</sub></b>", "&#946;{}", "<em>{}</em>")
DATES = ("<Year>1999</Year>", "<MedlineDate>Spring 2001</MedlineDate>", "<Season>Fall</Season>", "")
ENTITIES = str.maketrans({"<": "&lt;", "&": "&amp;"})


@st.composite
def sound_record(draw: st.DrawFn) -> str:
    """A record after the DTD with odd texts, optional elements and white space."""

    is_plain = draw(st.booleans())
    """No markup outside of title and abstract, and nothing rare, as in most records."""

    def text(wraps: Sequence[str] = WRAPS) -> str:
        plain = draw(TEXT).translate(ENTITIES).replace("]]>", "")
        return draw(st.sampled_from(wraps)).format(plain)

    def some(element: str, most: int = 2) -> str:
        wraps = WRAPS[:1] if is_plain else WRAPS
        return space().join(element.format(text(wraps)) for _ in range(draw(st.integers(0, most))))

    def rarely(element: str) -> str:
        return "" if is_plain else some(element, 1)

    def space() -> str:
        return draw(st.sampled_from(["", "", "\n   "]))

    sections = some('<AbstractText Label="AIM" NlmCategory="OBJECTIVE">{}</AbstractText>') + some(
        "<AbstractText>{}</AbstractText>"
    )
    label = draw(st.sampled_from(["", "", " Label='R &amp; D'"]))
    abstract = (
        f"<Abstract>{sections}<AbstractText{label}>{text()}</AbstractText></Abstract>"
        if draw(st.booleans())
        else ""
    )
    date = draw(
        st.sampled_from(
            ["<Year>1999</Year>", "<MedlineDate>Spring 2001</MedlineDate>", "<Season>Fall</Season>", ""]
        )
    )
    identifiers = some('<ArticleId IdType="doi">10.1234/{}</ArticleId>') + some(
        '<ArticleId IdType="pmc">PMC{}</ArticleId>'
    )
    keywords = (
        f'<KeywordList Owner="X">{some("<Keyword>{}</Keyword>")}</KeywordList>' if draw(st.booleans()) else ""
    )
    languages = draw(
        st.sampled_from(
            ["<Language>eng</Language>"] * 4 + ["<Language>fre</Language>\n<Language>eng</Language>", ""]
        )
    )
    numbers = st.integers(1, 3)
    types = some('<PublicationType UI="D1">{}</PublicationType>')
    relation = draw(
        st.sampled_from(["Cites", "Cites", "RetractionOf", "RetractionIn"][: 2 if is_plain else 4])
    )
    parts = [
        "<PubmedArticle>",
        f'<MedlineCitation Status="x"><PMID Version="{draw(numbers)}">7</PMID>',
        f'<Article PubModel="Print"><Journal><JournalIssue><PubDate>{date}</PubDate></JournalIssue>',
        some("<Title>{}</Title>", 1),
        "</Journal>",
        f"<ArticleTitle>{text()}</ArticleTitle>",
        some('<ELocationID EIdType="doi" ValidYN="Y">10.9/{}</ELocationID>'),
        abstract,
        some("<AuthorList><Author>{}</Author></AuthorList>", 1),
        languages,
        f"<PublicationTypeList>{types}</PublicationTypeList>",
        some("<VernacularTitle>{}</VernacularTitle>", 1),
        "</Article>",
        f'<CommentsCorrectionsList><CommentsCorrections RefType="{relation}"><PMID Version="1">9</PMID></CommentsCorrections>'
        "</CommentsCorrectionsList>",
        f"<MeshHeadingList>{some('<MeshHeading><DescriptorName>{}</DescriptorName></MeshHeading>')}</MeshHeadingList>",
        some('<OtherID Source="NLM">PMC1{}</OtherID>', 1),
        rarely('<OtherAbstract Language="fre"><AbstractText>{}</AbstractText></OtherAbstract>'),
        keywords,
        "</MedlineCitation>",
        f"<PubmedData><ArticleIdList>{identifiers}</ArticleIdList><ReferenceList>",
        '<Reference><ArticleIdList><ArticleId IdType="pmc">PMC99</ArticleId></ArticleIdList></Reference>',
        "</ReferenceList></PubmedData>",
        "</PubmedArticle>",
    ]
    return "".join(part + space() for part in parts)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(sound_record())
def test_both_ways_of_reading_give_the_same(tmp_path_factory: pytest.TempPathFactory, xml: str) -> None:
    path = tmp_path_factory.getbasetemp() / "sound.xml"
    path.write_text(f"<PubmedArticleSet>{xml}</PubmedArticleSet>")
    for all_fields in (False, True):
        by_tree = read(path, shortcut=False, all_fields=all_fields)
        assert len(by_tree) == 1 and isinstance(by_tree[0], Citation)
        assert by_tree == read(path, all_fields=all_fields)


def test_most_of_these_records_take_the_shortcut() -> None:
    taken: list[bool] = []

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(sound_record())
    def count(xml: str) -> None:
        raw = RawRecord("PubmedArticle", xml.encode(), 0, len(xml.encode()), 0)
        taken.append(usual_fields(raw, True, PieceParser(b"<PubmedArticleSet>")) is not None)

    count()
    assert sum(taken) > 25, "otherwise the test above compares the slow way with itself"
