"""SentencePiece's BPE as WordPiece: which tokens come out, in which order, and how differently the two cut."""

import io
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece

from megatron_bio.config.tokens import TrainVocabularyOptions
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.sentence_pieces import as_wordpiece, compare_segmentations, learn_pieces
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import TRAINING_RECORD, build_wordpiece
from megatron_bio.tokens.vocabulary import train_vocabulary

WORDS = {"abab": 10, "ab": 5, "cd": 4}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture
def options(tmp_path: Path) -> TrainVocabularyOptions:
    path = tmp_path / "d.jsonl.zst"
    with DocumentWriter(path) as writer:
        for number in range(40):
            text = f"Acetylcholine binds acetylcholinesterase, {'cholinesterase ' * (number % 3)} in Zürich; TNF-α."
            writer.write(Document(id=str(number), title="Choline", text=text))
    return TrainVocabularyOptions(
        inputs=[str(path)],
        output=tmp_path / "t",
        method="sentencepiece",
        size=84,
        show_words=[],
        progress=False,
    )


def tokens_of(folder: Path) -> list[str]:
    return (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]


def test_special_then_unused_then_every_character_in_both_forms_then_pieces(
    options: TrainVocabularyOptions,
) -> None:
    train_vocabulary(replace(options, unused=3))
    tokens = tokens_of(options.output)
    characters = sorted({*"AcetylcholinebindsacetylcholinesteraseinZürichTNF-α.,;C"})
    fixed = [*SPECIAL, "[unused0]", "[unused1]", "[unused2]", *characters]
    assert tokens[: len(fixed)] == fixed
    inside = [f"##{character}" for character in characters]
    assert tokens[len(fixed) : len(fixed) + len(inside)] == inside
    learned = tokens[len(fixed) + len(inside) :]
    assert len(tokens) == len(set(tokens)) == 84
    assert learned
    assert all(len(token.removeprefix("##")) > 1 for token in learned)
    assert "##choline" in learned
    tokenizer = Tokenizer.load(options.output)
    assert (tokenizer.pad, tokenizer.mask) == (0, 4)


def test_the_order_of_the_pieces_is_that_of_the_merges() -> None:
    """a with b stands together 25 times, 15 of them after the start of a word, then twice in a word 10 times."""
    learned = learn_pieces(WORDS, list("abcd"), wanted=9, minimum_frequency=1)
    assert learned.pieces == ["##ab", "ab", "abab", "##cd", "cd"]
    assert learn_pieces(WORDS, list("abcd"), wanted=2, minimum_frequency=1).pieces == ["##ab", "ab"]


def test_the_model_has_the_pieces_of_the_vocabulary_and_no_more() -> None:
    learned = learn_pieces(WORDS, list("abcd"), wanted=2, minimum_frequency=1)
    processor = sentencepiece.SentencePieceProcessor(model_proto=learned.model)
    assert processor.encode("abab", out_type=str) == ["▁ab", "ab"]
    known = {processor.id_to_piece(number) for number in range(processor.get_piece_size())}
    assert known == {"<unk>", "▁", "a", "b", "c", "d", "ab", "▁ab"}


def test_rare_pieces_and_pieces_of_no_word_are_left_out() -> None:
    words = {"xyz": 7, "pq": 2}
    learned = learn_pieces(words, list("xyzpq"), wanted=50, minimum_frequency=3)
    assert "xyz" in learned.pieces
    assert "pq" not in learned.pieces
    assert "pq" in learn_pieces(words, list("xyzpq"), wanted=50, minimum_frequency=2).pieces
    # Asked for more than there is, SentencePiece goes on with pairs that are merged already, such as yz.
    assert learned.pieces == ["##xy", "##xyz", "xyz"]


def test_words_outside_the_alphabet_are_not_learned_from() -> None:
    learned = learn_pieces({"abb": 5, "abé": 9}, list("ab"), wanted=9, minimum_frequency=1)
    assert learned.words == Counter({"abb": 5})
    with pytest.raises(TokenizerError, match="expected words of the 1 most frequent characters"):
        learn_pieces({"ab": 5}, ["c"], wanted=9, minimum_frequency=1)


@pytest.mark.parametrize(("piece", "token"), [("▁ab", "ab"), ("ab", "##ab"), ("▁a▁", "a▁")])
def test_as_wordpiece(piece: str, token: str) -> None:
    assert as_wordpiece(piece) == token


