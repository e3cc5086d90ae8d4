"""Where the sentences and words of a text begin and end, in characters."""

import re

from megatron_bio.tokens.sentences import split_sentences

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")

Range = tuple[int, int]
"""Beginning and end (exclusive), in characters."""


def sentence_ranges(text: str, start: int = 0) -> list[Range]:
    """The sentences of `text`, which begins at `start` of a longer one; white space between them belongs to none."""
    ranges = []
    position = 0
    for sentence in split_sentences(text):
        position = text.index(sentence, position)
        ranges.append((start + position, start + position + len(sentence)))
        position += len(sentence)
    return ranges


def word_ranges(text: str) -> list[Range]:
    """Runs of letters and digits, and every other character that is no white space by itself, as BERT's first cut."""
    return [match.span() for match in _WORD.finditer(text)]


def document_sentences(title: str, abstract: str) -> list[Range]:
    """The sentences of `title + " " + abstract`; the title is one or more of its own."""
    return [*sentence_ranges(title), *sentence_ranges(abstract, len(title) + 1)]
