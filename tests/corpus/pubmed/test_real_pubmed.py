"""Every real and odd record of the shared PubMed files; reads, never copies them."""

import json
from pathlib import Path

import pytest

from megatron_bio.config.extract import ExtractPubmedOptions
from megatron_bio.corpus.document import read_documents
from megatron_bio.corpus.pubmed.extract import extract_pubmed

DATA = Path(__file__).parents[4] / "shared" / "data" / "pubmed"


def test_all_real_files(tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the shared PubMed files are not at {DATA}")
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
