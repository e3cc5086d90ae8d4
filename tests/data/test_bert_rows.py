"""Rows are [CLS] A [SEP] B [SEP] of one sample, cut at a sentence bound, swapped in half of the cases."""

import numpy as np
import pytest

from megatron_bio.data.bert_rows import CutSamples, Placement, SpecialTokens, cut_samples, lay_out
from megatron_bio.data.bert_samples import build_bert_samples

SPECIAL = SpecialTokens(cls=2, sep=3, mask=4, pad=0)


def samples_of(source, sequence_length: int = 32):
    documents = np.arange(len(source.document_indices) - 1)
    return build_bert_samples(
        source.sequence_lengths,
        source.document_indices,
        documents,
        sequence_length=sequence_length,
        paired=True,
        short_sequence_probability=0.0,
        seed=1,
    )


def cut_of(*samples: tuple[list[int], int, bool]) -> CutSamples:
    """Samples given as (tokens, pivot, swapped)."""
    return CutSamples(
        np.array([token for tokens, _, _ in samples for token in tokens], dtype=np.int64),
        np.array([len(tokens) for tokens, _, _ in samples]),
        np.array([pivot for _, pivot, _ in samples]),
        np.array([swapped for _, _, swapped in samples]),
        np.array([swapped for _, _, swapped in samples]),
    )


@pytest.fixture
def layout():
    cut = cut_of(([11, 12, 13], 1, False), ([11, 12, 13], 1, True), ([11, 12], 2, False))
    return lay_out(cut, Placement.side_by_side(np.array([0, 1, 3]), 4, cut.widths), 8, SPECIAL, 1)


