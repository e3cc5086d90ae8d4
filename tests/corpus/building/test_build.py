"""The whole verb: what is written and counted, and that neither workers nor block sizes change a byte."""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from megatron_bio import __version__
from megatron_bio.cli import main
from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.config.errors import ConfigurationError, IncompleteResultError
from megatron_bio.corpus.building import contamination
from megatron_bio.corpus.decontamination.index import Match
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from tests.corpus.building.conftest import Corpus, Prose

Build = Callable[..., Corpus]
Write = Callable[..., Path]


def mixture(prose: Prose, count: int = 60) -> list[Document]:
    """Documents of which some are dropped for each reason."""
    texts = [prose.sentences(6) for _ in range(count)]
    documents = [Document(id=f"x:{n}", text=" ".join(each), source="x") for n, each in enumerate(texts)]
    documents += [Document(id=f"y:{n}", text=" ".join(texts[n]).upper(), source="y") for n in range(5)]
    documents += [
        Document(id=f"z:{n}", text=" ".join([*texts[n][:5], prose.sentence()]), source="z")
        for n in range(5, 9)
    ]
    documents += [
        Document(id=f"c:{n}", text=" ".join([*texts[n][:3], *texts[n + 1][:2]]), source="z")
        for n in range(20, 24)
    ]
    documents += [
        Document(id=f"pubmed:{n}", text=" ".join(texts[n]), source="pubmed", meta={"pmid": n})
        for n in range(30, 33)
    ]
    documents += [
        Document(
            id=f"pmc:PMC{n}",
            text=" ".join(texts[n]) + "\n" + prose.text(9),
            source="pmc",
            meta={"pmid": n, "abstract_lines": 1},
        )
        for n in range(30, 35)
    ]
    return [
        *documents,
        Document(id="short", text="Too short.", source="x"),
        Document(id="empty", text=" ", source="y"),
    ]


