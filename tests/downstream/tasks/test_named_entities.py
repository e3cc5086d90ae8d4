from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.cli import main
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.downstream.tasks.form import LOSS_IGNORES
from megatron_bio.downstream.tasks.named_entities import ENTITY_SETTINGS, OF_TWO_SETS, NamedEntityTask

transformers = pytest.importorskip("transformers")

TRAIN = "Tumor\tB-Disease\nnecrosis\tI-Disease\nfactor\tO\nin\tO\nfever\tB-Disease\n\nNo\tO\nheadache\tB-Disease\n"
PUBTATOR = "1|t|Aspirin lowers fever.\n1|a|No headache.\n1\t15\t20\tfever\tDisease\tD1\n1\t25\t33\theadache\tDisease\tD2\n"


@pytest.fixture
def tokenizer(tiny_bert: Path):
    return transformers.AutoTokenizer.from_pretrained(tiny_bert)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def parts_of(task: NamedEntityTask, tmp_path: Path, text: str = TRAIN):
    return task.read({"train": (written(tmp_path / "train.tsv", text),)})


def gold_logits(encoded, labels) -> list[np.ndarray]:
    return [np.eye(len(labels), dtype=np.float32)[np.maximum(row["labels"], 0)] for row in encoded.features]


@pytest.mark.parametrize("max_length", [5, 8, 128])
@pytest.mark.parametrize("label_pieces", ["all", "first"])
def test_gold_logits_give_gold_labels(tokenizer, tmp_path: Path, max_length: int, label_pieces: str) -> None:
    task = NamedEntityTask("x")
    parts = parts_of(task, tmp_path)
    labels = task.labels(parts)
    assert labels == ("O", "B-Disease", "I-Disease")
    settings = replace(ENTITY_SETTINGS, max_length=max_length, label_pieces=label_pieces)
    examples = parts["train"].examples
    encoded = task.encode(examples, tokenizer, settings, labels, training=True)
    assert all(len(row["input_ids"]) == len(row["labels"]) <= max_length for row in encoded.features)
    predicted = task.predictions(examples, encoded, gold_logits(encoded, labels), labels)
    assert predicted == tuple(sentence.tags for sentence in examples)
    assert task.score(examples, predicted)["overall"]["f1"] == 100


def test_pieces_of_a_word(tokenizer, tmp_path: Path) -> None:
    task = NamedEntityTask("x")
    parts = parts_of(task, tmp_path, "lowinfin\tB-Disease\nfever\tO\n")
    labels = task.labels(parts)
    (row,) = task.encode(parts["train"].examples, tokenizer, ENTITY_SETTINGS, labels, True).features
    count = len(tokenizer(["lowinfin"], is_split_into_words=True, add_special_tokens=False)["input_ids"])
    assert count > 1
    assert row["labels"][: count + 1] == [LOSS_IGNORES, 1, *[2] * (count - 1)]
    assert row["labels"][0] == row["labels"][-1] == LOSS_IGNORES
    first = replace(ENTITY_SETTINGS, label_pieces="first")
    (row,) = task.encode(parts["train"].examples, tokenizer, first, labels, True).features
    assert row["labels"][: count + 1] == [LOSS_IGNORES, 1, *[LOSS_IGNORES] * (count - 1)]


def test_a_word_in_two_windows_has_one_loss(tokenizer, tmp_path: Path) -> None:
    task = NamedEntityTask("x")
    parts = parts_of(task, tmp_path, "fever\tO\n" * 30)
    settings = replace(ENTITY_SETTINGS, max_length=10, label_pieces="first")
    encoded = task.encode(parts["train"].examples, tokenizer, settings, ("O",), training=True)
    assert len(encoded.features) > 1
    assert sum(label != LOSS_IGNORES for row in encoded.features for label in row["labels"]) == 30


def test_written_files_have_the_same_score(
    tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = NamedEntityTask("x")
    examples = parts_of(task, tmp_path)["train"].examples
    predicted = (("B-Disease", "O", "O", "O", "B-Disease"), ("O", "O"))
    task.write(examples, predicted, tmp_path)
    main(
        [
            "score",
            "--task",
            "ner",
            "--gold",
            str(tmp_path / "gold.tsv"),
            "--predictions",
            str(tmp_path / "predictions.tsv"),
        ]
    )
    assert f"{task.score(examples, predicted)['overall']['f1']:.2f}" in capsys.readouterr().out


def test_pubtator(tmp_path: Path) -> None:
    found = parts_of(NamedEntityTask("x"), tmp_path, PUBTATOR)["train"].examples
    assert [sentence.mention(span) for sentence in found for span in sentence.spans()] == [
        "fever",
        "headache",
    ]


def test_two_sets_of_one_text(tmp_path: Path) -> None:
    task = NamedEntityTask("BC5CDR", together=True)
    other = written(
        tmp_path / "b" / "train.tsv",
        "Tumor\tO\nnecrosis\tB-Chemical\nfactor\tO\nin\tB-Chemical\nfever\tO\n\nNo\tO\nheadache\tO\n",
    )
    first = written(tmp_path / "a" / "train.tsv", TRAIN)
    part = task.read({"train": (first, other)})["train"]
    assert part.examples[0].tags == ("B-Disease", "I-Disease", "O", "B-Chemical", "B-Disease")
    assert part.left_out[OF_TWO_SETS] == 1
    other.write_text("Other\tO\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"b/train.tsv: expected the sentences of .*a/train.tsv"):
        task.read({"train": (first, other)})


def test_types_that_training_lacks(tmp_path: Path) -> None:
    task = NamedEntityTask("x")
    parts = task.read(
        {
            "train": (written(tmp_path / "train.tsv", TRAIN),),
            "test": (written(tmp_path / "test.tsv", "fever\tB-Gene\n"),),
        }
    )
    with pytest.raises(ConfigurationError, match=r"test.tsv: .*Disease.*found Gene"):
        task.labels(parts)


def test_damaged_files_are_named_with_the_line(tmp_path: Path) -> None:
    for text, place in (("fever\tB-X\nheadache\n", "line 2"), ("fever\tQ\n", "line 1"), ("\n", "no content")):
        with pytest.raises(DamagedFileError, match=place):
            parts_of(NamedEntityTask("x"), tmp_path, text)
