"""The counts of a corpus, in every form, against numbers that are counted by hand."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.statistics import CorpusStatsOptions
from megatron_bio.corpus import line_batches
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.statistics.comparison import in_words
from megatron_bio.corpus.statistics.counts import MOST_VALUES, Counts, Lengths
from megatron_bio.corpus.statistics.run import corpus_stats

DOCUMENTS = [
    Document(id="1", text="one two three", source="pubmed", meta={"year": 1999, "languages": ["eng"]}),
    Document(
        id="2",
        text="α β",
        source="pubmed",
        meta={"year": 1999, "languages": ["fre", "eng"], "retracted": True},
    ),
    Document(id="3", text="x " * 9, source="pmc", meta={"year": 2020, "license": "CC-BY-4.0"}),
    Document(id="4", text="  ", source="pmc", meta={"license": "CC0", "title_only": True, "year": None}),
]


def write(path: Path, *documents: Document) -> Path:
    with DocumentWriter(path) as writer:
        for document in documents:
            writer.write(document)
    return path


def count(tmp_path: Path, *inputs: Path, **options: Any) -> dict[str, Any]:
    output = tmp_path / "statistics"
    choices = {"picture": False, **options}
    corpus_stats(CorpusStatsOptions(inputs=[str(path) for path in inputs], output=output, **choices))
    content: dict[str, Any] = json.loads((output / "statistics.json").read_text())
    return content


def built_corpus(folder: Path) -> Path:
    """As `corpus build` leaves it."""
    splits: dict[str, Any] = {}
    for split, documents in (
        ("train", DOCUMENTS[:2]),
        ("validation", DOCUMENTS[2:3]),
        ("test", DOCUMENTS[3:]),
    ):
        path = write(folder / split / "documents-00000.jsonl.zst", *documents)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        shard = {"file": f"{split}/{path.name}", "bytes": path.stat().st_size, "sha256": digest}
        splits[split] = {"documents": len(documents), "shards": [shard]}
    amounts = {"documents": 3, "words": 30, "characters": 300}
    manifest = {
        "format": 1,
        "made_from": "f" * 64,
        "read": {**amounts, "documents": 10},
        "kept": {**amounts, "documents": 4},
        "dropped": {"too short": amounts, "copy of another": {**amounts, "documents": 2}},
        "splits": splits,
        "files": [],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_counts_by_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = count(tmp_path, write(tmp_path / "a.jsonl.zst", *DOCUMENTS))

    def amount(documents: int, words: int, characters: int, size: int) -> dict[str, int]:
        return {"documents": documents, "words": words, "characters": characters, "bytes": size}

    assert content["total"] == amount(4, 14, 36, 38)
    assert content["by_source"] == {"pmc": amount(2, 9, 20, 20), "pubmed": amount(2, 5, 16, 18)}
    assert content["by_year"] == {
        "1999": amount(2, 5, 16, 18),
        "2020": amount(1, 9, 18, 18),
        "not stated": amount(1, 0, 2, 2),
    }
    assert content["by_license"] == {
        "CC-BY-4.0": amount(1, 9, 18, 18),
        "CC0": amount(1, 0, 2, 2),
        "not stated": amount(2, 5, 16, 18),
    }
    assert content["by_language"] == {
        "eng": amount(1, 3, 13, 13),
        "eng+fre": amount(1, 2, 3, 5),
        "not stated": amount(2, 9, 20, 20),
    }
    assert content["by_split"] == {}
    assert content["marked"] == {"retracted": 1, "title_only": 1}
    assert content["words_per_document"] == {
        "mean": 3.5,
        "percentiles": {"10": 0, "50": 2, "90": 9, "99": 9},
        "longest": 9,
        "histogram": [
            *({"first": 0, "documents": 1}, {"first": 1, "documents": 0}, {"first": 2, "documents": 2}),
            *({"first": 4, "documents": 0}, {"first": 8, "documents": 1}),
        ],
    }
    assert content["words_per_document_by_source"]["pubmed"]["longest"] == 3
    printed = capsys.readouterr().out
    assert printed.startswith((tmp_path / "statistics" / "statistics.txt").read_text())
    rows = [line.split() for line in printed.splitlines()]
    for row in (
        ["all", "4", "14", "36", "38", "3.5"],
        ["pmc", "2", "9", "20", "20", "4.5"],
        ["2", "to", "3", "2", "#" * 30],
        ["50", "%", "have", "at", "most", "2"],
        ["marked", "as", "retracted", "1"],
    ):
        assert row in rows, row


def test_a_built_corpus_is_counted_by_split_with_what_was_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = built_corpus(tmp_path / "corpus")
    content = count(tmp_path, corpus)
    assert {split: amount["documents"] for split, amount in content["by_split"].items()} == {
        "validation": 1,
        "train": 2,
        "test": 1,
    }
    assert content["left_out"] == [
        {
            "told_by": (corpus / "manifest.json").as_posix(),
            "read": 10,
            "kept": 4,
            "reasons": {"too short": 3, "copy of another": 2},
        }
    ]
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    for row in (["read", "10"], ["too", "short", "3"], ["copy", "of", "another", "2"], ["kept", "4"]):
        assert row in rows


def test_the_report_of_an_extraction_is_found_beside_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.zst", *DOCUMENTS)
    report = {"records_read": 9, "kept": 4, "replaced": 2, "deleted": 0, "skipped": {"no abstract": 3}}
    path.with_name("a.jsonl.zst.report.json").write_text(json.dumps(report))
    again = tmp_path / "other name"
    again.symlink_to(path)
    content = count(tmp_path, path, path, again)
    assert content["total"]["documents"] == 4, "a file given twice is counted once"
    assert content["left_out"] == [
        {
            "told_by": f"{path.as_posix()}.report.json",
            "read": 9,
            "kept": 4,
            "reasons": {"no abstract": 3, "replaced by a later record": 2},
        }
    ]


def test_nothing_depends_on_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        tmp_path / "a.jsonl.zst",
        *(
            Document(
                id=str(number),
                text="word " * (number % 700),
                source=f"s{number % 7}",
                meta={"year": number % 90},
            )
            for number in range(12_000)
        ),
    )
    output = tmp_path / "statistics"
    forms = []
    for workers in (1, 2, 3):
        count(tmp_path, path, workers=workers)
        forms.append({file.name: file.read_bytes() for file in output.iterdir()})
    monkeypatch.setattr(line_batches, "BATCH_BYTES", 10_000)
    count(tmp_path, path)
    forms.append({file.name: file.read_bytes() for file in output.iterdir()})
    assert all(form == forms[0] for form in forms)


def test_the_table_to_compare_has_a_row_for_each_source_and_all(tmp_path: Path) -> None:
    count(tmp_path, write(tmp_path / "a.jsonl.zst", *DOCUMENTS))
    lines = (tmp_path / "statistics" / "statistics.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    assert [row[:5] for row in rows[2:]] == [
        ["BioBERT 110m", "PubMed abstracts", "4.5 billion", "", ""],
        ["PubMedBERT 110m", "PubMed abstracts + full text", "16.8 billion", "", ""],
        [
            *("BioMegatron 345m, 50k cased", "PubMed abstracts + full text, commercial use"),
            *("6.1 billion", "", ""),
        ],
        ["", "pmc", "9", "2", "0.000"],
        ["", "pubmed", "5", "2", "0.000"],
        ["", "pmc + pubmed", "14", "4", "0.000"],
    ]
    assert [in_words(number) for number in (6_100_000_000, 14_300_000, 999)] == [
        *("6.1 billion", "14.3 million", "999")
    ]


def test_the_picture_is_drawn_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture is drawn with matplotlib (extra: corpus)")
    path = write(
        tmp_path / "a.jsonl.zst",
        *DOCUMENTS,
        *(Document(id="x", text="w " * 2**size, source=f"$_{{{size}$ {'long ' * 20}") for size in range(14)),
    )
    program = (
        "import sys; from megatron_bio.cli import main; sys.exit(main(['corpus', 'stats', *sys.argv[1:]]))"
    )
    output = tmp_path / "statistics"
    command = [sys.executable, "-W", "error", "-c", program, path, "--output", output]
    pictures = set()
    for _ in range(2):
        result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])
        assert result.returncode == 0, result.stderr
        pictures.add((output / "statistics.png").read_bytes())
    assert len(pictures) == 1, "the same counts give the same picture"
    assert pictures.pop().startswith(b"\x89PNG")


def test_without_matplotlib_the_remedy_comes_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = write(tmp_path / "a.jsonl.zst", *DOCUMENTS)
    with pytest.raises(CorpusError, match="--picture false"):
        count(tmp_path, path, picture=True)
    assert not (tmp_path / "statistics").exists()
    count(tmp_path, path)


def test_inputs_that_cannot_be_counted_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorpusError, match="folder: expected a corpus with manifest"):
        count(tmp_path, tmp_path / "folder")
    with pytest.raises(CorpusError, match="no file matches"):
        count(tmp_path, tmp_path / "none.jsonl")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "a"}\n{"txt": "b"}\n')
    with pytest.raises(DamagedFileError, match="line 2: expected a key 'text'"):
        count(tmp_path, bad)
    bad.write_bytes(write(tmp_path / "a.jsonl.zst", *DOCUMENTS).read_bytes()[:-5])
    with pytest.raises(DamagedFileError, match="truncated"):
        count(tmp_path, bad, workers=2)
    bad.write_text("\n\n")
    with pytest.raises(CorpusError, match="found none in 1 files"):
        count(tmp_path, bad)
    corpus = built_corpus(tmp_path / "corpus")
    (corpus / "test" / "documents-00000.jsonl.zst").unlink()
    with pytest.raises(CorpusError, match=r"expected a file, because manifest\.json names it"):
        count(tmp_path, corpus)
    for content in ("[", "[]", "{}", '{"splits": {"train": {"shards": [{"file": "../x"}]}}}'):
        (corpus / "manifest.json").write_text(content)
        with pytest.raises(CorpusError, match=r"manifest\.json: expected"):
            count(tmp_path, corpus)
    assert not (tmp_path / "statistics").exists()
    for flag, options in {"--inputs": {"inputs": []}, "--workers": {"inputs": ["x"], "workers": 0}}.items():
        with pytest.raises(ConfigurationError, match=flag):
            CorpusStatsOptions(**options)


def test_strange_values_are_counted_under_a_name_that_can_be_printed() -> None:
    counts = Counts()
    values: list[Any] = [
        "a\nb",
        "\ud800",
        "",
        [],
        {},
        True,
        2001.0,
        ["b", "a", "b"],
        "x" * 200,
        [["a"], None],
    ]
    for value in values:
        counts.add_document(Document(id="1", text="a", meta={"license": value}), "")
    assert list(counts.by_license) == [
        *("a b", "?", "not stated", "2001", "a+b", "x" * 57 + "...", "None+['a']")
    ]
    assert counts.by_license["not stated"].documents == 4


def test_a_flood_of_names_does_not_fill_the_memory() -> None:
    counts = Counts()
    for number in range(MOST_VALUES + 50):
        counts.add_document(Document(id="1", text="a b", source=f"source {number}"), "")
    total = Counts()
    total.add(counts)
    total.add(counts)
    for amounts in (counts.by_source, total.by_source):
        assert len(amounts) == MOST_VALUES + 1
        assert sum(amount.documents for amount in amounts.values()) in (
            MOST_VALUES + 50,
            2 * MOST_VALUES + 100,
        )
    assert total.by_source["others"].documents == 100
    assert len(total.lengths) == MOST_VALUES + 1


def test_percentiles_are_those_of_the_sorted_list() -> None:
    values = [number * number % 97 for number in range(333)]
    lengths = Lengths({value: values.count(value) for value in values})
    for percent in (1, 10, 50, 90, 99, 100):
        expected = next(
            value
            for value in sorted(values)
            if sum(other <= value for other in values) * 100 >= percent * 333
        )
        assert lengths.percentile(percent) == expected
    assert lengths.mean == pytest.approx(sum(values) / 333)
