"""How finely vocabularies cut words, against numbers counted by hand and those of the paper."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.vocabulary_study import StudyVocabularyOptions
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.study import measure
from megatron_bio.tokens.study.entity_words import read_entity_words
from megatron_bio.tokens.study.names import name_inputs
from megatron_bio.tokens.study.run import study_vocabularies

REAL = Path(__file__).parents[4] / "shared" / "data"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CASED = [*SPECIAL, "pro", "##biotic", "##s", "acid", "Acid", "-", "of"]
UNCASED = [*SPECIAL, "probiotic", "##s", "acid", "##ic", "of", "-"]
IOB = "-DOCSTART-\tO\n\nprobiotics\tB-Chemical\nof\tO\nacid\tB-Chemical\n-\tI-Chemical\nzinc\tI-Chemical\nacid\tS\n"


def vocabulary(path: Path, tokens: list[str]) -> Path:
    path.write_text("\n".join(tokens))
    return path


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "tags.tsv.gz").write_bytes(gzip.compress(IOB.encode()))
    with DocumentWriter(tmp_path / "d.jsonl.zst") as writer:
        writer.write(Document(id="1", title="Acid", text="of of probiotics\nacidic-acid"))
    return {
        "vocabularies": [
            f"cased={vocabulary(tmp_path / 'c.txt', CASED)}",
            str(vocabulary(tmp_path / "uncased.txt", UNCASED)),
        ],
        "entities": [f"chem={tmp_path / 'tags.tsv.gz'}"],
        "texts": [str(tmp_path / "d.jsonl.zst")],
        "words": ["probiotic", "Acidic"],
        "output": tmp_path / "study",
        "picture": False,
    }


def run(inputs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    options = StudyVocabularyOptions(**(inputs | changes))
    study_vocabularies(options)
    assert options.output is not None
    content: dict[str, Any] = json.loads((options.output / "study.json").read_text(encoding="utf-8"))
    return content


def test_entity_words(inputs: dict[str, Any]) -> None:
    chem = run(inputs)["entities"]["chem"]
    assert (chem["entity_words"], chem["all_words"]) == (5, 6)
    # pro ##biotic ##s, acid, -, [UNK], acid.
    assert chem["cuts"]["cased"] == {
        "words": 5, "tokens": 7, "whole": 3, "unknown": 1, "unknown_tokens": 1, "tokens_per_word": 1.4,
    }  # fmt: skip
    assert chem["cuts"]["uncased"]["tokens"] == 6


def test_free_text(inputs: dict[str, Any]) -> None:
    text = run(inputs)["text"]
    # Acid, of, of, pro ##biotic ##s, then [UNK] - acid.
    assert text["cased"] == {
        "words": 5, "tokens": 9, "whole": 3, "unknown": 1, "unknown_tokens": 1, "tokens_per_word": 1.8,
    }  # fmt: skip
    # acid, of, of, probiotic ##s, acid ##ic - acid.
    assert text["uncased"]["tokens"] == 9
    assert text["uncased"]["unknown"] == 0


def test_text_in_many_portions_counts_the_same(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DocumentWriter(tmp_path / "d.jsonl.zst") as writer:
        for number in range(9):
            writer.write(Document(id=str(number), text=f"of acid probiotics {'of ' * number}"))
    whole = run(inputs)["text"]
    monkeypatch.setattr(measure, "MOST_DIFFERENT_WORDS", 3)
    assert run(inputs)["text"] == whole
    assert whole["cased"]["words"] == 9 * 3 + 36


def test_pieces_and_tables(inputs: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    content = run(inputs)
    assert content["pieces"] == {
        "probiotic": {"cased": ["pro", "##biotic"], "uncased": ["probiotic"]},
        "Acidic": {"cased": ["[UNK]"], "uncased": ["acid", "##ic"]},
    }
    printed = capsys.readouterr().out
    written = (inputs["output"] / "study.txt").read_text(encoding="utf-8")
    assert printed.startswith(written)
    rows = [line.split() for line in written.split("\n")]
    # The unknown words are named, for [UNK] is one token and flatters the rate.
    assert rows[1] == [
        "cased",
        "12",
        "cased",
        "1.400",
        "(1",
        "unknown)",
        "1.800",
        "60.0",
        "%",
        "11.1111",
        "%",
    ]
    assert rows[2][:3] == ["uncased", "11", "uncased"]
    markdown = (inputs["output"] / "study.md").read_text(encoding="utf-8").split("\n")
    assert "| cased | 12 | cased | 1.400 (1 unknown) | 1.800 | 60.0 % | 11.1111 % |" in markdown
    assert "| uncased | probiotic | acid ##ic |" in markdown


def test_without_texts_entities_and_words(inputs: dict[str, Any]) -> None:
    content = run(inputs, texts=[], entities=[], words=[])
    assert (content["text"], content["entities"], content["pieces"]) == (None, {}, {})
    assert content["vocabularies"]["uncased"]["tokens"] == len(UNCASED)


def test_byte_level_words_stand_behind_a_space(inputs: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "gpt"
    folder.mkdir()
    tokens = ["<|endoftext|>", "Ġ", "o", "f", "Ġo", "Ġof"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nĠ o\nĠo f\n")
    content = run(inputs, vocabularies=[str(folder)], entities=[], texts=[], words=["of"])
    assert content["pieces"] == {"of": {"gpt": ["Ġof"]}}
    assert content["vocabularies"]["gpt"]["kind"] == "bpe"


def test_a_vocabulary_that_could_not_be_trained_with_is_studied(
    inputs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without special tokens and with a token on two lines, as a SciBERT file that goes around."""
    path = vocabulary(tmp_path / "odd.txt", ["[UNK]", "[UNK]", "acid"])
    content = run(inputs, vocabularies=[str(path)], texts=[])
    assert content["entities"]["chem"]["cuts"]["odd"]["unknown"] == 3
    assert content["vocabularies"]["odd"]["tokens"] == 2
    assert "odd: '[UNK]' stands more than once in the file" in capsys.readouterr().out


