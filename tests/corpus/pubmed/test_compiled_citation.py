"""The compiled reader of usual records takes nearly all of them, and no byte beyond a record."""

import contextlib
from pathlib import Path

import pytest

from megatron_bio import native
from megatron_bio.corpus.pubmed import shortcut
from megatron_bio.corpus.pubmed.compiled import read_citation
from megatron_bio.corpus.pubmed.read import read_pubmed

pytestmark = pytest.mark.skipif(native.compiled is None, reason=f"no compiled parts: {native.reason}")

DATA = Path(__file__).parents[4] / "shared" / "data" / "pubmed"
RECORD = (
    '<PubmedArticle>\n<MedlineCitation Status="MEDLINE"><PMID Version="2">4711</PMID><DateRevised><Year>2019</Year></DateRevised>'
    '<Article PubModel="Print"><Journal><Title>J</Title></Journal><ArticleTitle>A &lt; B\xa0x</ArticleTitle><Abstract>'
    '<AbstractText Label="AIM" NlmCategory="OBJECTIVE">To <i>see</i>. 10<sup>6</sup></AbstractText><AbstractText>é </AbstractText>'
    "<CopyrightInformation>©</CopyrightInformation></Abstract><AuthorList><Author/></AuthorList><Language>eng</Language>\n"
    "<Language>fre</Language></Article></MedlineCitation><PubmedData/></PubmedArticle>"
).encode()


def test_a_record() -> None:
    found = read_citation(b"x" + RECORD + b"y", 1, 1 + len(RECORD))
    assert found is not None
    fields, spans = found
    assert (fields.pmid, fields.version, fields.title) == (4711, 2, "A < B x")
    assert list(fields.abstract) == [("AIM", "To see. 10⁶"), ("", "é")]
    assert list(fields.languages) == ["eng", "fre"]
    assert RECORD[spans.article_end - 1 :].startswith(b"</Article>")
    assert RECORD[spans.citation_end - 1 :].startswith(b"</MedlineCitation>")
    assert RECORD[spans.before_authors - 1 :].startswith(b"<Abstract>")
    assert RECORD[: spans.head_end - 1].endswith(b"<Journal>")


def test_every_prefix_is_safe() -> None:
    """Also where the bytes behind the end would go on as expected."""
    last = RECORD.index(b"</MedlineCitation>") + len(b"</MedlineCitation>")
    for end in range(last):
        assert read_citation(RECORD, 0, end) is None
        assert read_citation(RECORD[:end], 0, end) is None
    assert read_citation(RECORD, 0, last) is not None
    assert read_citation(RECORD, 5, 3) is None and read_citation(RECORD, 0, len(RECORD) + 1) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\xa0", "\xa0&alpha;"),
        ("é", "\ud800"),
        ("é", "]]>"),
        ("é", "\x0b"),
        ("<i>see</i>", "<i>see</b>"),
        ("</Abstract>", "<Odd/></Abstract>"),
        ("</Article>", "<Abstract/></Article>"),
        ("</AuthorList>", "</AuthorList><Odd/>"),
        ('Version="2"', "Version='2'"),
        ("4711", "47 11"),
        ("</Year>", "</Yaer>"),
        ("<Year>2019</Year>", "<Odd>2019</Odd>"),
        ("Label=", "Lang="),
        ("<Language>fre", "<Language a='b'>fre"),
    ],
)
def test_what_is_not_usual_is_left_to_python(old: str, new: str) -> None:
    content = RECORD.decode().replace(old, new, 1).encode("utf-8", "surrogatepass")
    assert content != RECORD
    # Python's reader of pieces may raise it; `usual_fields` takes it for unusual.
    with contextlib.suppress(UnicodeDecodeError):
        assert read_citation(content, 0, len(content)) is None


def test_nearly_all_real_records_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the shared PubMed files are not at {DATA}")
    taken: list[bool] = []

    def counted(buffer: bytes, begin: int, end: int) -> object:
        found = read_citation(buffer, begin, end)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(shortcut, "read_citation", counted)
    for path in sorted(DATA.glob("*.xml.gz")):
        if "odd" not in path.name:
            list(read_pubmed(path))
    assert len(taken) > 1000 and sum(taken) > 0.97 * len(taken)
