"""What of a citation goes into `Document.meta`, read both ways."""

from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.corpus.extraction.records import Lost
from megatron_bio.corpus.pubmed.citation import Citation, to_document
from megatron_bio.corpus.pubmed.read import read_pubmed

pytestmark = pytest.mark.usefixtures("each_reader")

Make = Callable[..., str]
Write = Callable[..., Path]


def only(path: Path, **options: bool) -> Citation:
    """The one record, after both ways gave the same."""
    (record,) = read_pubmed(path, **options)
    assert [record] == list(read_pubmed(path, shortcut=False, **options))
    assert isinstance(record, Citation)
    return record


FULL = """<PubmedArticle>
  <MedlineCitation Status="MEDLINE" Owner="NLM">
    <PMID Version="2">4711</PMID>
    <DateCompleted><Year>1998</Year><Month>01</Month><Day>02</Day></DateCompleted>
    <DateRevised><Year>2019</Year><Month>01</Month><Day>02</Day></DateRevised>
    <Article PubModel="Print">
      <Journal>
        <ISSN IssnType="Print">0000-0000</ISSN>
        <JournalIssue CitedMedium="Print"><Volume>17</Volume><PubDate><Year>2001</Year><Month>Mar</Month></PubDate></JournalIssue>
        <Title>Annals of Examples &amp; Samples</Title>
        <ISOAbbreviation>Ann Ex</ISOAbbreviation>
      </Journal>
      <ArticleTitle>[Iron in <i>E. coli</i>].</ArticleTitle>
      <ELocationID EIdType="pii" ValidYN="Y">x1</ELocationID>
      <ELocationID EIdType="doi" ValidYN="N">10.1000/INVALID</ELocationID>
      <ELocationID EIdType="doi" ValidYN="Y">10.1000/Located</ELocationID>
      <Abstract>
        <AbstractText Label="AIM" NlmCategory="OBJECTIVE">To measure Fe<sup>2+</sup> at 10<sup>6</sup> cells.</AbstractText>
        <AbstractText Label="RESULTS :">P &lt; 0.05.</AbstractText>
        <CopyrightInformation>Copyright 2001 Nobody.</CopyrightInformation>
      </Abstract>
      <AuthorList CompleteYN="Y"><Author ValidYN="Y"><LastName>Doe</LastName></Author></AuthorList>
      <Language>eng</Language>
      <Language>fre</Language>
      <PublicationTypeList>
        <PublicationType UI="D016428">Journal Article</PublicationType>
        <PublicationType UI="D016454">Review</PublicationType>
      </PublicationTypeList>
      <VernacularTitle>Le fer chez <i>E. coli</i>.</VernacularTitle>
    </Article>
    <CommentsCorrectionsList>
      <CommentsCorrections RefType="Cites"><RefSource>X</RefSource><PMID Version="1">99</PMID></CommentsCorrections>
    </CommentsCorrectionsList>
    <MeshHeadingList>
      <MeshHeading><DescriptorName UI="D1" MajorTopicYN="N">Iron</DescriptorName>
        <QualifierName UI="Q1" MajorTopicYN="Y">analysis</QualifierName></MeshHeading>
      <MeshHeading><DescriptorName UI="D2" MajorTopicYN="N">Escherichia coli</DescriptorName></MeshHeading>
    </MeshHeadingList>
    <KeywordList Owner="NOTNLM"><Keyword MajorTopicYN="N">metals &amp; salts</Keyword><Keyword MajorTopicYN="N">β-cells</Keyword>
    </KeywordList>
    <OtherID Source="NLM">PMC55 [Available on 01/01/02]</OtherID>
  </MedlineCitation>
  <PubmedData>
    <History><PubMedPubDate PubStatus="pubmed"><Year>2000</Year></PubMedPubDate></History>
    <PublicationStatus>ppublish</PublicationStatus>
    <ArticleIdList>
      <ArticleId IdType="pubmed">4711</ArticleId><ArticleId IdType="doi">doi: 10.1000/Own(01)X</ArticleId>
      <ArticleId IdType="pmc">PMC4711</ArticleId>
    </ArticleIdList>
    <ReferenceList><Reference><ArticleIdList><ArticleId IdType="doi">10.1000/cited</ArticleId>
      <ArticleId IdType="pmc">PMC1</ArticleId></ArticleIdList></Reference></ReferenceList>
  </PubmedData>
</PubmedArticle>"""
META = {
    "pmid": 4711,
    "version": 2,
    "translated_title": True,
    "languages": ["eng", "fre"],
    "vernacular_title": "Le fer chez E. coli.",
    "year": 2001,
    "journal": "Annals of Examples & Samples",
    "publication_types": ["Journal Article", "Review"],
    "mesh": ["Iron", "Escherichia coli"],
    "keywords": ["metals & salts", "β-cells"],
    "doi": "10.1000/own(01)x",
    "pmcid": "PMC4711",
}