def test_the_picture(inputs: dict[str, Any], tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    pytest.importorskip("matplotlib", reason="the picture is drawn with matplotlib (extra: corpus)")
    pictures = set()
    for folder in ("a", "b"):
        run(inputs, picture=True, output=tmp_path / folder)
        pictures.add((tmp_path / folder / "study.png").read_bytes())
    assert len(pictures) == 1, "the same study gives the same picture"
    assert pictures.pop().startswith(b"\x89PNG")
    run(inputs, picture=True, texts=[], entities=[], words=[])  # Nothing to draw.
    run(inputs, picture=True, texts=[], entities=[], words=["$\\alpha$ " + "x" * 99])
    assert [str(warning.message) for warning in recwarn if "matplotlib" in str(warning.filename)] == []


def test_the_place_without_a_panel_stays_empty(
    inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure", reason="the picture is drawn with matplotlib").Figure
    shown: list[bool] = []
    save = figure.savefig

    def look_and_save(drawn: Any, *arguments: Any, **options: Any) -> None:
        shown.extend(panel.axison for panel in drawn.axes)
        save(drawn, *arguments, **options)

    monkeypatch.setattr(figure, "savefig", look_and_save)
    run(inputs, picture=True, texts=[], words=[])
    assert shown == [True, False]


def test_without_matplotlib(inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TokenizerError, match="--picture false"):
        run(inputs, picture=True)
    assert not inputs["output"].exists()


def test_names(tmp_path: Path) -> None:
    for name in ("a/vocab.txt", "b/train.tsv.gz", "c/scibert.v2.txt", "x=y.txt", "d.v1/tokenizer.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    entries = [str(tmp_path / name) for name in ("a/vocab.txt", "b/train.tsv.gz", "c/scibert.v2.txt", "d.v1")]
    named = name_inputs("--x", [*entries, "mine=a/b.txt", str(tmp_path / "x=y.txt")])
    assert list(named) == ["a", "b", "scibert", "d.v1", "mine", "x=y"]
    assert named["mine"] == Path("a/b.txt")
    assert list(name_inputs("--x", [str(tmp_path / "d.v1" / "tokenizer.json")])) == ["d.v1"]
    with pytest.raises(TokenizerError, match=r"--x: expected a name of its own .*'a' for .* Write NAME=PATH"):
        name_inputs("--x", [entries[0], "a=other.txt"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("aspirin\tB\nword\n", r"line 2: expected a token and an IOB tag, found 'word'"),
        ("aspirin\tB\n\tI\n", "line 2"),
        ("aspirin\tDrug\n", "line 1"),
        ("of\tO\n", "found 1 words and all tagged O"),
    ],
)
def test_damaged_data_sets(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "d.tsv").write_text(content)
    with pytest.raises(DamagedFileError, match=message):
        read_entity_words("d", tmp_path / "d.tsv")


def test_columns_by_spaces_and_other_tags(tmp_path: Path) -> None:
    """CoNLL-2003 has four columns; the first is the word and the last the tag."""
    (tmp_path / "d.txt").write_text(
        "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nα NN B-NP U-X\n", encoding="utf-8"
    )
    data = read_entity_words("d", tmp_path / "d.txt")
    assert (data.words, data.all_words) == ({"EU": 1, "α": 1}, 3)


def test_nothing_is_written_when_an_input_is_missing_or_there_twice(inputs: dict[str, Any]) -> None:
    with pytest.raises(TokenizerError, match="expected a tokenizer folder"):
        run(inputs, vocabularies=["absent"])
    merges = vocabulary(inputs["output"].parent / "merges.txt", ["#version: 0.2", "t h", "i n"])
    with pytest.raises(TokenizerError, match=r"merges\.txt: expected a WordPiece vocabulary with \[UNK\]"):
        run(inputs, vocabularies=[str(merges)])
    with pytest.raises(CorpusError, match=r"absent\.jsonl"):
        run(inputs, texts=["absent.jsonl"])
    Path(f"{inputs['texts'][0]}.link").symlink_to(inputs["texts"][0])
    with pytest.raises(CorpusError, match="which are the same file"):
        run(inputs, texts=[inputs["texts"][0], f"{inputs['texts'][0]}.link"])
    with pytest.raises(CorpusError, match="absent"):
        run(inputs, entities=["absent.tsv"])
    assert not inputs["output"].exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabularies": []}, "--vocabularies"),
        ({"vocabularies": [""]}, "--vocabularies"),
        ({"words": [" "]}, "--words"),
    ],
)
def test_refused_options(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        StudyVocabularyOptions(**({"vocabularies": ["a"]} | change))


def test_command_line(inputs: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "vocabulary",
        "study",
        *inputs["vocabularies"],
        "--entities",
        *inputs["entities"],
        "--words",
        "acid",
        "of",
    ]
    assert main(words) == 0
    assert "1.400 (1 unknown)" in (printed := capsys.readouterr().out)
    assert "  of\n" in printed


def test_table_4_of_the_paper(tmp_path: Path) -> None:
    """BERT's cased vocabulary: 3.012 tokens a word of chemicals and 2.42 of diseases."""
    if not REAL.exists():
        pytest.skip(f"no real data at {REAL}")
    options = StudyVocabularyOptions(
        vocabularies=[str(REAL / "vocab/bert-cased.txt"), str(REAL / "vocab/scibert-uncased.txt")],
        entities=[str(REAL / f"ner/BC5CDR-{kind}/train.tsv.gz") for kind in ("chem", "disease")],
        output=tmp_path,
        picture=False,
    )
    study_vocabularies(options)
    content = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    rates = {
        name: round(data["cuts"]["bert-cased"]["tokens_per_word"], 2)
        for name, data in content["entities"].items()
    }
    assert rates == {"BC5CDR-chem": 3.01, "BC5CDR-disease": 2.4}
    assert content["vocabularies"]["scibert-uncased"]["lowercase"] is True
    assert content["entities"]["BC5CDR-chem"]["cuts"]["scibert-uncased"]["unknown"] == 0
