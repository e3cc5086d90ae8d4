"""How often each word occurs in a stream of texts, in bounded memory; words as BERT cuts them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from tokenizers import normalizers, pre_tokenizers

MOST_CHUNKS = 1 << 22
"""Different chunks counted at a time, about 150 bytes each."""
LONGEST_WORD = 100
"""Characters; BERT makes [UNK] of a longer word."""


@dataclass(frozen=True, kw_only=True)
class WordCounts:
    """Words of BERT's pre-tokenizer after its normaliser."""

    words: Counter[str]
    forgotten: int
    """Occurrences of rare chunks that were not kept, for there were too many different ones."""
    too_long: int
    """Occurrences of words of more than 100 characters."""


def count_words(
    texts: Iterable[str],
    normalizer: normalizers.Normalizer,
    pre_tokenizer: pre_tokenizers.PreTokenizer,
    most_chunks: int = MOST_CHUNKS,
) -> WordCounts:
    """Count the words of `texts`.

    Chunks between white space are counted first and each different one is cut once. When there are more than
    `most_chunks` different ones, the rarest of them are forgotten, but never more than half.
    """
    chunks: Counter[str] = Counter()
    forgotten = 0
    for text in texts:
        chunks.update(text.split())
        if len(chunks) > most_chunks:
            forgotten += _forget_rare(chunks, most_chunks)
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(chunk)):
            words[word] += count
    too_long = [word for word in words if len(word) > LONGEST_WORD]
    return WordCounts(words=words, forgotten=forgotten, too_long=sum(words.pop(word) for word in too_long))


def _forget_rare(chunks: Counter[str], most_chunks: int) -> int:
    """Remove the rarest, of equal ones those seen last, until half of `most_chunks` are left; return their occurrences."""
    kept = dict(islice(sorted(chunks.items(), key=lambda entry: -entry[1]), most_chunks // 2))
    lost = chunks.total() - sum(kept.values())
    chunks.clear()
    chunks.update(kept)
    return lost
