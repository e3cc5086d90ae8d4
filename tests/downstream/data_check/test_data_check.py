"""The verb on folders with whole, partial, foreign and damaged files."""

import gzip
import json
import re
from pathlib import Path

import pytest

from megatron_bio.cli import main
from megatron_bio.downstream.data_check import look
from megatron_bio.downstream.data_check.known_files import KNOWN, KnownFile
from megatron_bio.downstream.data_check.look import look_into
from megatron_bio.downstream.data_check.names import benchmark_of, missing_parts, part_of

ROOT = Path(__file__).parents[3]
IOB = "Lithium\tB-Chemical\ncaused\tO\ntremor\tO\n\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A training set, a table, a foreign text, and a hidden file."""
    for name, content in {
        "BC5CDR-chem/train.tsv": IOB,
        "GAD/1/train.tsv": "The @GENE$ gene and @DISEASE$.\t1\nNo @GENE$ in @DISEASE$.\t0\n",
        "GAD/1/test.tsv": "index\tsentence\tlabel\n0\tThe @GENE$ gene and @DISEASE$.\t1\n",
        "README.md": "What this is.\n",
        "picture.bin": "\x00\x01",
        ".cache/train.tsv": "damaged",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def test_a_folder_as_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "BC5CDR-chem\n  train (IOB)\n" in text
    assert "entities: 1 (Chemical 1)" in text
    assert "label bias by lines: 0.333 (1 / 3)" in text
    assert "missing: devel, test" in text
    assert re.search(rf"BC5CDR-chem/train\.tsv: {len(IOB)} bytes, sha256 [0-9a-f]{{64}}\n", text)
    assert "differs: sentences: 4,560 expected, 1 found" in text
    assert "GAD\n  test (relation table)" in text
    assert "not read:\n  README.md\n  picture.bin" in text
    assert ".cache" not in text


def test_a_folder_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(folder), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    by_name = {(part["benchmark"], part["part"]): part for part in content["parts"]}
    assert set(by_name) == {("BC5CDR-chem", "train"), ("GAD", "train"), ("GAD", "test")}
    assert by_name["GAD", "train"]["counts"] == {"pairs in a sentence": {"0": 1, "1": 1}}
    assert by_name["BC5CDR-chem", "train"]["label_bias"][0] == {
        "samples": "lines",
        "minority": 1,
        "rest": 3,
        "ratio": 1 / 3,
    }
    assert content["missing"] == {"BC5CDR-chem": ["devel", "test"]}
    assert content["damaged"] == {}


def test_damaged_files_end_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad_line = folder / "BC5CDR-chem" / "devel.tsv"
    bad_line.write_text(f"{IOB}alone\n", encoding="utf-8")
    truncated = folder / "BC5CDR-chem" / "test.tsv.gz"
    truncated.write_bytes(gzip.compress(IOB.encode())[:-9])
    assert main(["data", "check", str(folder)]) == 1
    output = capsys.readouterr()
    assert f"{bad_line}: line 5: expected a word and an IOB tag" in output.out
    assert f"{truncated}: expected the end mark of the compressed data" in output.out
    assert "2 damaged" in output.err
    assert "BC5CDR-chem\n  train (IOB)\n" in output.out, "the others are shown all the same"
    assert main(["data", "check", str(folder), "--json"]) == 1
    assert set(json.loads(capsys.readouterr().out)["damaged"]) == {str(bad_line), str(truncated)}


@pytest.mark.parametrize(
    "content",
    [f"alone\n{IOB}", "no tab\n" + 3 * "The @GENE$ gene and @DISEASE$.\t1\n", "x\n77|t|T.\n77|a|A.\n"],
)
def test_a_damaged_first_line_makes_no_other_file_of_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "train.tsv"
    path.write_text(content, encoding="utf-8")
    findings = look_into(tmp_path)
    assert "line 1: expected" in findings.damaged[path]
    assert findings.unknown == ()


def test_a_vocabulary_with_such_words_is_no_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    path.write_text('{"question": 1, "opa": 2, "options": 3, "questions": 4, "data": 5}', encoding="utf-8")
    findings = look_into(tmp_path)
    assert (findings.unknown, findings.damaged) == ((path,), {})


def test_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path / "none")]) == 1
    assert "expected a folder with benchmarks" in capsys.readouterr().err


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no benchmark found\n"


