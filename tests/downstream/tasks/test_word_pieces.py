import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from megatron_bio import native
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.readers.iob import read_iob
from megatron_bio.downstream.tasks import word_pieces
from megatron_bio.downstream.tasks.word_pieces import WordPieces
from megatron_bio.tokens.data_file import DataFile

transformers = pytest.importorskip("transformers")

WORDS = [
    "Aspirin",
    "HbA1c",
    "(IL-6)",
    "\u00ad",
    "\x00\x01",
    "心筋",
    "🧬",
    "e\u0301",
    "A" * 300,
    "##s",
    "[SEP]",
    "ﬁ",
    "naïve",
]


def library(tokenizer, words: list[str]) -> list[list[int]]:
    encoded = tokenizer([words], is_split_into_words=True, add_special_tokens=False)
    found: list[list[int]] = [[] for _ in words]
    for piece, word in zip(encoded["input_ids"][0], encoded.word_ids(0), strict=True):
        found[word].append(piece)
    return found


@pytest.fixture(params=["bert", "gpt"])
def tokenizer(request: pytest.FixtureRequest):
    folder = request.getfixturevalue(f"tiny_{request.param}")
    return transformers.AutoTokenizer.from_pretrained(folder, add_prefix_space=True)


def assert_equal(tokenizer, words: list[str]) -> None:
    pieces = WordPieces(tokenizer)
    expected = [tuple(found) or (pieces.unknown,) for found in library(tokenizer, words)]
    assert pieces.pieces(words) == expected


def test_equal_to_the_library_on_odd_words(tokenizer) -> None:
    assert_equal(tokenizer, WORDS)
    assert_equal(tokenizer, WORDS[::-1])


@given(words=st.lists(st.text(min_size=1), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_equal_to_the_library_on_any_words(tiny_bert_tokenizer, words: list[str]) -> None:
    assert_equal(tiny_bert_tokenizer, words)


@pytest.fixture(scope="module")
def tiny_bert_tokenizer(tiny_bert: Path):
    return transformers.AutoTokenizer.from_pretrained(tiny_bert)


@pytest.mark.skipif(native.compiled is None, reason="compiled parts are not built")
def test_a_berts_words_go_through_compiled_code(tiny_bert_tokenizer) -> None:
    assert WordPieces(tiny_bert_tokenizer)._compiled is not None


def test_equal_without_compiled_parts(tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_pieces, "load", lambda core: None)
    assert_equal(tokenizer, WORDS)


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
def test_a_mark_of_the_beginning_is_set_before_every_word(scheme: str) -> None:
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    core.train_from_iterator(
        ["fever and chills"] * 9, trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>"])
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    assert_equal(tokenizer, ["fever", "chills", "fever", "and", *WORDS])


def test_a_tokenizer_without_a_space_before_words_is_named(tiny_gpt: Path) -> None:
    tokenizer = transformers.GPT2TokenizerFast.from_pretrained(tiny_gpt, add_prefix_space=False)
    with pytest.raises(ConfigurationError, match=r"space before each word.*add_prefix_space=True"):
        WordPieces(tokenizer)


def test_a_gpts_tokenizer_of_no_class_of_its_own_sets_spaces(tiny_gpt: Path, tmp_path: Path) -> None:
    from megatron_bio.downstream.evaluation.make_run import load_tokenizer

    core = transformers.GPT2TokenizerFast.from_pretrained(tiny_gpt).backend_tokenizer
    transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>").save_pretrained(
        tmp_path
    )
    tokenizer = load_tokenizer(tmp_path)
    ((first, *_),) = WordPieces(tokenizer).pieces(["fever"])
    assert tokenizer.convert_ids_to_tokens(first).startswith("\u0120")


def test_a_slow_tokenizer_is_named() -> None:
    class BertTokenizerLegacy:
        name_or_path = "old/model"
        is_fast = False

    with pytest.raises(
        ConfigurationError, match=r"old/model: expected a fast tokenizer.*BertTokenizerLegacy"
    ):
        WordPieces(BertTokenizerLegacy())


def test_a_word_without_pieces_and_no_unknown_token(tiny_bert: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.unk_token = None
    pieces = WordPieces(tokenizer)
    with pytest.raises(ConfigurationError, match="no unknown token"):
        pieces.pieces(["\u00ad"])


@pytest.mark.parametrize("added", [[], ["IL-6", "aspirin"]])
def test_added_tokens_are_found_in_words(tiny_bert: Path, added: list[str]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.add_tokens(added)
    assert_equal(
        tokenizer, [*WORDS, "x[MASK]y", "[sep]", "anti-IL-6", "Aspirin", "aspirins", "İ", "a\u00a0b"]
    )


DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("vocabulary", ["bert-cased", "bert-uncased", "gpt2"])
def test_equal_to_the_library_on_real_words(vocabulary: str, tmp_path: Path) -> None:
    tokenizer = real_tokenizer(vocabulary, tmp_path)
    sentences = read_iob(DataFile(DATA / "ner" / "BC5CDR-chem" / "devel.tsv.gz")).sentences
    words = list(dict.fromkeys(word for sentence in sentences for word in sentence.words))
    assert len(words) > 9_000
    assert len(tokenizer) > 28_000
    assert_equal(tokenizer, [*words, *WORDS])


def real_tokenizer(vocabulary: str, folder: Path):
    if vocabulary == "gpt2":
        (folder / "vocab.json").write_bytes(gzip.decompress((DATA / "vocab/gpt2-vocab.json.gz").read_bytes()))
        (folder / "merges.txt").write_bytes((DATA / "vocab/gpt2-merges.txt").read_bytes())
        return transformers.GPT2TokenizerFast.from_pretrained(folder, add_prefix_space=True)
    (folder / "vocab.txt").write_bytes((DATA / f"vocab/{vocabulary}.txt").read_bytes())
    return transformers.BertTokenizerFast.from_pretrained(folder, do_lower_case="uncased" in vocabulary)