def test_tokens_of_straight_swapped_single_and_empty_rows(layout) -> None:
    assert layout.tokens.tolist() == [
        [2, 11, 3, 12, 13, 3, 0, 0],
        [2, 12, 13, 3, 11, 3, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [2, 11, 12, 3, 0, 0, 0, 0],
    ]


def test_types_positions_and_segments_follow_the_parts(layout) -> None:
    assert layout.tokentype_ids.tolist() == [
        [0, 0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0],
        [0] * 8,
        [0] * 8,
    ]
    assert layout.position_ids.tolist() == [
        [0, 1, 2, 3, 4, 5, 0, 0],
        [0, 1, 2, 3, 4, 5, 0, 0],
        [0] * 8,
        [0, 1, 2, 3, 0, 0, 0, 0],
    ]
    assert layout.segment_ids.tolist() == [[1] * 6 + [0] * 2, [1] * 6 + [0] * 2, [0] * 8, [1] * 4 + [0] * 4]


def test_order_label_is_the_swap_and_counts_for_pairs_only(layout) -> None:
    assert layout.order_labels.tolist() == [[0], [1], [0], [0]]
    assert layout.order_weights.tolist() == [[1.0], [1.0], [0.0], [0.0]]
    assert layout.cls_positions.tolist() == [[0], [0], [0], [0]]


def test_several_samples_of_a_row_restart_and_are_numbered() -> None:
    cut = cut_of(([11, 12], 1, True), ([13], 1, False), ([14], 1, False))
    place = Placement.side_by_side(np.array([0, 0, 1]), 2, cut.widths)
    layout = lay_out(cut, place, 9, SPECIAL, 2)
    assert layout.tokens.tolist() == [[2, 12, 3, 11, 3, 2, 13, 3, 0], [2, 14, 3, 0, 0, 0, 0, 0, 0]]
    assert layout.segment_ids[0].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 0]
    assert layout.position_ids[0].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0]
    assert layout.tokentype_ids[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert layout.cls_positions.tolist() == [[0, 5], [0, 0]]
    assert layout.order_labels.tolist() == [[1, 0], [0, 0]]
    assert layout.order_weights.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_samples_are_cut_at_sentence_bounds_and_keep_their_text(memory_source, random_documents) -> None:
    source = memory_source(random_documents(200))
    samples = samples_of(source)
    chosen = np.random.default_rng(0).permutation(len(samples))
    cut = cut_samples(source, samples, chosen, np.arange(len(chosen)) % 3, seed=1)
    begins = np.concatenate([[0], np.cumsum(cut.lengths)])
    sentence_starts = source.sequence_pointers // source.dtype.itemsize
    for row, sample in enumerate(chosen.tolist()):
        first, count = int(samples.first_sequence[sample]), int(samples.sequences[sample])
        start = int(sentence_starts[first]) + int(samples.first_offset[sample])
        tokens = cut.tokens[begins[row] : begins[row + 1]]
        assert tokens.tolist() == source.tokens[start : start + len(tokens)].tolist()
        pivot = int(cut.pivots[row])
        if count == 1:
            assert pivot == len(tokens) and not cut.swapped[row] and not cut.paired[row]
        else:
            assert 0 < pivot < len(tokens) and cut.paired[row]
            assert start + pivot in sentence_starts[first + 1 : first + count]


def test_bounds_are_equally_probable_and_half_of_the_pairs_are_swapped(memory_source) -> None:
    source = memory_source([[[7] * 2, [8] * 3, [9] * 4, [6] * 5]])
    epochs = np.arange(4000)
    cut = cut_samples(source, samples_of(source), np.zeros_like(epochs), epochs, seed=1)
    values, counts = np.unique(cut.pivots, return_counts=True)
    assert values.tolist() == [2, 5, 9]
    assert np.abs(counts / 4000 - 1 / 3).max() < 0.03
    assert cut.swapped.mean() == pytest.approx(0.5, abs=0.03)
    for pivot in values:
        assert cut.swapped[cut.pivots == pivot].mean() == pytest.approx(0.5, abs=0.05)


def test_no_samples_give_padding_only(memory_source) -> None:
    source = memory_source([[[7, 8]]])
    nothing = np.empty(0, dtype=np.int64)
    cut = cut_samples(source, samples_of(source), nothing, nothing, seed=1)
    layout = lay_out(cut, Placement.side_by_side(nothing, 2, nothing), 8, SPECIAL, 1)
    assert (layout.tokens == SPECIAL.pad).all() and (layout.segment_ids == 0).all()


def test_placement_restarts_in_each_row_and_leaves_rows_out() -> None:
    place = Placement.side_by_side(np.array([1, 1, 1, 4, 6, 6]), 7, np.array([5, 3, 9, 4, 2, 2]))
    assert place.column.tolist() == [0, 5, 8, 0, 0, 2]
    assert place.number.tolist() == [1, 2, 3, 1, 1, 2]
    assert place.row.tolist() == [1, 1, 1, 4, 6, 6] and place.rows == 7


def test_without_order_a_sample_is_one_text(memory_source) -> None:
    source = memory_source([[[7] * 2, [8] * 3, [9] * 4]])
    zeros = np.zeros(50, dtype=np.int64)
    cut = cut_samples(source, samples_of(source), zeros, np.arange(50), 1, "none")
    assert not cut.paired.any() and not cut.swapped.any() and not cut.order_labels.any()
    assert (cut.widths == 11).all() and cut.tokens.tolist() == source.tokens.tolist() * 50


def test_next_sentences_are_of_another_document_in_half_of_the_pairs(memory_source) -> None:
    documents = [[[10 * number + 1] * 3, [10 * number + 2] * (2 + number)] for number in range(1, 9)]
    source = memory_source(documents)
    samples = samples_of(source)
    chosen = np.tile(np.arange(8), 500)
    cut = cut_samples(source, samples, chosen, np.repeat(np.arange(500), 8), 1, "nsp")
    assert cut.paired.all() and not cut.swapped.any()
    assert cut.order_labels.mean() == pytest.approx(0.5, abs=0.03)
    begins = np.cumsum(cut.lengths) - cut.lengths
    followers = set()
    for index, sample in enumerate(chosen.tolist()):
        first, whole = documents[sample][0], documents[sample][0] + documents[sample][1]
        tokens = cut.tokens[begins[index] :][: cut.lengths[index]].tolist()
        assert tokens[: cut.pivots[index]] == first
        if not cut.order_labels[index]:
            assert tokens == whole
            continue
        second = tokens[len(first) :]
        other = second[0] // 10 - 1
        assert other != sample
        beginning = documents[other][0] + documents[other][1]
        assert second == beginning[: len(whole) - len(first)]
        followers.add((sample, other))
    assert len(followers) == 8 * 7


def test_a_corpus_of_one_document_has_no_random_next_sentence(memory_source) -> None:
    source = memory_source([[[7] * 9, [8] * 9] * 4])
    samples = samples_of(source)
    chosen = np.arange(len(samples))
    cut = cut_samples(source, samples, chosen, np.zeros_like(chosen), 1, "nsp")
    assert not cut.order_labels.any() and cut.tokens.tolist() == source.tokens.tolist()
