"""What a command needs before it trains, and what later commands leave of earlier ones."""

from pathlib import Path

import pytest
from safetensors import SafetensorError

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.evaluation.overlap import with_earlier
from megatron_bio.downstream.one_writer import one_writer
from tests.downstream.evaluation.commands import evaluate, fast, refusal

pytest.importorskip("transformers")
pytest.importorskip("accelerate")


def test_a_grid_needs_development_data(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (data / "mine" / "devel.tsv").unlink()
    flags = ("--tasks", "NCBI-disease", "entities:mine", "--seeds", "1", *fast("1e-3", "1e-2", epochs=1))
    said = refusal(tiny_bert, data, tmp_path / "out", capfd, *flags)
    assert "--learning_rates: expected one value for entities:mine, found several" in said
    assert not list(tmp_path.glob("out/runs/**/result.json"))


def test_training_on_development_data_needs_others_to_score(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (data / "mine" / "test.tsv").unlink()
    flags = ("--tasks", "entities:mine", "--train_on", "train+development", *fast(epochs=1))
    said = refusal(tiny_bert, data, tmp_path / "out", capfd, *flags)
    assert "expected a test part of entities:mine" in said


def test_a_copy_of_the_test_set_decides_nothing(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (data / "mine" / "devel.tsv").write_bytes((data / "mine" / "test.tsv").read_bytes())
    flags = ("--tasks", "entities:mine", *fast("1e-3", "1e-2", epochs=1))
    said = refusal(tiny_bert, data, tmp_path / "out", capfd, *flags)
    assert "devel.tsv: expected development data of their own, found the content of" in said


def test_weights_that_were_not_kept_are_made(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    flags = ("--tasks", "entities:mine", "--seeds", "1", *fast(epochs=1))
    before = evaluate(tiny_bert, data, tmp_path / "out", *flags)
    after = evaluate(tiny_bert, data, tmp_path / "out", *flags, "--keep_models")
    assert len(list(tmp_path.glob("out/runs/*/*/model.safetensors"))) == 1
    assert before["tasks"]["entities:mine"]["summary"] == after["tasks"]["entities:mine"]["summary"]


def test_weights_that_find_no_room_are_named(
    tiny_bert: Path,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(state: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr("megatron_bio.downstream.fine_tuning.run.save_file", full)
    flags = ("--tasks", "entities:mine", "--seeds", "1", "--keep_models", *fast(epochs=1))
    assert "weights cannot be written: No space" in refusal(tiny_bert, data, tmp_path / "out", capfd, *flags)
    assert not list(tmp_path.glob("out/runs/*/*/model.safetensors"))


def test_each_run_says_with_what_it_was_made(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--seeds", "1", *fast(epochs=1))
    for task in ("entities:mine", "NCBI-disease"):
        monkeypatch.setattr("sys.argv", ["megatron-bio", "evaluate", task])
        results = evaluate(tiny_bert, data, tmp_path / "out", "--tasks", task, *flags)
    for task, content in results["tasks"].items():
        (made,) = (run["made"] for run in content["runs"])
        assert made["command"] == ["megatron-bio", "evaluate", task]
        assert made["versions"] == results["versions"]


def test_one_command_writes_at_a_time(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    with one_writer(output):
        said = refusal(tiny_bert, data, output, capfd, "--tasks", "entities:mine", *fast(epochs=1))
    assert "expected no other command that writes into it" in said
    with (
        one_writer(output),
        pytest.raises(ConfigurationError, match="found one that is still on"),
        one_writer(output),
    ):
        pass


def test_a_corpus_without_a_manifest_is_named_before_training(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ("--tasks", "entities:mine", "--corpus", str(tmp_path), *fast(epochs=1))
    assert "expected the manifest of a corpus" in refusal(tiny_bert, data, tmp_path / "out", capfd, *flags)
    assert not list(tmp_path.glob("out/runs/**/result.json"))


def test_overlap_of_earlier_tasks_with_the_same_corpus_stays() -> None:
    def compared(task: str, made_from: str = "a") -> dict[str, object]:
        return {"made_from": made_from, "dropped": {}, "files": [{"task": task, "path": task}]}

    assert with_earlier(compared("b"), None) == compared("b")
    both = with_earlier(compared("b"), compared("a"))
    assert [file["task"] for file in both["files"]] == ["a", "b"]
    assert with_earlier(compared("b"), both) == both
    assert with_earlier(compared("b", "other"), compared("a")) == compared("b", "other")
