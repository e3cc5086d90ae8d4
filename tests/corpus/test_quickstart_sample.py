"""The committed sample is what its generator writes, reads as PubMed XML, and is varied, consistent and learnable."""

import csv
import gzip
import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from megatron_bio.config.extract import ExtractPubmedOptions
from megatron_bio.corpus.document import Document, read_documents
from megatron_bio.corpus.pubmed.extract import extract_pubmed

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
SAMPLE = QUICKSTART / "sample" / "pubmed-sample.xml.gz"


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Document], dict[str, object]]:
    output = tmp_path_factory.mktemp("sample") / "sample.jsonl.zst"
    extract_pubmed(ExtractPubmedOptions(inputs=[str(SAMPLE)], output=output, minimum_words=20))
    report = json.loads(output.with_name(f"{output.name}.report.json").read_text())
    return list(read_documents([output])), report


def test_generator_writes_the_committed_file() -> None:
    specification = importlib.util.spec_from_file_location(
        "generate_sample", QUICKSTART / "generate_sample.py"
    )
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    packed = SAMPLE.read_bytes()
    # The gzip bytes may differ with another zlib, the XML may not.
    assert module.sample_xml().encode() == gzip.decompress(packed)
    assert packed[3:8] == bytes(5), "no name and no time in the gzip header"
    assert len(packed) <= 280_000
    assert b"FICTIONAL" in gzip.decompress(packed)[:600]


def test_odd_records_are_there_and_counted(extracted: tuple[list[Document], dict[str, object]]) -> None:
    documents, report = extracted
    assert report["records_read"] == 2492 and report["kept"] == len(documents) == 2454
    assert report["skipped"] == {"fewer than 20 words": 9, "no abstract": 26}
    assert (report["deleted"], report["replaced"], report["deletions_listed"]) == (2, 1, 2)
    texts = "\n".join(document.text for document in documents)
    for expected in ("10⁵", "FEV₁", "CD4⁺", "EC₅₀", "BACKGROUND: "):
        assert expected in texts
    assert "<" not in texts.replace("< 0.001", "") and "TRUNCATED" not in texts and "{" not in texts
    assert sum(document.meta.get("translated_title", False) is True for document in documents) >= 5
    assert [document.meta["version"] for document in documents if document.id == "pubmed:90000501"] == [2]


def test_text_is_varied_and_of_the_size_of_abstracts(
    extracted: tuple[list[Document], dict[str, object]],
) -> None:
    documents, _ = extracted
    lengths = [len(document.text.split()) for document in documents]
    assert 110 <= sum(lengths) / len(lengths) <= 150
    assert len({document.text for document in documents}) == len(documents)
    words = Counter(word for document in documents for word in re.findall(r"\w+", document.text.lower()))
    assert 1000 <= len(words) <= 2000
    with (QUICKSTART / "sample" / "sentences.tsv").open() as file:
        assert len(list(csv.DictReader(file, delimiter="\t"))) >= 60


def test_facts_and_numbers_are_consistent(extracted: tuple[list[Document], dict[str, object]]) -> None:
    documents, _ = extracted
    with (QUICKSTART / "sample" / "drugs.tsv").open() as file:
        classes = {row["drug"]: row["drug_class"] for row in csv.DictReader(file, delimiter="\t")}
    stated = sums = 0
    for document in documents:
        for drug, drug_class in re.findall(
            r"(\w+), an? ([\w -]+), (?:inhibits|blocks|activates)", document.text
        ):
            assert classes[drug.lower()] == drug_class
            stated += 1
        for total, first, second in re.findall(
            r"(\d+) [a-z ]+ with .{0,90}?n = (\d+)\).{0,60}?n = (\d+)\)", document.text
        ):
            assert int(total) == int(first) + int(second)
            sums += 1
    assert stated > 100 and sums > 100


def test_end_of_the_file_speaks_of_what_the_beginning_speaks_of(
    extracted: tuple[list[Document], dict[str, object]],
) -> None:
    documents, _ = extracted
    split = len(documents) * 95 // 100
    known = {
        word for document in documents[:split] for word in re.findall(r"[a-z]{4,}", document.text.lower())
    }
    held_out = [
        word for document in documents[split:] for word in re.findall(r"[a-z]{4,}", document.text.lower())
    ]
    assert sum(word in known for word in held_out) / len(held_out) > 0.995
