"""Words as BERT cuts them, counted in bounded memory."""

from tokenizers import normalizers, pre_tokenizers

from megatron_bio.tokens.word_counts import count_words

PRE = pre_tokenizers.BertPreTokenizer()


def test_words() -> None:
    counted = count_words(
        ["Zürich, (IL-2)", "il-2 IL-2\tzürich"], normalizers.BertNormalizer(lowercase=False), PRE
    )
    assert counted.words == {
        "Zürich": 1,
        ",": 1,
        "(": 1,
        ")": 1,
        "IL": 2,
        "-": 3,
        "2": 3,
        "il": 1,
        "zürich": 1,
    }
    assert (counted.forgotten, counted.too_long) == (0, 0)


def test_lower_case() -> None:
    counted = count_words(["Zürich zurich"], normalizers.BertNormalizer(lowercase=True), PRE)
    assert counted.words == {"zurich": 2}


def test_words_that_bert_makes_unknown_are_left_out() -> None:
    counted = count_words([f"{'a' * 100} {'b' * 101} {'b' * 101}"], normalizers.BertNormalizer(), PRE)
    assert counted.words == {"a" * 100: 1}
    assert counted.too_long == 2


def test_rare_chunks_are_forgotten_when_there_are_too_many() -> None:
    texts = ["a a a b b", "c d", "e a"]
    counted = count_words(texts, normalizers.BertNormalizer(), PRE, most_chunks=3)
    # After the second text four chunks are too many; a is kept alone.
    assert counted.words == {"a": 4, "e": 1}
    assert counted.forgotten == 4
    assert count_words(texts, normalizers.BertNormalizer(), PRE, most_chunks=9).forgotten == 0
