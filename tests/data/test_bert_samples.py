"""Samples hold all tokens of the documents once, in order, and only as a plain loop would cut them."""

import numpy as np
import pytest

from megatron_bio import native
from megatron_bio.data.bert_samples import BertSamples
from megatron_bio.data.packing import one_sample_per_row
from megatron_bio.data.randomness import Purpose, uniform


def build(
    source, documents=None, sequence_length: int = 19, short: float = 0.0, seed: int = 1, paired: bool = True
) -> BertSamples:
    if documents is None:
        documents = np.arange(len(source.document_indices) - 1)
    return one_sample_per_row(
        source.sequence_lengths,
        source.document_indices,
        np.asarray(documents),
        sequence_length=sequence_length,
        paired=paired,
        short_sequence_probability=short,
        seed=seed,
    )


def spans(samples: BertSamples) -> list[tuple[int, int, int, int]]:
    """(first sentence, tokens of it held by earlier samples, tokens, sentences) of each sample."""
    columns = samples.first_sequence, samples.first_offset, samples.lengths, samples.sequences
    return list(zip(*(column.tolist() for column in columns), strict=True))


def loop(source, documents, sequence_length: int, short: float, seed: int) -> list[tuple[int, int, int, int]]:
    """The specification as a plain loop over sentences."""
    limit, found = sequence_length - 3, []
    for document in documents:
        pieces = []
        for sentence in range(source.document_indices[document], source.document_indices[document + 1]):
            length = int(source.sequence_lengths[sentence])
            pieces += [(sentence, at, min(limit, length - at)) for at in range(0, length, limit)]
        while pieces:
            first, at, held = pieces[0]
            draw = uniform(seed, Purpose.TARGET_LENGTH, first, at).item()
            target = 2 + int(draw / short * (limit - 1)) if draw < short else limit
            taken = 1
            while taken < len(pieces) and held < target and held + pieces[taken][2] <= limit:
                held += pieces[taken][2]
                taken += 1
            found.append((first, at, held, pieces[taken - 1][0] - first + 1))
            pieces = pieces[taken:]
    return found


def test_sentences_are_taken_while_they_fit(memory_source) -> None:
    source = memory_source([[[1] * 6, [1] * 6, [1] * 4, [1] * 1], [[1] * 16], [[1] * 5, [1] * 12]])
    assert spans(build(source)) == [(0, 0, 16, 3), (3, 0, 1, 1), (4, 0, 16, 1), (5, 0, 5, 1), (6, 0, 12, 1)]


def test_long_sentences_are_split_and_their_rest_starts_the_next_sample(memory_source) -> None:
    samples = build(memory_source([[[1] * 3, [1] * 40, [1] * 5], [[1] * 32]]))
    assert spans(samples) == [
        (0, 0, 3, 1),
        (1, 0, 16, 1),
        (1, 16, 16, 1),
        (1, 32, 13, 2),
        (3, 0, 16, 1),
        (3, 16, 16, 1),
    ]
    assert samples.counts.split_sentences == 2


@pytest.mark.parametrize("short", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("sequence_length", [8, 19, 64])
@pytest.mark.parametrize("way", ["compiled", "plain"])
def test_equal_to_the_loop(
    memory_source,
    random_documents,
    monkeypatch: pytest.MonkeyPatch,
    short: float,
    sequence_length: int,
    way: str,
) -> None:
    if way == "plain":
        monkeypatch.setattr(native, "compiled", None)
    elif native.compiled is None:
        pytest.skip("nothing is compiled")
    source = memory_source(random_documents(200))
    documents = np.flatnonzero(np.arange(200) % 3 != 1)
    expected = loop(source, documents, sequence_length, short, seed=4)
    samples = build(source, documents, sequence_length, short, seed=4)
    assert spans(samples) == expected
    assert samples.counts.samples == len(expected)
    assert samples.counts.rows_at_most_samples == 0


def test_no_token_is_lost_repeated_or_moved(memory_source, random_documents) -> None:
    source = memory_source(random_documents(300))
    samples = build(source, short=0.3)
    read = [
        source.sequences(first, first + count)[offset : offset + length].tolist()
        for first, offset, length, count in spans(samples)
    ]
    assert [token for tokens in read for token in tokens] == source.tokens.tolist()
    assert samples.counts.tokens == len(source.tokens)
    assert samples.lengths.min() >= 1 and samples.lengths.max() == 16


def test_samples_stay_inside_their_document(memory_source, random_documents) -> None:
    source = memory_source(random_documents(300))
    samples = build(source, short=0.3)
    first = np.searchsorted(source.document_indices, samples.first_sequence, side="right")
    last = np.searchsorted(
        source.document_indices, samples.first_sequence + samples.sequences - 1, side="right"
    )
    assert (first == last).all()


def test_counts_name_what_became_of_the_text(memory_source) -> None:
    source = memory_source([[], [[]], [[1] * 20, [], [1] * 2], [[1] * 5], [[1] * 9, [1] * 2]])
    counts = {
        "documents": 5,
        "empty_documents": 2,
        "sentences": 7,
        "empty_sentences": 2,
        "split_sentences": 1,
        "rows": 4,
        "samples": 4,
        "single_sentence_samples": 2,
        "documents_over_rows": 1,
        "rows_at_most_samples": 0,
        "tokens": 38,
        "real_positions": 48,
        "positions": 76,
        "fill": 0.6316,
        "mean_sample_length": 9.5,
    }
    assert build(source).counts.as_dict() == counts
    assert build(source, paired=False).counts.as_dict() == counts | {"real_positions": 46, "fill": 0.6053}
    assert build(source).first_sample.tolist() == [0, 1, 2, 3, 4]


def test_without_pairs_a_sample_holds_one_token_more(memory_source) -> None:
    source = memory_source([[[1] * 10, [1] * 7]])
    assert spans(build(source)) == [(0, 0, 10, 1), (1, 0, 7, 1)]
    assert spans(build(source, paired=False)) == [(0, 0, 17, 2)]


def test_short_samples_occur_with_the_asked_probability(memory_source) -> None:
    source = memory_source([[[1] * 1] * 4000])
    full = build(source, sequence_length=23).lengths
    assert (full == 20).all()
    short = build(source, sequence_length=23, short=0.25).lengths
    assert (short < 20).mean() == pytest.approx(0.25, abs=0.07)
    lengths = build(source, sequence_length=23, short=1.0).lengths[:-1]
    assert set(lengths.tolist()) == set(range(2, 21))
    assert lengths.mean() == pytest.approx(11, abs=1.0)


def test_the_seed_moves_only_short_samples(memory_source, random_documents) -> None:
    source = memory_source(random_documents(100))
    assert spans(build(source, short=0.0, seed=1)) == spans(build(source, short=0.0, seed=2))
    assert spans(build(source, short=0.5, seed=1)) != spans(build(source, short=0.5, seed=2))


def test_documents_over_rows_are_those_with_several_samples(memory_source, random_documents) -> None:
    source = memory_source(random_documents(100))
    samples = build(source, short=0.2)
    documents = np.searchsorted(source.document_indices, samples.first_sequence, side="right")
    assert samples.counts.documents_over_rows == (np.bincount(documents) > 1).sum() > 10


def test_no_documents_give_no_samples(memory_source) -> None:
    assert len(build(memory_source([]))) == 0
    assert len(build(memory_source([[], [[]]]))) == 0
