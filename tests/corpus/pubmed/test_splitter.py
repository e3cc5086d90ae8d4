"""Which records come out of files with comments, sections, odd spellings and damage."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.records import Lost
from megatron_bio.corpus.pubmed import window
from megatron_bio.corpus.pubmed.citation import Citation, UnusableRecord
from megatron_bio.corpus.pubmed.read import read_pubmed

Make = Callable[..., str]
Write = Callable[..., Path]


def outcome(path: Path) -> list[object]:
    """PMIDs, reasons of what was left out, and (line, number of records) of what was lost."""
    found: list[object] = []
    for record in read_pubmed(path):
        if isinstance(record, Citation):
            found.append(record.pmid)
        elif isinstance(record, Lost):
            found.append((int(record.message.split()[1]), record.records))
        elif isinstance(record, UnusableRecord):
            found.append(record.reason)
    return found


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "written.xml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_marks_hide_no_record_and_make_none(citation: Make, pubmed_file: Write) -> None:
    inside = citation(
        2, abstract="<AbstractText>a<!-- </PubmedArticle> or <PubmedArticle> -->b</AbstractText>"
    )
    section = citation(3, abstract="<AbstractText>a<![CDATA[</PubmedArticle> & &x; <PMID>]]>b</AbstractText>")
    instruction = citation(4, abstract="<AbstractText>a<?x </PubmedArticle>?>b</AbstractText>")
    commented = f"<!-- {citation(5)}\n{citation(6)} -->"
    path = pubmed_file(
        "<!-- <PubmedArticle> -->", citation(1), inside, section, instruction, commented, citation(7)
    )
    assert outcome(path) == [1, 2, 3, 4, 7]
    texts = [record.abstract for record in read_pubmed(path) if isinstance(record, Citation)]
    assert texts[1:4] == ["ab", "a</PubmedArticle> & &x; <PMID>b", "ab"]


def test_what_is_in_a_comment_is_not_read(citation: Make, pubmed_file: Write) -> None:
    """The shortcut, which searches for bytes, must not be taken here."""
    usual = (
        "<PubmedArticle><MedlineCitation><PMID Version='1'>1</PMID><Article><Journal><Title>J</Title></Journal>"
        "<ArticleTitle>T.</ArticleTitle><Language>eng</Language></Article></MedlineCitation></PubmedArticle>"
    ).replace("'", '"')
    hidden = "<!-- <VernacularTitle>V</VernacularTitle> -->"
    (record,) = read_pubmed(pubmed_file(usual.replace("</Article>", f"{hidden}</Article>")))
    assert isinstance(record, Citation) and record.meta == {"languages": ["eng"], "journal": "J"}


def test_odd_spellings(citation: Make, written: Write) -> None:
    one = citation(1).replace("</PubmedArticle>", "</PubmedArticle\n>")
    two = citation(2).replace("<PubmedArticle>", "<PubmedArticle\tnote='a>b'>")
    empty = '<PubmedArticle/><PubmedArticle note="x"/>'
    content = (
        f"<PubmedArticleSet\n a='>'>{one}{two}{empty}{citation(3)}</PubmedArticleSet >\n<!-- end -->\n<?end?>"
    )
    assert outcome(written(content)) == [1, 2, "no valid PMID", "no valid PMID", 3]
    assert (
        outcome(written("<PubmedArticleSet/>"))
        == outcome(written("<PubmedArticleSet></PubmedArticleSet>"))
        == []
    )


def test_prologues(citation: Make, written: Write) -> None:
    body = f"<PubmedArticleSet>{citation(1)}</PubmedArticleSet>"
    for prologue in (
        "",
        "\n <!-- <PubmedArticleSet> > -->",
        "<?xml version='1.0'?><?a <PubmedArticleSet>?>",
        '<!DOCTYPE PubmedArticleSet [<!ENTITY a "]>"><!-- ]> \' --><?b ]>?>]>',
        "<!doctype PubmedArticleSet SYSTEM 'a>b'>",
    ):
        assert outcome(written(prologue + body)) == [1], prologue
    for prologue in ("<!-- open", "<!DOCTYPE PubmedArticleSet [", "text", "<?xml", "<"):
        with pytest.raises(DamagedFileError, match="line 1: expected well-formed PubMed XML"):
            outcome(written(prologue + body))


def test_a_prefix_that_the_root_declares(citation: Make, written: Write) -> None:
    formula = "<AbstractText>m<mml:math><mml:msup><mml:mi>x</mml:mi><mml:mn>2</mml:mn></mml:msup></mml:math></AbstractText>"
    mathematics = 'xmlns:mml="http://www.w3.org/1998/Math/MathML"'
    declared = f"<PubmedArticleSet {mathematics}>{citation(1, abstract=formula)}</PubmedArticleSet>"
    (record,) = read_pubmed(written(declared))
    assert isinstance(record, Citation) and record.abstract == "mx²"
    assert outcome(written(declared.replace(mathematics, ""))) == [(1, 1)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("</PubmedArticle>", "", [1, (5, 1), 3]),
        ("<PubmedArticle>", "", [1, 2, (5, 1), 3]),
        ("<PubmedArticle>", "<PubmadArticle>", [1, (5, 1), 3]),
        ("</ArticleTitle>", "", [1, (5, 1), 3]),
        ("</Article>", "</Artikel>", [1, (5, 1), 3]),
        ("A title.", "A & title.", [1, (5, 1), 3]),
        ("A title.", "A <i title.", [1, (5, 1), 3]),
        ("A title.", "A &#0; title.", [1, (5, 1), 3]),
        ("A title.", "A ]]> title.", [1, (5, 1), 3]),
        ("A title.", "A \x01 title.", [1, (5, 1), 3]),
        ("A title.", "A <!-- title.", [1, (5, 1), 3]),
        ("A title.", "A <!-- -- > title.", [1, (5, 1), 3]),
        ("A title.", "A <![CDATA[ title.", [1, (5, 1), 3]),
        ("A title.", "A <? title.", [1, (5, 1), 3]),
        ("A title.", "A <!DOCTYPE title>.", [1, (5, 1), 3]),
        ("A title.", "A <PubmedArticle> title.", [1, (5, 1), (5, 1), 3]),
        ("A title.", "A </PubmedArticle> title.", [1, (5, 1), (5, 1), 3]),
        ("A title.", "A </PubmedArticleSet> title.", [1, (5, 1), 3]),
        ("</PubmedArticle>", "</PubmedArticle>text", [1, 2, (5, 0), 3]),
        ("</PubmedArticle>", "</PubmedArticle><Other>x</Other>", [1, 2, "element that is no citation", 3]),
        ("</PubmedArticle>", "</PubmedArticle></PubmedArticleSet>", [1, 2, (6, 0), 3]),
    ],
)
def test_damage_costs_only_its_record(
    old: str, new: str, expected: list[object], citation: Make, pubmed_file: Write
) -> None:
    path = pubmed_file(citation(1), citation(2).replace(old, new, 1), citation(3))
    assert outcome(path) == expected


@pytest.mark.parametrize("opening", ["<![CDATA[", "<?", "<!--"])
def test_what_is_not_closed_swallows_no_record(opening: str, citation: Make, pubmed_file: Write) -> None:
    """Also when something later closes it."""
    later = citation(3, abstract="<AbstractText>a<![CDATA[b]]><?c d?><!-- e -->f</AbstractText>")
    broken = citation(2).replace("A title.", f"A {opening} title.")
    assert outcome(pubmed_file(citation(1), broken, later, citation(4))) == [1, (5, 1), 3, 4]
    cut = citation(2).replace("</PubmedArticle>", opening)
    assert outcome(pubmed_file(citation(1), cut, later, citation(4))) == [1, (5, 1), 3, 4]


def test_bytes_that_are_no_utf8_cost_only_their_record(
    citation: Make, pubmed_file: Write, written: Write
) -> None:
    content = pubmed_file(citation(1), citation(2, title="café"), citation(3)).read_bytes()
    path = written(content.replace("é".encode(), "é".encode("latin-1")))
    records = list(read_pubmed(path))
    assert [record.pmid for record in records if isinstance(record, Citation)] == [1, 3]
    lost = records[1]
    assert isinstance(lost, Lost) and lost.reason == "wrong encoding"
    byte = content.index("é".encode())
    assert (
        f"line 5 (byte {byte:,} of the XML): expected UTF-8, found the byte 0xe9 in the record of PMID 2"
        in lost.message
    )


def test_files_that_end_early(citation: Make, pubmed_file: Write, written: Write) -> None:
    whole = pubmed_file(citation(1), citation(2)).read_text()
    end = whole.index("</PubmedArticleSet>")
    assert outcome(written(whole[:end])) == [1, 2, (6, 0)]
    assert outcome(written(whole[: end - 40])) == [1, (5, 1)]
    assert outcome(written(whole[: whole.index("<PubmedArticle>")])) == [(4, 0)]
    assert outcome(written(whole[: end - 40] + "<!-- ")) == [1, (5, 1)]


def test_joined_files_are_read_and_named(citation: Make, pubmed_file: Write, written: Write) -> None:
    whole = pubmed_file(citation(1)).read_text() + pubmed_file(citation(2), citation(3)).read_text()
    path = written(whole)
    assert outcome(path) == [1, (7, 0), 2, 3]
    (lost,) = (record for record in read_pubmed(path) if isinstance(record, Lost))
    assert "expected the end of the file" in lost.message and "split them" in lost.message


def test_a_record_in_the_wrong_set_and_a_wrapper(citation: Make, written: Write) -> None:
    medline = citation(5).split("<PubmedArticle>")[1].split("<PubmedData>")[0]
    assert outcome(written(f"<PubmedArticleSet>{medline}{citation(6)}</PubmedArticleSet>")) == [5, 6]
    wrapped = f"<PubmedArticleSet><Wrapper>{citation(1)}</Wrapper>{citation(2)}</PubmedArticleSet>"
    assert outcome(written(wrapped)) == [(1, 0), 1, (1, 0), 2]


def test_a_record_beyond_measure_is_lost_and_not_held(
    citation: Make, pubmed_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "LARGEST_BYTES", 1 << 18)
    huge = citation(2, abstract=f"<AbstractText>{'word ' * 400_000}</AbstractText>")
    assert outcome(pubmed_file(citation(1), huge, citation(3))) == [1, (5, 1), 3]


@pytest.mark.parametrize("cut", range(20, 2500, 181))
def test_truncated_gzip_keeps_the_records_before(
    cut: int, citation: Make, pubmed_file: Write, tmp_path: Path
) -> None:
    records = [citation(pmid, title=f"{pmid * 7919} and {pmid * 104729}.") for pmid in range(1, 200)]
    whole = gzip.compress(pubmed_file(*records).read_bytes())
    path = tmp_path / "cut.xml.gz"
    path.write_bytes(whole[:-cut])
    found = []
    with pytest.raises(DamagedFileError, match="truncated"):
        for record in read_pubmed(path):
            found.append(record)
    pmids = [record.pmid for record in found if isinstance(record, Citation)]
    assert pmids == list(range(1, len(pmids) + 1)) and len(pmids) == len(found)
    assert pmids, "expected the first of the records"


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "iso-8859-1", "windows-1252"]
)
def test_declared_encodings(encoding: str, citation: Make, pubmed_file: Write, written: Write) -> None:
    text = pubmed_file(citation(1, title="café ß"), citation(2)).read_text()
    declared = text.replace(
        'encoding="utf-8"', f'encoding="{encoding.removesuffix("-sig").removesuffix("-le")}"'
    )
    records = list(read_pubmed(written(declared.encode(encoding))))
    assert [record.title for record in records if isinstance(record, Citation)] == ["café ß", "A title."]


@pytest.mark.parametrize("encoding", ["iso-8859-1", "latin1", "windows-1252"])
def test_utf8_under_another_name_is_refused(
    encoding: str, citation: Make, pubmed_file: Write, written: Write
) -> None:
    """Else every é would be read as Ã©."""
    text = pubmed_file(*(citation(pmid) for pmid in range(1500)), citation(9999, title="café")).read_text()
    declared = text.replace('encoding="utf-8"', f'encoding="{encoding}"')
    story = r'found UTF-8 before byte [0-9,]+ of the file. Correct the XML declaration to encoding="utf-8"'
    with pytest.raises(DamagedFileError, match=story):
        list(read_pubmed(written(declared)))
    assert len(list(read_pubmed(written(declared.encode(encoding))))) == 1501


def test_encodings_that_are_unknown_or_wrong(citation: Make, pubmed_file: Write, written: Write) -> None:
    text = pubmed_file(*(citation(pmid, title="café") for pmid in range(3000))).read_text()
    for unknown in ("klingon", "base64", "rot13"):
        with pytest.raises(DamagedFileError, match=f"found '{unknown}'. Convert the file to UTF-8"):
            list(read_pubmed(written(text.replace("utf-8", unknown))))
    content = text.replace("utf-8", "utf-16").encode("utf-16")
    path = written(content[:-100] + b"\x00\xd8" + content[-98:])
    found = []
    with pytest.raises(DamagedFileError, match="expected the encoding that the file declares"):
        for record in read_pubmed(path):
            found.append(record)
    assert len(found) > 500
