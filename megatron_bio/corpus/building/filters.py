"""Which documents are no text to train on; the first reason that matches counts."""

import re
import string
from dataclasses import dataclass

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.corpus.building.boilerplate import is_boilerplate
from megatron_bio.corpus.building.language import is_wanted
from megatron_bio.corpus.document import Document

_ASCII_LETTERS = bytes(ord(letter) for letter in string.ascii_letters)
MOST_SEQUENCES = 0.5
_SEQUENCES = re.compile(r"(?<![^\W\d_])(?:[ACGTUN]+|[acgtun]+|[A-Za-z]{30,})(?![^\W\d_])")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True)
class Filters:
    """The filters that the options ask for."""

    options: BuildCorpusOptions

    def reason(self, document: Document, words: int) -> str:
        """Why a normalised document of so many words is dropped, or "" when it is kept."""
        options, text, meta = self.options, document.text, document.meta
        if not words:
            return "no text"
        if options.drop_title_only and meta.get("title_only") is True:
            return "only a title"
        if options.drop_retracted and meta.get("retracted") is True:
            return "retracted"
        if options.drop_retracted and meta.get("abstract_withdrawn") is True:
            return "abstract withdrawn"
        if options.drop_boilerplate and is_boilerplate(document.title, text, words):
            return "boilerplate"
        if words < options.minimum_words:
            return f"fewer than {options.minimum_words} words"
        if 0 < options.maximum_words < words:
            return f"more than {options.maximum_words} words"
        if not is_wanted(text, meta.get("languages"), options.languages):
            return self._reason_of_strangeness(text)
        if symbol_fraction(text) > options.symbol_fraction:
            return "mostly numbers and symbols"
        if repeated_fraction(text) > options.repeated_fraction:
            return "repeated lines"
        return ""

    def _reason_of_strangeness(self, text: str) -> str:
        """Why a text is in none of the wanted languages: what is no language at all would be told as some language."""
        if symbol_fraction(text) > self.options.symbol_fraction:
            return "mostly numbers and symbols"
        return "mostly sequences" if sequence_fraction(text) > MOST_SEQUENCES else "other language"


def sequence_fraction(text: str) -> float:
    """The part of the letters of a text that stand in words of bases (`ACGT`, `acgu`), or in words too long for any language.

    These are of ASCII only, since Chinese has no spaces: sequences of proteins, and what was glued together.
    """
    letters = sum(map(str.isalpha, text))
    return sum(len(match[0]) for match in _SEQUENCES.finditer(text)) / max(1, letters)


def symbol_fraction(text: str) -> float:
    """The part of the characters of a normalised text, white space apart, that are no letters."""
    beyond = [] if text.isascii() else _BEYOND_ASCII.findall(text)
    ascii_without_letters = text.encode("ascii", "ignore").translate(None, _ASCII_LETTERS + b" \n")
    symbols = len(ascii_without_letters) + sum(not character.isalpha() for character in beyond)
    return symbols / max(1, len(text) - text.count(" ") - text.count("\n"))


def repeated_fraction(text: str) -> float:
    """The part of the characters of a normalised text that stand in lines that are equal to an earlier line."""
    lines = text.split("\n")
    return (sum(map(len, lines)) - sum(map(len, set(lines)))) / max(1, len(text))
