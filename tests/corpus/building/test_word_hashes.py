import hashlib

import numpy as np

from megatron_bio.corpus.building.word_hashes import Words
from megatron_bio.corpus.characters import clean

TEXT = (
    "Of 20 rats (male), ten died. The other ten, fed with café-au-lait, lived on!\nA new line: α-tocopherol."
)


def test_words_are_lower_case_letters_and_digits() -> None:
    assert Words.of(TEXT).content.decode() == (
        "of 20 rats male ten died\nthe other ten fed with café au lait lived on\na new line α tocopherol"
    )
    assert Words.of("  (!) –  ").content == b"" and Words.of("").count() == 0
    assert Words.of(TEXT).count() == 21


def test_digest_is_of_letters_and_digits_alone() -> None:
    words = "of20ratsmaletendiedtheothertenfedwithcaféaulaitlivedonanewlineαtocopherol"
    digest = hashlib.blake2b(words.encode(), digest_size=16).digest()
    assert Words.of(TEXT).digest() == (int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big"))
    assert Words.of(TEXT.upper().replace(",", " ;").replace("\n", " ")).digest() == Words.of(TEXT).digest()
    assert Words.of("1,2-diol, 1,000 anti-rats").digest() == Words.of("12-DIOL 1000 ANTI RATS").digest()
    assert Words.of(TEXT.replace("rats", "mice")).digest() != Words.of(TEXT).digest()


def test_capitals_of_any_script_have_the_digest_of_the_text() -> None:
    """As they are read: `upper` may take characters apart that the normal form of a corpus joins in another way."""
    letters = [
        letter for letter in map(chr, range(0x110000)) if letter.upper() != letter or letter.lower() != letter
    ]
    letters += ["ß", "ﬁ", "ŉ", "ΐ", "ı", "µ", "ς"]
    assert len(letters) > 100
    for letter in {*letters, *(letter.upper() for letter in letters)}:
        word = clean(f"x{letter}y")
        assert Words.of(clean(word.upper())).digest() == Words.of(word).digest(), letter
        assert Words.of("xy").digest() != Words.of(word).digest() or not letter.isalpha()


def test_equal_runs_of_words_have_equal_hashes_wherever_they_stand() -> None:
    first = Words.of("zero one two three four. Five six").shingles(3)
    second = Words.of("one, two, three").shingles(3)
    assert len(first) == 5 and len(np.unique(first)) == 5
    assert second.tolist() == [first[1]]
    assert Words.of("four five six").shingles(3)[0] == first[4], "the end of a sentence is no part of a run"
    assert Words.of("one two").shingles(3).tolist() == Words.of("one two").shingles(2).tolist()
    assert Words.of("").shingles(3).tolist() == []


def test_hashes_are_those_of_the_formula() -> None:
    """By Python's integers, so that they are the same on every machine."""
    from megatron_bio.corpus.building.word_hashes import BASE, _table

    content = b"one two three"
    raw = sum(int(_table()[byte]) * pow(BASE, power, 2**64) for power, byte in enumerate(content)) % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        raw = ((raw ^ (raw >> shift)) * factor) % 2**64
    raw ^= raw >> 31
    assert Words.of("One two three").shingles(3).tolist() == [raw]
    assert Words.of("Zero one two three").shingles(3)[1] == raw


def test_sentences_of_enough_words_each_once() -> None:
    one, two = "One two three four five six seven eight.", "Nine ten eleven twelve."
    words = Words.of(f"{one} {two} {one}\n{one.upper()} {one[:-7]}")
    sentences = words.sentences(8)
    assert sentences.words.tolist() == [8]
    assert sentences.keys.tolist() == Words.of(one).sentences(8).keys.tolist()
    assert sorted(words.sentences(4).words.tolist()) == [4, 7, 8]
    assert (np.diff(words.sentences(4).keys) > 0).all() and len(words.sentences(4).keys) == 3
    assert Words.of("").sentences(8).keys.tolist() == []