def test_chemprot_without_its_entities_and_without_gold(tmp_path: Path) -> None:
    abstracts = tmp_path / "chemprot_training_abstracts.tsv"
    abstracts.write_text("77\tAspirin.\tCOX-1.\n", encoding="utf-8")
    findings = look_into(tmp_path)
    assert "expected chemprot_training_entities.tsv beside it" in findings.damaged[abstracts]
    (tmp_path / "chemprot_training_entities.tsv").write_text(
        "77\tT1\tCHEMICAL\t0\t7\tAspirin\n", encoding="utf-8"
    )
    (part,) = look_into(tmp_path).parts
    assert (part.benchmark, part.name) == ("ChemProt", "training")
    assert part.differences[:2] == (
        "chemprot_training_relations.tsv is not there",
        "chemprot_training_gold_standard.tsv is not there",
    )


def test_relations_alone_are_told_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "my_relations.tsv").write_text("The @GENE$ gene and @DISEASE$.\t1\n", encoding="utf-8")
    (part,) = look_into(tmp_path).parts
    assert part.kind == "relation table"


def test_a_known_file_is_told_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "any.tsv"
    path.write_text(IOB, encoding="utf-8")
    (part,) = look_into(tmp_path).parts
    assert (part.benchmark, part.name, part.files[0].known) == (tmp_path.name, "any", False)
    sha256 = part.files[0].sha256
    known = KnownFile(
        benchmark="BC2GM",
        part="test",
        kind="IOB",
        name="test.tsv",
        size=len(IOB),
        sha256=sha256,
        counts={"sentences": 1},
    )
    monkeypatch.setattr(look, "KNOWN", {sha256: known})
    (part,) = look_into(tmp_path).parts
    assert (part.benchmark, part.name, part.files[0].known, part.differences) == ("BC2GM", "test", True, ())


@pytest.mark.parametrize(
    ("path", "benchmark", "part"),
    [
        ("data/NCBI_disease/devel.tsv.gz", "NCBI-disease", "devel"),
        ("BC5CDR-disease/train_dev.tsv", "BC5CDR-disease", "train_dev"),
        ("CDR/BC5CDR_TrainingSet.PubTator.txt", "BC5CDR", "training"),
        ("BC5CDR/trainining7b.json", "BC5CDR", "trainining"),
        ("NCBI_disease/NCBItrainset_corpus.txt", "NCBI-disease", "trainset"),
        ("NCBI_disease/NCBIdevelopset_corpus.txt", "NCBI-disease", "developset"),
        ("mine/words.iob", "mine", "words"),
    ],
)
def test_names(path: str, benchmark: str, part: str) -> None:
    assert benchmark_of(Path(path), "IOB") == benchmark
    assert part_of(Path(path)) == part


def test_form_decides_about_questions() -> None:
    assert benchmark_of(Path("BioASQ/train-v1.1.json"), "SQuAD") == "BioASQ"
    assert benchmark_of(Path("any/train-v1.1.json"), "SQuAD") == "SQuAD"
    assert missing_parts("SQuAD", {"train"}) == ("dev",)
    assert missing_parts("ChemProt", {"train", "dev"}) == ("test",)


def test_the_document_shows_every_known_file() -> None:
    text = (ROOT / "docs" / "downstream-data.md").read_text(encoding="utf-8")
    for known in KNOWN.values():
        row = next(line for line in text.splitlines() if known.sha256 in line)
        assert known.name in row
        assert f"{known.size:,}" in row


DATA = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not (DATA / "re").is_dir(), reason="needs ../shared/data")
def test_real_files_are_known() -> None:
    for name in ("ner/NCBI-disease", "re/chemprot/chemprot_sample"):
        findings = look_into(DATA / name)
        assert not findings.damaged
        assert all(file.known for part in findings.parts for file in part.files)
        assert not any(part.differences for part in findings.parts)


def test_links_to_folders_are_followed_but_not_round_and_round(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "data"
    for place in (elsewhere / "BC5CDR-chem", folder):
        place.mkdir(parents=True)
    (elsewhere / "BC5CDR-chem" / "train.tsv").write_text(IOB, encoding="utf-8")
    (folder / "BC5CDR-chem").symlink_to(elsewhere / "BC5CDR-chem")
    (folder / "itself").symlink_to(folder)
    (elsewhere / "BC5CDR-chem" / "back").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "nowhere")
    (part,) = look_into(folder).parts
    assert (part.benchmark, part.name) == ("BC5CDR-chem", "train")
    assert [file.path for file in part.files] == [folder / "BC5CDR-chem" / "train.tsv"]