def test_documents_manifest_and_reports_agree(
    build: Build, prose: Prose, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = mixture(prose)
    corpus = build(*documents, split=(0.7, 0.2, 0.1))
    manifest = corpus.manifest
    kept = corpus.documents()
    assert manifest["program"] == f"megatron-bio {__version__}" and manifest["losses"] == []
    assert manifest["read"]["documents"] == len(documents)
    assert manifest["kept"] == {
        "documents": len(kept),
        "words": sum(len(document.text.split()) for document in kept),
        "characters": sum(len(document.text) for document in kept),
    }
    dropped = {reason: amounts["documents"] for reason, amounts in manifest["dropped"].items()}
    assert dropped == {
        "abstract inside an article": 5,
        "copied sentences": 4,
        "exact duplicate": 8,
        "fewer than 20 words": 1,
        "near duplicate": 4,
        "no text": 1,
    }
    assert sum(dropped.values()) + len(kept) == len(documents)
    assert corpus.dropped().keys() | corpus.ids() == {document.id for document in documents}
    assert manifest["sources"]["pubmed"]["dropped"]["exact duplicate"]["documents"] == 3
    assert manifest["sources"]["pmc"]["kept"]["documents"] == 5
    for name, split in manifest["splits"].items():
        assert split["documents"] == len(corpus.documents(name))
        for shard in split["shards"]:
            content = (corpus.path / shard["file"]).read_bytes()
            assert shard["sha256"] == hashlib.sha256(content).hexdigest() and shard["bytes"] == len(content)
    for file in manifest["files"]:
        assert file["sha256"] == hashlib.sha256((corpus.path / file["file"]).read_bytes()).hexdigest()
    (source,) = manifest["inputs"]
    assert source["file"] == "corpus-input.jsonl"
    content = (corpus.path.parent / source["file"]).read_bytes()
    assert (source["bytes"], source["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    printed = capsys.readouterr().out
    assert "dropped: exact duplicate" in printed and f"wrote {corpus.path}" in printed
    assert not corpus.path.with_name("corpus.unfinished").exists()


def test_kept_documents_are_normalised_and_in_order(build: Build, prose: Prose) -> None:
    texts = [prose.text(3) for _ in range(5)]
    documents = [
        Document(
            id=f"x:{n}",
            title=f" T\t{n}",
            text=f" {text}\n\nEND e\u0301",
            source="s",
            meta={"year": n},
        )
        for n, text in enumerate(texts)
    ]
    corpus = build(*documents, split=(1.0, 0.0, 0.0))
    assert corpus.documents("train") == [
        Document(id=f"x:{n}", title=f"T {n}", text=f"{text}\nEND é", source="s", meta={"year": n})
        for n, text in enumerate(texts)
    ]
    assert not (corpus.path / "validation").exists()


def test_neither_workers_nor_blocks_change_a_byte(
    build: Build, prose: Prose, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = mixture(prose, 36)
    first, second = write(documents[:30], "a.jsonl"), write(documents[30:], "b.jsonl")
    whole = build(first, second, output="whole")
    assert len(set(whole.dropped().values())) == 6, "all kinds of copies are there"
    for block_bytes, workers in ((1, 1), (12_000, 2)):
        monkeypatch.setattr("megatron_bio.corpus.building.blocks.BLOCK_BYTES", block_bytes)
        parts = build(first, second, output=f"parts-{workers}", workers=workers)
        assert parts.bytes() == whole.bytes()


def test_the_manifest_tells_the_inputs_apart_but_not_where_they_were(
    build: Build, prose: Prose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [Document(id=str(n), text=prose.text()).to_json() for n in range(3)]
    made = []
    for place in ("here", "there"):
        paths = [tmp_path / place / name for name in ("a/x.jsonl", "b/x.jsonl", "b/y.jsonl")]
        for path, line in zip(paths, lines, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(line + b"\n")
        paths[1].write_bytes(lines[1] + b"\n{\n")
        with pytest.raises(IncompleteResultError, match=f"the first: {paths[1]}: line 2"):
            build(*paths, output=f"of-{place}", on_error="keep")
        made.append(Corpus(tmp_path / f"of-{place}"))
    assert made[0].bytes() == made[1].bytes()
    manifest = made[0].manifest
    assert [source["file"] for source in manifest["inputs"]] == ["a/x.jsonl", "b/x.jsonl", "y.jsonl"]
    assert manifest["losses"][0]["file"] == "b/x.jsonl"
    assert str(tmp_path) not in (made[0].path / "manifest.json").read_text()
    capsys.readouterr()
    build(*paths, output="of-here", on_error="keep")
    assert "is complete" in capsys.readouterr().out, "moved inputs are the same"


def test_different_texts_with_one_id_are_kept_and_counted(
    build: Build, prose: Prose, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("megatron_bio.corpus.building.blocks.BLOCK_BYTES", 1_000)
    texts = [prose.text() for _ in range(6)]
    names = ["a", "b", "a", "c [é]", "a", "c [é]"]
    documents = [Document(id=name, text=text) for name, text in zip(names, texts, strict=True)]
    copy = Document(id="b", text=texts[1].upper())
    corpus = build(*documents, copy, split=(0.5, 0.3, 0.2))
    assert len(corpus.documents()) == 6
    found = corpus.manifest["kept_with_the_id_of_another"]
    assert found == {"documents": 3, "example": "a"}, "a copy under the same id is dropped, not counted"
    assert (
        "ids: kept with the id of another kept document, but another text: 3; the first"
        in capsys.readouterr().out
    )
    sides = [corpus.ids(name) for name in ("train", "validation", "test") if (corpus.path / name).exists()]
    assert sum(map(len, sides)) == 3, "one id is on one side"
    unique = build(*documents[:2], output="unique")
    assert unique.manifest["kept_with_the_id_of_another"] == {"documents": 0, "example": ""}
    assert "ids:" not in capsys.readouterr().out


def test_shards_are_cut_by_size(build: Build, prose: Prose, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(id=f"x:{n}", text=prose.text(6), source="x") for n in range(50)]
    monkeypatch.setattr("megatron_bio.corpus.building.run.MEGABYTE", 5_000)
    monkeypatch.setattr("megatron_bio.corpus.building.blocks.BLOCK_BYTES", 7_000)
    corpus = build(*documents, shard_megabytes=1, split=(0.9, 0.1, 0.0))
    shards = corpus.manifest["splits"]["train"]["shards"]
    assert [shard["file"] for shard in shards] == [
        f"train/documents-{n:05d}.jsonl.zst" for n in range(len(shards))
    ]
    longest = max(len(document.to_json()) + 1 for document in documents)
    assert len(shards) > 4 and all(5_000 <= shard["content_bytes"] < 5_000 + longest for shard in shards[:-1])
    kept = [document for document in documents if document.id in corpus.ids("train")]
    assert corpus.documents("train") == kept, "in the order of the input"


def test_nothing_kept_writes_nothing(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CorpusError, match="found none in 1 files"):
        build(Document(id="1", text="Too short."))
    assert "fewer than 20 words" in capsys.readouterr().out
    assert not (tmp_path / "corpus").exists()


def test_bad_lines_stop_with_their_place_or_are_counted(
    build: Build, prose: Prose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("megatron_bio.corpus.building.blocks.BLOCK_BYTES", 2_000)
    lines = [Document(id=f"x:{n}", text=prose.text(), source="x").to_json() for n in range(12)]
    lines[3] = b'{"text": 5}'
    lines[7] = b'{"text": "a'
    bad, cut, empty = tmp_path / "bad.jsonl", tmp_path / "cut.jsonl.gz", tmp_path / "empty.jsonl"
    bad.write_bytes(b"\n\n".join(lines) + b"\n")
    noise = hashlib.shake_256(b"noise").hexdigest(40_000).encode()
    more = [Document(id=f"y:{n}", text=prose.text(), source="y").to_json() for n in range(3)]
    cut.write_bytes(gzip.compress(b"\n".join([*more, b'{"text": "' + noise + b'"}']))[:-9_000])
    empty.write_bytes(b"\n \n")
    for workers in (1, 2):
        with pytest.raises(DamagedFileError, match=r"bad\.jsonl: line 7: expected a string under 'text'"):
            build(bad, workers=workers)
    with pytest.raises(DamagedFileError, match=r"cut\.jsonl\.gz: .*truncated"):
        build(cut, output="second")
    with pytest.raises(
        IncompleteResultError, match=r"4 places of the input were damaged; the first: .*line 7"
    ):
        build(bad, cut, empty, on_error="keep")
    corpus = Corpus(tmp_path / "corpus")
    assert corpus.ids() == {f"x:{n}" for n in range(12) if n not in (3, 7)} | {"y:0", "y:1", "y:2"}
    reasons = [loss["reason"] for loss in corpus.manifest["losses"]]
    assert reasons == ["malformed JSONL", "malformed JSONL", "truncated compression", "empty"]
    assert "line 15" in corpus.manifest["losses"][1]["message"]


@dataclass(frozen=True)
class _Benchmarks:
    """Stands for the index of the benchmarks; it must reach the workers."""

    fingerprint: str

    def match(self, document: Document) -> Match | None:
        found = "tested" in document.text
        return Match(reason="text of a benchmark", benchmark="qa.json", item="item 7") if found else None

    def summary(self) -> list[dict[str, object]]:
        return [{"name": "qa.json", "items": 9}]


def test_contaminated_documents_are_dropped_and_named(
    build: Build, prose: Prose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = tmp_path / "qa.json"
    benchmark.touch()
    asked = []

    def load(paths: list[Path], ngram: int) -> _Benchmarks | None:
        asked.append((paths, ngram))
        return _Benchmarks(str(ngram)) if paths else None

    monkeypatch.setattr("megatron_bio.corpus.building.run.load_contamination", load)
    documents = [
        Document(id="1", text=prose.text()),
        Document(id="2", text=prose.text() + " Tested was tested."),
    ]
    settings = {"near_duplicate_similarity": 0, "copied_sentence_fraction": 0}
    corpus = build(*documents, benchmarks=[str(benchmark)], workers=2, **settings)
    assert asked == [([benchmark], 13)]
    assert corpus.ids() == {"1"} and corpus.manifest["benchmarks"] == [{"name": "qa.json", "items": 9}]
    (line,) = corpus.lines("dropped.jsonl.zst")
    assert (line["reason"], line["benchmark"], line["item"]) == ("text of a benchmark", "qa.json", "item 7")
    with pytest.raises(CorpusError, match="other inputs, options"):
        build(*documents, benchmarks=[str(benchmark)], benchmark_ngram=8, **settings)
    assert contamination.load_contamination([], 13) is None


def test_the_command_line(prose: Prose, write: Write, tmp_path: Path) -> None:
    source = write([Document(id=f"x:{n}", text=prose.text()) for n in range(4)])
    words = ["corpus", "build", str(source), "--output", str(tmp_path / "c"), "--split", "1", "0", "0"]
    assert main(words) == 0 and main(words) == 0
    assert main([*words, "--minimum_words", "5"]) == 1
    source.write_bytes(source.read_bytes() + b"{\n")
    assert main([*words, "--overwrite", "true", "--on_error", "keep"]) == 3
    assert len(Corpus(tmp_path / "c").ids()) == 4


def test_impossible_options_name_the_flag() -> None:
    for flag, value in {
        "inputs": [],
        "languages": [],
        "languages ": ["en"],
        "benchmark_ngram": 2,
        "minimum_words": -1,
        "maximum_words": 5,
        "symbol_fraction": 1.5,
        "repeated_fraction": -0.1,
        "near_duplicate_similarity": 0.3,
        "copied_sentence_fraction": 2.0,
        "split": (0.5, 0.4, 0.2),
        "shard_megabytes": 0,
        "workers": 0,
        "on_error": "skip",
    }.items():
        with pytest.raises(ConfigurationError, match=f"--{flag.strip()}"):
            BuildCorpusOptions(**{"inputs": ["x"], "output": Path("o"), flag.strip(): value})  # type: ignore[arg-type]
