"""The quick way to clean a whole text against `clean` of each of its parts."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from megatron_bio.corpus.characters import STABLE_CHARACTERS, clean, clean_parts

SEPARATOR = "\ufdd0"
ANY = st.characters(exclude_categories=["Cs"], exclude_characters=SEPARATOR)
# Spaces, marks that combine, composed forms, letters of Hangul and of Indic scripts that combine, invisible characters.
TELLING = st.sampled_from(
    list(
        "a e\t\n\r\u00a0\u2009\u2028\x85\u0301\u0323\u00e9\u03b1\u2126\u212b\u1100\u1161\u11a8\u09c7\u09be\u00ad\u200b\ufeff\x01²–"
    )
)
PARTS = st.lists(st.text(TELLING | ANY, max_size=20), max_size=6)


@given(parts=PARTS)
@example(parts=["e", "\u0301"])
@example(parts=["\u200b", "a \u200b b"])
@settings(max_examples=400, deadline=None)
def test_equals_clean_of_each_part(parts: list[str]) -> None:
    text = SEPARATOR.join(parts)
    assert clean_parts(text.encode(), SEPARATOR) == [cleaned for part in parts if (cleaned := clean(part))]


@pytest.mark.parametrize("before", ["e", "α", "\u1100", "\u09c7", "≠", "²"])
def test_no_stable_character_changes_with_another_before_it(before: str) -> None:
    for character in STABLE_CHARACTERS:
        pair = before + character
        assert unicodedata.normalize("NFC", pair) == pair and clean(pair) == pair