def test_the_difference_is_counted_by_occurrence() -> None:
    """SentencePiece joins what it learned first, WordPiece takes the longest: `abc` is a bc, or ab c."""
    words = {"bc": 100, "xbc": 50, "ab": 40, "abc": 3}
    learned = learn_pieces(words, list("abcx"), wanted=9, minimum_frequency=4)
    fixed = [*SPECIAL, *"abcx", *(f"##{character}" for character in "abcx")]
    core = build_wordpiece({token: number for number, token in enumerate([*fixed, *learned.pieces])}, False)
    difference = compare_segmentations(learned, core)
    assert (difference.words, difference.different) == (193, 3)
    assert (difference.distinct_words, difference.distinct_different) == (4, 1)
    assert difference.examples == [("abc", ["a", "##bc"], ["ab", "##c"])]


def test_a_start_of_a_word_that_stands_alone_is_no_difference() -> None:
    """With two pieces only, SentencePiece cuts cd into its mark, c and d, and WordPiece into c and ##d."""
    learned = learn_pieces(WORDS, list("abcd"), wanted=2, minimum_frequency=1)
    fixed = [*SPECIAL, *"abcd", *(f"##{character}" for character in "abcd")]
    core = build_wordpiece({token: number for number, token in enumerate([*fixed, *learned.pieces])}, False)
    processor = sentencepiece.SentencePieceProcessor(model_proto=learned.model)
    assert processor.encode("cd", out_type=str) == ["▁", "c", "d"]
    assert compare_segmentations(learned, core).different == 0


def test_the_record_and_the_report_say_how_differently_they_cut(
    options: TrainVocabularyOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    train_vocabulary(options)
    record = json.loads((options.output / TRAINING_RECORD).read_text())
    difference = record["cut_differently_by_sentencepiece"]
    assert difference["words"] == 519  # Words and punctuation marks, counted by hand.
    assert 0 <= difference["different"] < difference["words"]
    assert record["library"].startswith("sentencepiece ")
    line = f"cut {difference['different']:,} of 519 words differently"
    assert line in capsys.readouterr().out


def test_lower_case(options: TrainVocabularyOptions) -> None:
    train_vocabulary(replace(options, lowercase=True))
    tokens = tokens_of(options.output)[5:]
    assert [token for token in tokens if token != token.lower()] == []
    assert "ü" not in tokens
    config = json.loads((options.output / "tokenizer_config.json").read_text())
    assert config["do_lower_case"] is True


def test_every_piece_can_be_used(options: TrainVocabularyOptions) -> None:
    """No piece holds what BERT's pre-tokenizer cuts apart, as SentencePiece's own of running text do."""
    train_vocabulary(replace(options, size=200))
    for token in tokens_of(options.output)[5:]:
        if len(text := token.removeprefix("##")) > 1:
            assert text.isalpha(), token


def test_two_processes_make_the_same_folder(options: TrainVocabularyOptions, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from megatron_bio.config.tokens import TrainVocabularyOptions;"
        "from megatron_bio.tokens.vocabulary import train_vocabulary;"
        "train_vocabulary(TrainVocabularyOptions("
        "inputs=[sys.argv[1]], output=Path(sys.argv[2]), method='sentencepiece', size=150))"
    )
    folders = [tmp_path / "0", tmp_path / "1"]
    for seed, folder in enumerate(folders):
        command = [sys.executable, "-c", program, options.inputs[0], str(folder)]
        environment = os.environ | {"PYTHONHASHSEED": str(seed)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]
    assert "vocab.txt" in contents[0]


def test_size_below_the_characters_is_refused(options: TrainVocabularyOptions) -> None:
    with pytest.raises(TokenizerError, match=r"inside words, 5 special tokens, 9 unused ones\), found 30"):
        train_vocabulary(replace(options, size=30, unused=9))
    assert not options.output.exists()


def test_words_count_as_often_as_they_stand_in_the_text() -> None:
    """A word with a count is what SentencePiece learns from that many lines with the word."""
    words = {"acetyl": 6, "acetylcholine": 3, "choline": 5, "chol": 2}
    lines = [word for word, count in words.items() for _ in range(count)]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=written, model_type="bpe", vocab_size=25,
        hard_vocab_limit=False, character_coverage=1.0, max_sentencepiece_length=64, minloglevel=2,
        normalization_rule_name="identity", bos_id=-1, eos_id=-1,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = [processor.id_to_piece(number) for number in range(processor.get_piece_size())]
    expected = [as_wordpiece(piece) for piece in pieces[1:] if len(piece.removeprefix("▁")) > 1]
    learned = learn_pieces(words, sorted(set("".join(words))), wanted=100, minimum_frequency=1).pieces
    assert learned[: len(expected)] == expected[: len(learned)]
    assert len(learned) > 5
