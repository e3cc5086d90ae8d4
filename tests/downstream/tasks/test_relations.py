"""ChemProt's pairs and tables of sentences as rows."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.cli import main
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.downstream.tasks.form import Encoded, Task
from megatron_bio.downstream.tasks.parts import IN_ANOTHER_PART
from megatron_bio.downstream.tasks.relation_tables import RelationTableTask
from megatron_bio.downstream.tasks.relations import CUT, REPEATED, TOO_FAR_APART, ChemProtTask

transformers = pytest.importorskip("transformers")

CHEMICALS, GENES = ("Aspirin", "Metformin", "Ibuprofen"), ("COX-1", "TNF", "AMPK")
TITLE = "Aspirin inhibits COX-1, not TNF."
FAR = "Metformin " + "was found in human platelets and " * 12 + "lowers AMPK."
LONG = (
    "No effect was found in mice, " * 10
    + "but Ibuprofen inhibits AMPK "
    + "in type 2 diabetes " * 10
    + "too."
)
SETTINGS = replace(ChemProtTask.defaults, max_length=128)
TABLE = "sentence\tlabel\n" + "".join(
    f"@GENE$ mediates @DISEASE$ in {number} mice.\t{label}\n"
    for number, label in enumerate(("1", "0", "0", "1", "1") * 6)
)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def chemprot(
    folder: Path,
    *relations: str,
    pmid: str = "1",
    abstract: str = "Metformin was given. AMPK was found.",
    name: str = "chemprot_training",
) -> tuple[Path, ...]:
    """Files of a document with a mention of each name; relations such as "CPR:4 Aspirin COX-1"."""
    text = f"{TITLE} {abstract}"
    names = [each for each in (*CHEMICALS, *GENES) if each in text]
    entities = ""
    for each in names:
        kind, start = "CHEMICAL" if each in CHEMICALS else "GENE-Y", text.index(each)
        entities += f"{pmid}\t{each}\t{kind}\t{start}\t{start + len(each)}\t{each}\n"
    gold = ""
    for relation in relations or ("CPR:4 Aspirin COX-1",):
        label, first, second = relation.split()
        gold += f"{pmid}\t{label}\tArg1:{first}\tArg2:{second}\n"
    contents = {"abstracts": f"{pmid}\t{TITLE}\t{abstract}\n", "entities": entities, "gold_standard": gold}
    return tuple(written(folder / f"{name}_{kind}.tsv", content) for kind, content in contents.items())


def documents(files: tuple[Path, ...]):
    return ChemProtTask().read({"train": files})["train"].examples


def gold_outputs(task: Task, examples, tokenizer, settings, labels) -> tuple[Encoded, list[np.ndarray]]:
    """Rows as for prediction, and outputs that say what training rows say."""
    taught = task.encode(examples, tokenizer, settings, labels, training=True)
    asked = task.encode(examples, tokenizer, settings, labels, training=False)
    assert asked.places == taught.places
    assert not any("labels" in row for row in asked.features)
    return asked, [np.eye(len(labels), dtype=np.float32)[row["labels"]] for row in taught.features]


@pytest.mark.parametrize("form", ["marked", "anonymised"])
@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_gold_logits_give_the_gold_relations(request, name: str, form: str, tmp_path: Path) -> None:
    task, settings = ChemProtTask(), replace(SETTINGS, relation_form=form)
    examples = documents(chemprot(tmp_path, "CPR:4 Aspirin COX-1"))
    labels = task.labels({})
    encoded, outputs = gold_outputs(task, examples, request.getfixturevalue(name), settings, labels)
    assert len(outputs) == 2
    predicted = task.predictions(examples, encoded, outputs, labels)
    assert predicted == (("CPR:4", "false"),)
    assert task.score(examples, predicted)["micro"]["f1"] == 100


def test_relations_without_a_pair_are_missed(bert, tmp_path: Path) -> None:
    task = ChemProtTask()
    files = chemprot(tmp_path, "CPR:4 Aspirin COX-1", "CPR:3 Metformin AMPK", "CPR:3 Metformin AMPK")
    part = task.read({"train": files})["train"]
    assert part.left_out[REPEATED] == 1
    labels = task.labels({})
    encoded, outputs = gold_outputs(task, part.examples, bert, SETTINGS, labels)
    scores = task.score(part.examples, task.predictions(part.examples, encoded, outputs, labels))
    assert (scores["micro"]["precision"], scores["micro"]["recall"]) == (100, 50)


def test_forms_of_a_pair(bert, tmp_path: Path) -> None:
    task, examples = ChemProtTask(), documents(chemprot(tmp_path, "CPR:4 Aspirin COX-1"))
    for form, text in (
        ("anonymised", "@CHEMICAL$ inhibits @GENE$, not TNF."),
        ("marked", "[E1] Aspirin [/E1] inhibits [E2] COX-1 [/E2], not TNF."),
    ):
        settings = replace(SETTINGS, relation_form=form)
        row = task.encode(examples, bert, settings, task.labels({}), training=False).features[0]
        expected = bert(text)
        assert row == {key: expected[key] for key in ("input_ids", "token_type_ids")}


@pytest.mark.parametrize("form", ["marked", "anonymised"])
def test_a_long_sentence_is_cut_around_its_arguments(bert, gpt, tmp_path: Path, form: str) -> None:
    task = ChemProtTask()
    examples = documents(chemprot(tmp_path, "CPR:4 Ibuprofen AMPK", abstract=LONG))
    pair = next(pair for pair in examples[0].pairs if pair.first.id == "Ibuprofen")
    sought = pair.marked() if form == "marked" else pair.anonymised()
    opening, closing = ("[E1]", "]") if form == "marked" else ("@C", "$")
    between = sought[sought.index(opening) : sought.rindex(closing) + 1]
    for tokenizer in (bert, gpt):
        settings = replace(SETTINGS, max_length=60, relation_form=form)
        encoded = task.encode(examples, tokenizer, settings, task.labels({}), training=False)
        assert dict(encoded.shortened) == {CUT: 1}
        row = encoded.features[examples[0].pairs.index(pair)]
        assert len(row["input_ids"]) == 60
        assert squeezed(tokenizer, between) in "".join(tokenizer.decode(row["input_ids"]).split())


def squeezed(tokenizer, text: str) -> str:
    return "".join(tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]).split())


def test_arguments_too_far_apart_are_predicted_false(bert, tmp_path: Path) -> None:
    task = ChemProtTask()
    examples = documents(chemprot(tmp_path, "CPR:9 Metformin AMPK", abstract=FAR))
    assert [pair.label for pair in examples[0].pairs] == ["false", "false", "CPR:9"]
    settings = replace(SETTINGS, max_length=40)
    encoded = task.encode(examples, bert, settings, task.labels({}), training=True)
    assert dict(encoded.shortened) == {TOO_FAR_APART: 1}
    assert [row["labels"] for row in encoded.features] == [0, 0]
    outputs = [np.eye(6, dtype=np.float32)[1]] * 2
    predicted = task.predictions(examples, encoded, outputs, task.labels({}))
    assert predicted == (("CPR:3", "CPR:3", "false"),)


def test_written_relations_have_the_same_score(tmp_path: Path) -> None:
    task = ChemProtTask()
    examples = documents(chemprot(tmp_path, "CPR:4 Aspirin COX-1", "CPR:3 Metformin AMPK"))
    predicted = (("CPR:4", "CPR:9"),)
    scores = task.score(examples, predicted)
    assert (scores["micro"]["precision"], scores["micro"]["recall"]) == (50, 50)
    task.write(examples, predicted, tmp_path / "out")
    assert scored("chemprot", tmp_path / "out", "tsv") == scores


def scored(task: str, folder: Path, ending: str) -> dict:
    files = [f"--{name}={folder / name}.{ending}" for name in ("gold", "predictions")]
    assert main(["score", "--task", task, *files, "--output", str(folder / "scores.json")]) == 0
    return json.loads((folder / "scores.json").read_text())["scores"]


def test_documents_of_the_test_part_are_not_trained_on(tmp_path: Path) -> None:
    parts = ChemProtTask().read(
        {
            "train": (
                *chemprot(tmp_path / "a", name="chemprot_training"),
                *chemprot(tmp_path / "b", name="more_training", pmid="2"),
            ),
            "test": chemprot(tmp_path / "c", name="chemprot_test", pmid="2"),
        }
    )
    assert [document.id for document in parts["train"].examples] == ["1"]
    assert parts["train"].left_out[IN_ANOTHER_PART] == 1
    with pytest.raises(ConfigurationError, match=r"b_abstracts\.tsv: .*found 1 again"):
        documents((*chemprot(tmp_path, name="a"), *chemprot(tmp_path, name="b")))


def test_incomplete_sets_are_refused(tmp_path: Path) -> None:
    abstracts, entities, gold = chemprot(tmp_path, name="own")
    with pytest.raises(
        ConfigurationError, match=r"expected own_entities\.tsv beside it, found own_abstracts\.tsv"
    ):
        documents((abstracts, gold))
    with pytest.raises(ConfigurationError, match=r"own_relations\.tsv or own_gold_standard\.tsv beside it"):
        documents((abstracts, entities))
    with pytest.raises(ConfigurationError, match="found none of these names"):
        documents((written(tmp_path / "mine.tsv", ""),))


def test_damaged_relations_are_named(tmp_path: Path) -> None:
    for relation, message in (
        ("CPR:2 Aspirin COX-1", r"gold_standard\.tsv.*line 1: expected one of the evaluated classes"),
        ("CPR:4 COX-1 Aspirin", r"gold_standard\.tsv.*line 1: expected a chemical and a gene"),
        ("CPR:4 Aspirin BRCA1", r"gold_standard\.tsv.*line 1: expected ids of mentions"),
    ):
        with pytest.raises(DamagedFileError, match=message):
            documents(chemprot(tmp_path, relation))


def test_a_table(bert, tmp_path: Path) -> None:
    task = RelationTableTask("mine")
    parts = task.read({"train": (written(tmp_path / "train.tsv", TABLE),)})
    labels = task.labels(parts)
    assert labels == ("0", "1")
    examples = parts["train"].examples
    encoded, outputs = gold_outputs(task, examples, bert, replace(task.defaults, max_length=64), labels)
    predicted = task.predictions(examples, encoded, outputs, labels)
    assert task.score(examples, predicted)["positive"]["f1"] == 100
    right = sum(pair.label == "1" for pair in examples)
    wrong = ("1",) * len(examples)
    scores = task.score(examples, wrong)
    assert scores["positive"]["precision"] == pytest.approx(100 * right / len(examples))
    assert scores["positive"]["recall"] == 100
    task.write(examples, wrong, tmp_path / "out")
    assert scored("choice", tmp_path / "out", "json") == {
        name: row for name, row in scores.items() if name != "positive"
    }


def test_prediction_needs_no_label_of_a_table(bert, tmp_path: Path) -> None:
    task = RelationTableTask("mine")
    parts = task.read({"test": (written(tmp_path / "test.tsv", "@GENE$ lowers @DISEASE$.\tunknown\n"),)})
    encoded = task.encode(parts["test"].examples, bert, SETTINGS, ("false", "true"), training=False)
    assert len(encoded.features) == 1
    assert "labels" not in encoded.features[0]


def test_placeholders_too_far_apart_are_negative(bert, tmp_path: Path) -> None:
    task = RelationTableTask("mine")
    text = f"@GENE$ {'in mice ' * 40} @DISEASE$ was found.\ttrue\n@GENE$ lowers @DISEASE$.\tfalse\n"
    examples = task.read({"test": (written(tmp_path / "test.tsv", text),)})["test"].examples
    settings = replace(SETTINGS, max_length=40)
    encoded = task.encode(examples, bert, settings, ("false", "true"), training=True)
    assert (encoded.places, dict(encoded.shortened)) == ((1,), {TOO_FAR_APART: 1})
    outputs = [np.array([0, 1], dtype=np.float32)]
    assert task.predictions(examples, encoded, outputs, ("false", "true")) == ("false", "true")


def test_the_development_tenth_depends_on_nothing_but_the_sentences(tmp_path: Path) -> None:
    head, *lines = TABLE.splitlines()
    orders = (lines, lines[::-1], sorted(lines))
    found = []
    for number, order in enumerate(orders):
        file = written(tmp_path / str(number) / "train.tsv", "\n".join((head, *order)))
        parts = RelationTableTask("mine").read({"train": (file,)})
        texts = {part: {pair.text for pair in examples.examples} for part, examples in parts.items()}
        assert (len(texts["train"]), len(texts["development"])) == (27, 3)
        assert not texts["train"] & texts["development"]
        found.append(texts["development"])
    sentences = [line.split("\t")[0] for line in lines]
    expected = sorted(sentences, key=lambda sentence: hashlib.sha256(sentence.encode()).digest())[:3]
    assert found == [set(expected)] * 3


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    task = RelationTableTask("mine")
    train = written(tmp_path / "train.tsv", TABLE)
    test = written(tmp_path / "test.tsv", "@GENE$ lowers @DISEASE$.\t1\n@GENE$ in @DISEASE$.\t2\n")
    with pytest.raises(DamagedFileError, match=r"test\.tsv.*line 2: expected a label of \['0', '1'\]"):
        task.read({"train": (train,), "test": (test,)})
    train.write_text("@GENE$ lowers @DISEASE$.\tyes\n@GENE$ in @DISEASE$.\tno\n", encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"train\.tsv: expected the label false or 0 .* found no, yes"
    ):
        task.read({"train": (train,)})
