"""Every real and odd record of the shared PubMed files; reads, never copies them."""

import json
import re
from pathlib import Path

import pytest

from megatron_bio.config.extract import ExtractPubmedOptions
from megatron_bio.corpus.document import read_documents
from megatron_bio.corpus.pubmed.citation import Citation, Deletion, UnusableRecord
from megatron_bio.corpus.pubmed.extract import extract_pubmed
from megatron_bio.corpus.pubmed.read import read_pubmed
from tests.references.pubmed import bare, read_plain

pytestmark = pytest.mark.usefixtures("each_reader")

DATA = Path(__file__).parents[4] / "shared" / "data" / "pubmed"
FILES = sorted(DATA.glob("*.xml.gz"))
pytestmark = pytest.mark.skipif(not FILES, reason=f"the shared PubMed files are not at {DATA}")
RAISED = re.compile(r"[\^_]\(([^()]*)\)")
LEFT_OUT = re.compile(r"\(ABSTRACTTRUNCATED(?:AT\d+WORDS)?\)|\(author'stransl\)")
ONE_FORM = str.maketrans("−–∘", "--°")


def unmarked(text: str) -> str:
    """Our text in the form of `bare`: superscripts that Unicode has not lose their mark."""
    while RAISED.search(text):
        text = RAISED.sub(r"\1", text)
    return without_ends(bare(text))


def without_ends(text: str) -> str:
    """Without what tells a translated title, and with one sign for minus and for degrees, as superscripts have it."""
    return LEFT_OUT.sub("", text).translate(ONE_FORM).strip("[].")


def test_all_real_files(tmp_path: Path) -> None:
    output = tmp_path / "documents.jsonl.zst"
    extract_pubmed(ExtractPubmedOptions(inputs=[f"{DATA}/*.xml.gz"], output=output))
    report = json.loads(output.with_name(f"{output.name}.report.json").read_text())
    assert report["files"] == 33 and report["records_read"] == 1794 and report["losses"] == []
    assert report["skipped"] == {"no abstract": 266, "no valid PMID": 1}
    assert (report["kept"], report["replaced"], report["deleted"]) == (1524, 2, 1)
    by_id = {document.id: document for document in read_documents([output])}
    assert by_id["pubmed:1001"].text == "The revised abstract for article one."
    assert "pubmed:1002" not in by_id
    assert "V̇O₂ₘₐₓ" in by_id["pubmed:30108519"].text
    assert any("³He/¹²⁹Xe" in document.text for document in by_id.values())
    for document in by_id.values():
        assert document.text.strip() and "ABSTRACT TRUNCATED" not in document.text
        assert not any(line != " ".join(line.split()) for line in document.text.split("\n"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_equals_the_plain_reader(path: Path) -> None:
    expected, deleted = read_plain(path)
    records = list(read_pubmed(path))
    assert [record.pmid for record in records if isinstance(record, Deletion)] == [
        int(pmid) for pmid in deleted
    ]
    found = [record for record in records if not isinstance(record, Deletion)]
    assert len(found) == len(expected), "as many citations as record elements"
    for plain, citation in zip(expected, found, strict=True):
        if isinstance(citation, UnusableRecord):
            assert not plain.pmid
            continue
        assert isinstance(citation, Citation) and citation.pmid == int(plain.pmid)
        assert citation.meta.get("mesh", []) == plain.mesh
        if plain.dois and plain.dois[0].startswith("10."):
            assert citation.meta["doi"] == plain.dois[0].lower()
        for ours, theirs in ((citation.title, plain.title), (citation.abstract, plain.abstract)):
            ours, theirs = unmarked(ours), without_ends(bare(theirs))
            if plain.has_formula:
                assert sorted(filter(str.isalnum, ours)) == sorted(filter(str.isalnum, theirs)), plain.pmid
            elif theirs not in ("NotAvailable", "InProcessCitation"):
                assert ours == theirs, plain.pmid


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize("all_fields", [False, True])
def test_the_shortcut_changes_nothing(path: Path, all_fields: bool) -> None:
    quick = list(read_pubmed(path, all_fields=all_fields))
    assert quick == list(read_pubmed(path, all_fields=all_fields, shortcut=False))