def test_all_fields(pubmed_file: Write) -> None:
    document = to_document(only(pubmed_file(FULL)))
    assert document.id == "pubmed:4711" and document.source == "pubmed"
    assert document.title == "Iron in E. coli."
    assert document.text == "AIM: To measure Fe²⁺ at 10⁶ cells.\nRESULTS: P < 0.05."
    assert document.meta == META


def test_fields_text_reads_only_the_text(pubmed_file: Write) -> None:
    record = only(pubmed_file(FULL), all_fields=False)
    assert (record.title, record.abstract.splitlines()[1]) == ("Iron in E. coli.", "RESULTS: P < 0.05.")
    assert record.meta == {"translated_title": True, "languages": ["eng", "fre"]}
    assert to_document(record).meta == {"pmid": 4711, "version": 2, **record.meta}


@pytest.mark.parametrize("all_fields", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Journal Article", "Retracted Publication", True),
        ("Journal Article", "RETRACTED publication", True),
        (
            "<PublicationTypeList>",
            "<PublicationTypeList><PublicationType>retracted\tPublication</PublicationType>",
            True,
        ),
        ("Journal Article", "R&#101;tracted Publication", True),
        ('"Cites"', '"Retraction&#73;n"', True),
        ("<PublicationType ", "<PublicationType\nClass='x' ", False),
        ('"Cites"', '"RetractionIn"', True),
        ('RefType="Cites"', "Note='' RefType = 'RetractionIn'", True),
        ('"Cites"', '"RetractionOf"', False),
        ("<RefSource>X", "<RefSource>RetractionIn, retracted publication", False),
        ("To measure", "Retracted Publication RetractionIn", False),
    ],
)
def test_retractions_are_marked_whatever_is_read(
    all_fields: bool, old: str, new: str, expected: bool, pubmed_file: Write
) -> None:
    assert old in FULL
    record = only(pubmed_file(FULL.replace(old, new)), all_fields=all_fields)
    assert record.meta.get("retracted", False) is expected


