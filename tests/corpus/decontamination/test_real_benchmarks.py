"""The real benchmark files: what the readers count equals what a plain count of the bytes gives."""

import gzip
import json
import re
from pathlib import Path

import pytest

from megatron_bio.corpus.decontamination.index import ContaminationIndex
from megatron_bio.corpus.decontamination.read import read_benchmark
from megatron_bio.corpus.document import read_documents

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared data are not at {DATA}")
SENTENCES = {
    "BC5CDR-chem/train": 4560,
    "BC5CDR-disease/train": 4560,
    "BC5CDR-chem/devel": 4581,
    "NCBI-disease/train": 5424,
    "NCBI-disease/devel": 923,
    "BC2GM/train": 12574,
    "BC2GM/devel": 2519,
}


def content(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


@needs_data
@pytest.mark.parametrize(("name", "sentences"), SENTENCES.items())
def test_iob(name: str, sentences: int) -> None:
    path = DATA / "ner" / f"{name}.tsv.gz"
    benchmark = read_benchmark(path)
    blocks = [block for block in re.split(r"\n[ \t\r]*\n", content(path)) if block.strip()]
    assert len(benchmark.items) == len(blocks) == sentences
    tokens = sum(len(item.whole[0].split(" ")) for item in benchmark.items)
    assert tokens == len(re.findall(r"\t(?:O|[BI]-\w+)\r?$", content(path), re.MULTILINE))


@needs_data
@pytest.mark.parametrize(("name", "abstracts"), [("training", 1020), ("development", 612), ("sample", 50)])
def test_chemprot(name: str, abstracts: int) -> None:
    folder = DATA / "re" / "chemprot" / f"chemprot_{name}"
    for kind in ("abstracts", "entities", "relations", "gold_standard"):
        path = folder / f"chemprot_{name}_{kind}.tsv.gz"
        benchmark = read_benchmark(path)
        pmids = {int(pmid) for pmid in re.findall(r"^\d+(?=\t)", content(path), re.MULTILINE)}
        assert {item.pmids for item in benchmark.items} == {(pmid,) for pmid in pmids}
        assert len(benchmark.items) == len(pmids)
        if kind == "abstracts":
            assert len(pmids) == abstracts
            longest = max(benchmark.items, key=lambda item: len(item.whole))
            assert len(longest.whole) == 2 and all(item.whole for item in benchmark.items)


@needs_data
@pytest.mark.parametrize(
    "path", sorted((DATA / "qa").glob("bioasq-*_golden.json.gz")), ids=lambda path: path.name
)
def test_bioasq(path: Path) -> None:
    benchmark = read_benchmark(path)
    text = content(path)
    assert benchmark.format == "BioASQ"
    assert len(benchmark.items) == text.count('"body": ')
    assert sum(len(item.whole) - 1 for item in benchmark.items) == text.count('"offsetInBeginSection"')
    found = {pmid for item in benchmark.items for pmid in item.pmids}
    assert found == {
        int(pmid) for pmid in re.findall(r'"http://www\.ncbi\.nlm\.nih\.gov/pubmed/(\d+)"', text)
    }


@needs_data
def test_other_questions() -> None:
    factoid = read_benchmark(DATA / "qa" / "bioasq7b-train-factoid-snippet.json.gz")
    assert (factoid.format, len(factoid.items)) == ("SQuAD", 5813)
    squad = read_benchmark(DATA / "qa" / "squad2-dev-half.json.gz")
    assert squad.format == "SQuAD" and sum(len(item.whole) - 1 for item in squad.items) == 2805
    medqa = read_benchmark(DATA / "qa" / "medqa-us-4options-sample200.jsonl.gz")
    assert (medqa.format, len(medqa.items)) == ("MedQA", 200)
    assert all(len(item.whole) == 1 and len(item.texts) == 4 for item in medqa.items)
    pubmedqa = read_benchmark(DATA / "qa" / "pubmedqa-train-dev.json.gz")
    raw = json.loads(content(DATA / "qa" / "pubmedqa-train-dev.json.gz"))
    assert (pubmedqa.format, len(pubmedqa.items)) == ("PubMedQA", 500)
    assert sum(len(item.texts) for item in pubmedqa.items) == sum(
        len(entry["CONTEXTS"]) + 1 for entry in raw.values()
    )


@needs_data
@pytest.mark.slow
def test_real_abstracts_that_match() -> None:
    """Drug trials and GENIA abstracts against all benchmarks: the known overlaps are found, and phrases are not."""
    paths = [
        *(DATA / "ner").rglob("*.gz"),
        *(DATA / "re").rglob("*_abstracts.tsv.gz"),
        *(DATA / "qa").glob("*.gz"),
    ]
    index = ContaminationIndex.from_files(sorted(paths))
    found = {
        document.id
        for document in read_documents([DATA / "text" / "abstracts.jsonl.xz"])
        if index.match(document)
    }
    assert {"7c4f912ca030", "93b9f3c46d88", "8566aeac3830", "138d1225de93"} <= found
    assert not found & {
        "254a265da536",
        "8618d59f5db3",
        "9ad14caefa34",
        "e594996e87c6",
        "2f400201b5ee",
        "99427884",
    }
    assert len(found) == 111
