"""All vocabularies over all data sets and texts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from megatron_bio.tokens.study.entity_words import EntityWords
from megatron_bio.tokens.study.vocabulary import Cuts, StudiedVocabulary

MOST_DIFFERENT_WORDS = 1 << 20
"""Different words of free text counted before they are cut; about 150 bytes each."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """The result: one entry of each list of cuts for each vocabulary, in the same order."""

    vocabularies: Sequence[StudiedVocabulary]
    entities: Sequence[EntityWords]
    entity_cuts: Sequence[Sequence[Cuts]]
    """[data sets][vocabularies]"""
    text_cuts: Sequence[Cuts]
    """[vocabularies], or empty without texts"""
    words: Sequence[str]
    pieces: Sequence[Sequence[Sequence[str]]]
    """[words][vocabularies]: the pieces of the word"""


def study(
    vocabularies: Sequence[StudiedVocabulary],
    entities: Sequence[EntityWords],
    texts: Iterable[str] | None,
    words: Sequence[str],
) -> Study:
    """Cut everything with every vocabulary; the texts are read once, in bounded memory."""
    return Study(
        vocabularies=vocabularies,
        entities=entities,
        entity_cuts=[[vocabulary.cut(dataset.words) for vocabulary in vocabularies] for dataset in entities],
        text_cuts=[] if texts is None else cut_texts(vocabularies, texts),
        words=words,
        pieces=[[vocabulary.pieces(word) for vocabulary in vocabularies] for word in words],
    )


def cut_texts(vocabularies: Sequence[StudiedVocabulary], texts: Iterable[str]) -> list[Cuts]:
    """Words are what stands between white space, as `TNF-α,`; each is cut once for many times that it stands there."""
    totals = [Cuts() for _ in vocabularies]
    counts: Counter[str] = Counter()

    def cut_counted() -> None:
        for vocabulary, total in zip(vocabularies, totals, strict=True):
            _add(total, vocabulary.cut(counts))
        counts.clear()

    for text in texts:
        counts.update(text.split())
        if len(counts) >= MOST_DIFFERENT_WORDS:
            cut_counted()
    cut_counted()
    return totals


def _add(total: Cuts, more: Cuts) -> None:
    total.words += more.words
    total.tokens += more.tokens
    total.whole += more.whole
    total.unknown += more.unknown
    total.unknown_tokens += more.unknown_tokens