def test_medline_files_name_doi_and_pmcid_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "medline.xml"
    medline = FULL[FULL.index("<MedlineCitation") : FULL.index("<PubmedData>")]
    path.write_text(f"<MedlineCitationSet>{medline}</MedlineCitationSet>")
    assert to_document(only(path)).meta == {**META, "doi": "10.1000/located", "pmcid": "PMC55"}


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("doi: 10.1000/Own(01)X", "0.1000/lost", "doi", "10.1000/located"),
        ("doi: 10.1000/Own(01)X", "https://doi.org/10.1000/A", "doi", "10.1000/a"),
        ("PMC4711", "4711", "pmcid", "PMC55"),
        ("<Year>2001</Year><Month>Mar</Month>", "<MedlineDate>Winter 1999-2000</MedlineDate>", "year", 1999),
        ("<Year>2001</Year><Month>Mar</Month>", "<MedlineDate>Spring</MedlineDate>", "year", None),
        ("<Year>2001</Year><Month>Mar</Month>", "<Season>Fall</Season><Year>1987</Year>", "year", 1987),
        ("<Title>Annals of Examples &amp; Samples</Title>", "", "journal", None),
        (
            "Annals of Examples &amp; Samples",
            "Zeitschrift für\n Beispiele",
            "journal",
            "Zeitschrift für Beispiele",
        ),
        ("metals &amp; salts", "<i>E. coli</i> K12", "keywords", ["E. coli K12", "β-cells"]),
        ("metals &amp; salts", " ", "keywords", ["β-cells"]),
        ("Iron<", "Iron  &lt;III>\n<", "mesh", ["Iron <III>", "Escherichia coli"]),
        ("Journal Article", "Retracted Publication", "retracted", True),
        ("Journal Article", "RETRACTED PUBLICATION", "retracted", True),
        ('"Cites"', '"RetractionIn"', "retracted", True),
        ('"Cites"', '"RetractionOf"', "retracted", None),
        ("<Language>fre</Language>", "", "languages", ["eng"]),
        ("<Language>eng</Language>", "<Language>ENG</Language>", "languages", ["eng", "fre"]),
        ("<Language>eng</Language>\n      <Language>fre</Language>", "", "languages", None),
    ],
)
def test_odd_fields(old: str, new: str, key: str, expected: object, pubmed_file: Write) -> None:
    assert only(pubmed_file(FULL.replace(old, new))).meta.get(key) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Iron in", "Iron ]]> in"),
        ("Iron in", "Iron \x02 in"),
        ("Iron in", "Iron &unclosed in"),
        ("Iron in", "Iron &#2; in"),
        ("Iron in", "<i>Iron in"),
        ("To measure", "To </i>measure<i>"),
        ("To measure", "To \ufffe measure"),
        ("To measure", "<b>To <i>measure</b></i>"),
        ("</AbstractText>\n        <AbstractText", "<AbstractText"),
        ("</Abstract>", ""),
        ("<Abstract>", ""),
        ("</Article>", ""),
        ("</MedlineCitation>", ""),
        ("</MeshHeadingList>", ""),
        ("</KeywordList>", ""),
        ("</ArticleIdList>\n    <Ref", "<Ref"),
        ("Journal Article", "Journal & Article"),
        ("Escherichia coli<", "Escherichia ]]> coli<"),
        ("</Journal>", ""),
    ],
)
def test_damage_in_what_is_read_is_seen(old: str, new: str, pubmed_file: Write) -> None:
    assert FULL.count(old) >= 1
    path = pubmed_file(FULL.replace(old, new, 1))
    for shortcut in (True, False):
        (lost,) = read_pubmed(path, shortcut=shortcut)
        assert isinstance(lost, Lost) and "PMID 4711" in lost.message


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        (
            "<Language>eng</Language>",
            "<Other><Language>ger</Language></Other><Language>eng</Language>",
            "languages",
            ["eng", "fre"],
        ),
        ("<Language>fre</Language>", "<Other/><Language>fre</Language>", "languages", ["eng", "fre"]),
        (
            "<VernacularTitle>",
            "<PublicationType>Letter</PublicationType><VernacularTitle>",
            "publication_types",
            ["Journal Article", "Review", "Letter"],
        ),
        (
            '<ArticleIdList>\n      <ArticleId IdType="pubmed">',
            "<Moved><ArticleId>",
            "doi",
            "10.1000/located",
        ),
        ('Label="AIM" NlmCategory="OBJECTIVE"', "NlmCategory='OBJECTIVE' Label='AIM'", "year", 2001),
        ("<Abstract>", "<Abstract lang='x'>", "year", 2001),
    ],
)
def test_elements_in_other_places_and_spellings(
    old: str, new: str, key: str, expected: object, pubmed_file: Write
) -> None:
    xml = FULL.replace(old, new)
    if "<Moved>" in xml:
        xml = xml.replace("</ArticleIdList>", "</Moved>", 1)
    assert xml != FULL
    record = only(pubmed_file(xml))
    assert record.meta[key] == expected
    assert record.abstract.startswith("AIM: To measure")


def test_other_abstracts_stay_apart(citation: Make, pubmed_file: Write) -> None:
    outside = (
        '<OtherAbstract Type="Publisher" Language="SPA"><AbstractText Label="OBJETIVO">Ver.</AbstractText>'
        "<AbstractText>Más H<sub>2</sub>O.</AbstractText></OtherAbstract>"
        '<OtherAbstract Type="PIP" Language="eng"><AbstractText>PIP: seen.</AbstractText></OtherAbstract>'
        '<OtherAbstract Type="Publisher" Language="ger"><AbstractText/></OtherAbstract>'
    )
    record = only(pubmed_file(citation(outside=outside)))
    assert record.abstract == "Some words here."
    assert record.meta["other_abstracts"] == [
        {"language": "spa", "text": "OBJETIVO: Ver.\nMás H₂O."},
        {"language": "eng", "text": "PIP: seen."},
    ]


