import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.corpus.pubmed.citation import Citation, Deletion, UnusableRecord, to_document
from megatron_bio.corpus.pubmed.read import read_pubmed

pytestmark = pytest.mark.usefixtures("each_reader")

Make = Callable[..., str]
Write = Callable[..., Path]


def only(path: Path) -> Citation:
    (record,) = read_pubmed(path)
    assert isinstance(record, Citation)
    return record


def test_pubmed_article_set(citation: Make, pubmed_file: Write) -> None:
    article = (
        "<Language>eng</Language><PublicationTypeList><PublicationType>Journal Article</PublicationType>"
        "</PublicationTypeList><Journal><JournalIssue><PubDate><MedlineDate>1999 Jan-Feb</MedlineDate></PubDate>"
        "</JournalIssue><Title>Journal of Examples</Title></Journal>"
    )
    path = pubmed_file(citation(12, version=3, title="T<sub>4</sub> cells.", article=article), citation(13))
    first, second = read_pubmed(path)
    assert isinstance(first, Citation) and isinstance(second, Citation)
    assert (first.pmid, first.version, first.title, first.abstract) == (
        12,
        3,
        "T₄ cells.",
        "Some words here.",
    )
    assert second.pmid == 13, "PMIDs of references must not be taken for records"
    document = to_document(first)
    assert (document.id, document.source) == ("pubmed:12", "pubmed")
    assert document.meta == {
        "pmid": 12,
        "version": 3,
        "year": 1999,
        "journal": "Journal of Examples",
        "languages": ["eng"],
        "publication_types": ["Journal Article"],
    }


def test_medline_citation_set_and_other_roots(tmp_path: Path, citation: Make) -> None:
    medline = citation(5).split("<PubmedArticle>")[1].split("<PubmedData>")[0]
    for name, content in {
        "set.xml": f"<MedlineCitationSet>{medline}{medline}</MedlineCitationSet>",
        "one.xml": citation(5),
        "medline.xml": medline,
        "old.xml": f"<PubMedArticleSet><PubMedArticle>{medline}</PubMedArticle></PubMedArticleSet>",
    }.items():
        path = tmp_path / name
        path.write_text(content)
        records = list(read_pubmed(path))
        assert {record.pmid for record in records if isinstance(record, Citation)} == {5}, name
        assert len(records) == (2 if name == "set.xml" else 1), name


def test_content_decides_not_the_name(pubmed_file: Write, citation: Make, tmp_path: Path) -> None:
    plain = pubmed_file(citation(7))
    packed = tmp_path / "packed.xml"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with_mark = tmp_path / "mark.xml.gz"
    with_mark.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes())
    assert only(packed) == only(plain) == only(with_mark)


def test_book_article_keeps_title_and_abstract(pubmed_file: Write) -> None:
    book = (
        '<PubmedBookArticle><BookDocument><PMID Version="24">26389315</PMID>'
        "<Book><BookTitle>Summaries</BookTitle><PubDate><Year>2002</Year></PubDate></Book>"
        "<ArticleTitle>Rare cancers</ArticleTitle><Language>eng</Language>"
        "<PublicationType>Review</PublicationType><Abstract><AbstractText>Of rare cancers.</AbstractText></Abstract>"
        "<Sections><Section><SectionTitle>No text</SectionTitle></Section></Sections></BookDocument></PubmedBookArticle>"
    )
    record = only(pubmed_file(book))
    assert (record.pmid, record.version, record.title) == (26389315, 24, "Rare cancers")
    assert record.abstract == "Of rare cancers."
    assert record.meta == {
        "year": 2002,
        "journal": "Summaries",
        "languages": ["eng"],
        "publication_types": ["Review"],
    }
    untitled = only(pubmed_file(book.replace("<ArticleTitle>Rare cancers</ArticleTitle>", "")))
    assert untitled.title == "Summaries"


