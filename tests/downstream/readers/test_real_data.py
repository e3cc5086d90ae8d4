"""The counts of published data sets, where they lie beside the checkout; every mention and answer stands at its offset."""

from pathlib import Path

import pytest

from megatron_bio.downstream.readers.bioasq import read_bioasq
from megatron_bio.downstream.readers.chemprot import PARTS, ChemProtFiles, read_chemprot
from megatron_bio.downstream.readers.iob import read_iob
from megatron_bio.downstream.readers.label_bias import bias_of_classes, bias_of_entities
from megatron_bio.downstream.readers.multiple_choice import read_medqa
from megatron_bio.downstream.readers.pubmedqa import read_pubmedqa
from megatron_bio.downstream.readers.squad import read_squad
from megatron_bio.tokens.data_file import DataFile

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")


@pytest.mark.parametrize(
    ("name", "sentences", "words", "entities"),
    [
        ("BC5CDR-chem/train", 4560, 118170, {"Chemical": 5203}),
        ("BC5CDR-disease/train", 4560, 118170, {"Disease": 4182}),
        ("NCBI-disease/train", 5424, 135701, {"Disease": 5134}),
        ("NCBI-disease/devel", 923, 23969, {"Disease": 787}),
        ("BC2GM/devel", 2519, 71042, {"GENE": 3061}),
    ],
)
def test_named_entities(name: str, sentences: int, words: int, entities: dict[str, int]) -> None:
    found = read_iob(DataFile(DATA / "ner" / f"{name}.tsv.gz"))
    assert len(found.sentences) == sentences
    assert sum(len(sentence.words) for sentence in found.sentences) == words
    assert found.entities_by_type() == entities
    assert not found.repaired
    by_lines, by_words = bias_of_entities(found)
    assert by_lines.minority + by_lines.rest == words + sentences
    assert by_words.minority + by_words.rest == words


@pytest.mark.parametrize(
    ("part", "documents", "entities", "gold", "labelled"),
    [
        ("training", 1020, 25752, 4157, 4147),
        ("development", 612, 15567, 2416, 2412),
        ("sample", 50, 1289, 239, 238),
    ],
)
def test_chemprot(part: str, documents: int, entities: int, gold: int, labelled: int) -> None:
    folder = DATA / "re" / "chemprot" / f"chemprot_{part}"
    found = read_chemprot(
        ChemProtFiles(name=part, **{kind: folder / f"chemprot_{part}_{kind}.tsv.gz" for kind in PARTS})
    )
    assert (found.documents, found.offsets_verified, len(found.gold)) == (documents, entities, gold)
    pairs = found.pairs_by_label()
    assert pairs.total() - pairs["false"] == labelled
    assert found.left_out["second class of a pair"] == gold - labelled
    assert found.left_out["evaluated relation across sentences"] == 0
    assert bias_of_classes(pairs, "pairs")[0].minority == labelled


def test_squad_and_bioasq_in_its_form() -> None:
    half = read_squad(DataFile(DATA / "qa" / "squad2-dev-half.json.gz"))
    assert (len(half.questions), half.offsets_verified) == (2805, 4190)
    factoid = read_squad(DataFile(DATA / "qa" / "bioasq7b-train-factoid-snippet.json.gz"))
    assert (len(factoid.questions), factoid.offsets_verified) == (5813, 5813)
    assert len({question.id.partition("_")[0] for question in factoid.questions}) == 559


def test_bioasq_golden() -> None:
    counts = {
        path.name[7:10]: len(read_bioasq(DataFile(path)).questions)
        for path in sorted((DATA / "qa").glob("bioasq-*_golden.json.gz"))
    }
    assert counts == {f"{year}B{batch}": 100 for year in (4, 5, 6) for batch in range(1, 6)} | {"4B5": 97}


def test_pubmedqa_and_medqa() -> None:
    pubmedqa = read_pubmedqa(DataFile(DATA / "qa" / "pubmedqa-train-dev.json.gz"))
    assert pubmedqa.counted(lambda question: question.label) == {"yes": 276, "no": 169, "maybe": 55}
    assert len(read_medqa(DataFile(DATA / "qa" / "medqa-us-4options-sample200.jsonl.gz")).questions) == 200
