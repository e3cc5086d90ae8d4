import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.cli import main
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.downstream.tasks.form import LOSS_IGNORES
from megatron_bio.downstream.tasks.named_entities import (
    ENTITY_SETTINGS,
    LONGER_THAN_A_ROW,
    OF_TWO_SETS,
    NamedEntityTask,
)

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


def test_a_word_longer_than_a_row_keeps_its_first_pieces_and_is_counted(tokenizer, tmp_path: Path) -> None:
    task = NamedEntityTask("x")
    word = "fl" * 20
    parts = parts_of(task, tmp_path, f"No\tO\n{word}\tB-Disease\nfever\tB-Disease\n\nfever\tB-Disease\n")
    labels, examples = task.labels(parts), parts["train"].examples
    settings = replace(ENTITY_SETTINGS, max_length=10)
    encoded = task.encode(examples, tokenizer, settings, labels, training=True)
    pieces = tokenizer([word], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    assert len(pieces) > 10
    assert [row["input_ids"][1:-1] for row in encoded.features].count(pieces[:8]) == 1
    assert encoded.shortened == {LONGER_THAN_A_ROW: 1}
    predicted = task.predictions(examples, encoded, gold_logits(encoded, labels), labels)
    assert predicted == tuple(sentence.tags for sentence in examples)


def test_words_and_special_pieces_of_a_gpt(tiny_gpt: Path, tmp_path: Path) -> None:
    """It adds none and makes no token types."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_gpt, add_prefix_space=True)
    task = NamedEntityTask("x")
    parts = parts_of(task, tmp_path)
    labels, examples = task.labels(parts), parts["train"].examples
    encoded = task.encode(examples, tokenizer, ENTITY_SETTINGS, labels, training=True)
    for sentence, row in zip(examples, encoded.features, strict=True):
        assert row.keys() == {"input_ids", "labels"}
        assert row["input_ids"] == tokenizer(list(sentence.words), is_split_into_words=True)["input_ids"]
    predicted = task.predictions(examples, encoded, gold_logits(encoded, labels), labels)
    assert predicted == tuple(sentence.tags for sentence in examples)


def test_written_files_have_the_same_score(tmp_path: Path) -> None:
    task = NamedEntityTask("x")
    marked = f"{TRAIN}\nA\tB-Disease\n-X-\tI-Disease\n"
    examples = parts_of(task, tmp_path, marked)["train"].examples
    predicted = (("B-Disease", "O", "O", "O", "B-Disease"), ("O", "O"), ("B-Disease", "O"))
    task.write(examples, predicted, tmp_path)
    gold, predictions, output = (tmp_path / name for name in ("gold.tsv", "predictions.tsv", "score.json"))
    files = ["--gold", str(gold), "--predictions", str(predictions), "--output", str(output)]
    main(["score", "--task", "ner", *files])
    scores = task.score(examples, predicted)
    assert json.loads(output.read_text())["scores"] == scores
    assert 0 < scores["overall"]["f1"] < 100


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


def test_one_set_in_two_schemes_is_refused(tmp_path: Path) -> None:
    first, again = (written(tmp_path / name / "train.tsv", TRAIN) for name in ("IOB", "IOBES"))
    with pytest.raises(
        ConfigurationError, match=r"IOBES/train.tsv: expected other sentences than those of .*IOB/"
    ):
        NamedEntityTask("BC2GM").read({"train": (first, again)})
    with pytest.raises(ConfigurationError, match="expected a file of each of two sets, found 3"):
        NamedEntityTask("BC5CDR", together=True).read({"train": (first, again, first)})


def test_types_that_training_lacks(tmp_path: Path) -> None:
    task = NamedEntityTask("x")
    parts = task.read(
        {
            "train": (written(tmp_path / "train.tsv", TRAIN),),
            "test": (written(tmp_path / "test.tsv", "No\tO\n\nOf\tO\nfever\tB-Gene\n"),),
        }
    )
    with pytest.raises(ConfigurationError, match=r"test.tsv: line 4: .*Disease.*found Gene"):
        task.labels(parts)
    development = written(tmp_path / "dev.txt", PUBTATOR.replace("\tDisease\tD2", "\tSymptom\tD2"))
    parts |= task.read({"development": (development,)})
    del parts["test"]
    with pytest.raises(ConfigurationError, match=r"dev.txt: document 1: .*Disease.*found Symptom"):
        task.labels(parts)


def test_damaged_files_are_named_with_the_line(tmp_path: Path) -> None:
    for text, place in (("fever\tB-X\nheadache\n", "line 2"), ("fever\tQ\n", "line 1"), ("\n", "no content")):
        with pytest.raises(DamagedFileError, match=place):
            parts_of(NamedEntityTask("x"), tmp_path, text)


DATA = Path(__file__).parents[4] / "shared" / "data" / "ner"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_both_sets_of_bc5cdr_keep_every_entity() -> None:
    files = tuple(DATA / name / "devel.tsv.gz" for name in ("BC5CDR-chem", "BC5CDR-disease"))
    alone = [NamedEntityTask("x").read({"train": (file,)})["train"] for file in files]
    together = NamedEntityTask("BC5CDR", together=True).read({"train": files})["train"]
    assert not together.left_out
    spans = [[[*sentence.spans()] for sentence in part.examples] for part in (*alone, together)]
    for chemicals, diseases, both in zip(*spans, strict=True):
        assert both == sorted([*chemicals, *diseases], key=lambda span: span.first)