def test_structured_abstract_keeps_labels(citation: Make, pubmed_file: Write) -> None:
    abstract = (
        '<AbstractText Label="AIM" NlmCategory="OBJECTIVE">To see.</AbstractText>'
        '<AbstractText Label="RESULTS:">Seen.</AbstractText><AbstractText Label="UNLABELLED">Plain.</AbstractText>'
        '<AbstractText Label="EMPTY"> </AbstractText><CopyrightInformation>Copyright 2020</CopyrightInformation>'
    )
    assert only(pubmed_file(citation(abstract=abstract))).abstract == "AIM: To see.\nRESULTS: Seen.\nPlain."


def test_comments_and_instructions_are_no_text(citation: Make, pubmed_file: Write) -> None:
    path = pubmed_file(
        citation(abstract="<AbstractText>no<!-- hidden -->thing<?hidden here?><i>s</i></AbstractText>")
    )
    assert only(path).abstract == "nothings"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Cut here.(ABSTRACT TRUNCATED AT 250 WORDS)", "Cut here."),
        ("Cut here (ABSTRACT TRUNCATED AT 400 WORDS)", "Cut here"),
        ("Cut.(ABSTRACT TRUNCATED)", "Cut."),
        ("A (ABSTRACT TRUNCATED AT 250 WORDS) is a mark.", "A (ABSTRACT TRUNCATED AT 250 WORDS) is a mark."),
    ],
)
def test_truncation_mark_is_removed(raw: str, expected: str, citation: Make, pubmed_file: Write) -> None:
    record = only(pubmed_file(citation(abstract=f"<AbstractText>{raw}</AbstractText>")))
    assert record.abstract == expected


@pytest.mark.parametrize(
    ("raw", "expected", "translated"),
    [
        ("[The beriberi heart].", "The beriberi heart.", True),
        ("[Does it work?].", "Does it work?", True),
        ("[Of camomile (author's transl)].", "Of camomile.", True),
        ("[The action of [3H]thymidine].", "The action of [3H]thymidine.", True),
        ("[3H]Thymidine in [rats].", "[3H]Thymidine in [rats].", False),
        ("[Unclosed.", "[Unclosed.", False),
        ("[Not Available].", "", False),
        ("[In Process Citation]", "", False),
        ("", "", False),
        ("A plain title.", "A plain title.", False),
    ],
)
def test_titles(raw: str, expected: str, translated: bool, citation: Make, pubmed_file: Write) -> None:
    record = only(pubmed_file(citation(title=raw)))
    assert record.title == expected
    assert record.meta.get("translated_title", False) == translated


def test_vernacular_title_and_other_abstract_stay_out_of_the_text(citation: Make, pubmed_file: Write) -> None:
    record = only(
        pubmed_file(
            citation(
                title="[Not Available].",
                article="<VernacularTitle>Titre français.</VernacularTitle>",
                outside="<OtherAbstract Language='fre'><AbstractText>Un résumé.</AbstractText></OtherAbstract>",
            )
        )
    )
    assert (record.title, record.abstract) == ("", "Some words here.")
    assert record.meta["other_abstracts"] == [{"language": "fre", "text": "Un résumé."}]
    assert record.meta["vernacular_title"] == "Titre français."


def test_title_only_record_has_its_title_as_text(citation: Make, pubmed_file: Write) -> None:
    document = to_document(only(pubmed_file(citation(abstract=""))))
    assert (document.title, document.text, document.meta["title_only"]) == ("", "A title.", True)


def test_deletions_keep_their_place_and_version(citation: Make, deletion: Make, pubmed_file: Write) -> None:
    path = pubmed_file(citation(1), deletion(2, 3), citation(4), deletion(5, version=None))
    records = list(read_pubmed(path))
    assert records[1:3] == [Deletion(pmid=2, version=1), Deletion(pmid=3, version=1)]
    assert records[4] == Deletion(pmid=5, version=None)


def test_records_without_a_usable_pmid_are_named(citation: Make, deletion: Make, pubmed_file: Write) -> None:
    bare = "<PubmedArticle><MedlineCitation><Article/></MedlineCitation></PubmedArticle>"
    no_citation = "<PubmedArticle><NCBIArticle/></PubmedArticle>"
    records = list(
        read_pubmed(
            pubmed_file(citation("PMC7"), bare, no_citation, "<DeleteCitation><PMID/></DeleteCitation>")
        )
    )
    assert records == [UnusableRecord(reason="no valid PMID")] * 4