@pytest.mark.parametrize(
    ("abstract", "expected"),
    [
        ("ABSTRACT WITHDRAWN", True),
        ("[Abstract withdrawn]", True),
        ("Withdrawn.", True),
        ("This article has been withdrawn at the request of the author(s) and/or editor.", True),
        ("This article was withdrawn by the authors because of an error.", True),
        ("The above article has been retracted by agreement.", True),
        ("The authors have withdrawn this manuscript owing to an error in Figure 2.", True),
        ("The Publisher regrets that this article is an accidental duplication.", True),
        ("This paper has been temporarily withdrawn.", True),
        ("Withdrawn patients were followed for a year.", False),
        ("The drug was withdrawn from the market.", False),
        ("This study describes patients who were withdrawn from treatment.", False),
        ("The article reports that steroids were withdrawn slowly.", False),
        ("We reviewed papers that have been retracted.", False),
        ("This article has been withdrawn. " + "It had a content. " * 80, False),
    ],
)
def test_withdrawn_abstracts_are_marked(
    abstract: str, expected: bool, citation: Make, pubmed_file: Write
) -> None:
    record = only(pubmed_file(citation(abstract=f"<AbstractText>{abstract}</AbstractText>")))
    assert record.meta.get("abstract_withdrawn", False) is expected
    assert record.abstract, "marked, not left out"


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("Growth of <i>E. coli</i> in TNF-<sub>a</sub> medium", "Growth of E. coli in TNF-ₐ medium"),
        ("10<sup>6</sup> and 10<sup>-<i>n</i></sup>", "10⁶ and 10⁻ⁿ"),
        ("<b>Bold <i>both</i></b> x<sub>i<sup>2</sup></sub>", "Bold both x_(i²)"),
        ("p&lt;0.05 in <i>vivo</i>", "p<0.05 in vivo"),
        ("fast-acting β\n\t\t<sub>2</sub>-agonist", "fast-acting β₂-agonist"),
        ("<i>V</i>\n <sub>max</sub> of <i>\n <sub>2</sub></i>", "Vₘₐₓ of ₂"),
        ("0.4-<u>&lt;</u>4.5", "0.4-≤4.5"),
        ("3<u> + </u>1, <u>word</u>", "3 ± 1, word"),
        ("a &amp;lt; b &amp;amp; c", "a &lt; b &amp; c"),
        ("&#x3b1;-chain &#946;", "α-chain β"),
        ("TNF-&alpha;", "TNF-α"),
        ("a\n   b\tc\u2003d", "a b c d"),
        ("  edges  ", "edges"),
        ("50\u00a0mg caf\u0065\u0301 z\u200bero", "50 mg café zero"),
        ("x<sup/>y<i/>z", "xyz"),
        ("one<br/>two <br/> three<br></br>four", "one two three four"),
        ("[x] > y", "[x] > y"),
        ("\u201cquoted\u201d \U0001d6fc", "“quoted” 𝛼"),
    ],
)
def test_text_as_printed(inner: str, expected: str, citation: Make, pubmed_file: Write) -> None:
    record = only(pubmed_file(citation(title=inner, abstract=f"<AbstractText>{inner}</AbstractText>")))
    assert (record.title, record.abstract) == (expected, expected)


@pytest.mark.parametrize("all_fields", [False, True])
@pytest.mark.parametrize("place", ["</Abstract>\n", "</AuthorList>", "<Language>fre</Language>", "<Journal>"])
def test_a_second_abstract_is_joined(place: str, all_fields: bool, pubmed_file: Write) -> None:
    second = "<Abstract><AbstractText Label='MORE'>A second.</AbstractText><AbstractText>Third.</AbstractText></Abstract>"
    at = FULL.index(place) + (0 if place == "<Journal>" else len(place))
    record = only(pubmed_file(FULL[:at] + second + FULL[at:]), all_fields=all_fields)
    first, added = ["AIM: To measure Fe²⁺ at 10⁶ cells.", "RESULTS: P < 0.05."], ["MORE: A second.", "Third."]
    assert record.abstract.splitlines() == (added + first if place == "<Journal>" else first + added)


def test_text_outside_of_sections_is_kept(citation: Make, pubmed_file: Write) -> None:
    record = only(pubmed_file(citation(abstract="Bare text.<AbstractText>A section.</AbstractText> Behind.")))
    assert record.abstract == "Bare text.\nA section.\nBehind."
