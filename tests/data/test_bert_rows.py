"""Rows are [CLS] A [SEP] B [SEP] of one sample, cut at a sentence bound, swapped in half of the cases."""

import numpy as np
import pytest

from megatron_bio.data.bert_rows import Layout, Pairs, Placement, SpecialTokens, lay_out, pair_up, read_tokens
from megatron_bio.data.packing import one_sample_per_row
from megatron_bio.data.sources import CombinedReader

SPECIAL = SpecialTokens(cls=2, sep=3, mask=4, pad=0)


def samples_of(source, sequence_length: int = 32):
    documents = np.arange(len(source.document_indices) - 1)
    return one_sample_per_row(
        source.sequence_lengths,
        source.document_indices,
        documents,
        sequence_length=sequence_length,
        paired=True,
        short_sequence_probability=0.0,
        seed=1,
    )


def laid_out(
    *samples: tuple[list[int], list[int], bool], rows: list[int], of: int, length: int, most: int
) -> Layout:
    """Samples given as (part A, part B, order label), in these rows of so many."""
    parts = [part for a, b, _ in samples for part in (a, b)]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    pairs = Pairs(
        (np.cumsum(lengths) - lengths).reshape(-1, 2),
        lengths.reshape(-1, 2),
        np.array([label for _, _, label in samples]),
    )
    text = np.array([token for part in parts for token in part], dtype=np.int64)
    return lay_out(
        text, pairs, Placement.side_by_side(np.array(rows), of, pairs.widths), length, SPECIAL, most
    )


@pytest.fixture
def layout() -> Layout:
    return laid_out(
        ([11], [12, 13], False),
        ([12, 13], [11], True),
        ([11, 12], [], False),
        rows=[0, 1, 3],
        of=4,
        length=8,
        most=1,
    )


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
    layout = laid_out(
        ([12], [11], True), ([13], [], False), ([14], [], False), rows=[0, 0, 1], of=2, length=9, most=2
    )
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
    pairs = pair_up(source, samples, chosen, np.arange(len(chosen)) % 3, seed=1)
    sentence_starts = (source.sequence_pointers // source.dtype.itemsize).tolist()
    for row, sample in enumerate(chosen.tolist()):
        first, count = int(samples.first_sequence[sample]), int(samples.sequences[sample])
        start = sentence_starts[first] + int(samples.first_offset[sample])
        order = [1, 0] if pairs.order_labels[row] else [0, 1]
        (early, late), (before, behind) = pairs.starts[row][order], pairs.lengths[row][order]
        assert early == start and late == start + before, "the parts lie back to back"
        assert before + behind == samples.lengths[sample]
        if count == 1:
            assert behind == 0 and not pairs.order_labels[row] and not pairs.paired[row]
        else:
            assert before > 0 and behind > 0 and pairs.paired[row]
            assert late in sentence_starts[first + 1 : first + count]


def test_tokens_are_read_part_after_part_also_of_several_files(memory_source, random_documents) -> None:
    sources = [memory_source(random_documents(30, seed=seed)) for seed in (1, 2, 3)]
    source = CombinedReader(sources, ["a", "b", "c"])
    samples = samples_of(source)
    pairs = pair_up(source, samples, np.arange(len(samples)), np.zeros(len(samples), dtype=np.int64), seed=1)
    whole = np.concatenate([part.tokens for part in sources])
    expected = [
        whole[start : start + length]
        for start, length in zip(pairs.starts.reshape(-1), pairs.lengths.reshape(-1), strict=True)
    ]
    assert read_tokens(source, pairs).tolist() == np.concatenate(expected).tolist()


def test_bounds_are_equally_probable_and_half_of_the_pairs_are_swapped(memory_source) -> None:
    source = memory_source([[[7] * 2, [8] * 3, [9] * 4, [6] * 5]])
    epochs = np.arange(4000)
    pairs = pair_up(source, samples_of(source), np.zeros_like(epochs), epochs, seed=1)
    swapped = pairs.order_labels
    pivots = np.where(swapped, pairs.lengths[:, 1], pairs.lengths[:, 0])
    values, counts = np.unique(pivots, return_counts=True)
    assert values.tolist() == [2, 5, 9]
    assert np.abs(counts / 4000 - 1 / 3).max() < 0.03
    assert swapped.mean() == pytest.approx(0.5, abs=0.03)
    for pivot in values:
        assert swapped[pivots == pivot].mean() == pytest.approx(0.5, abs=0.05)


def test_no_samples_give_padding_only(memory_source) -> None:
    source = memory_source([[[7, 8]]])
    nothing = np.empty(0, dtype=np.int64)
    pairs = pair_up(source, samples_of(source), nothing, nothing, seed=1)
    place = Placement.side_by_side(nothing, 2, nothing)
    layout = lay_out(read_tokens(source, pairs), pairs, place, 8, SPECIAL, 1)
    assert (layout.tokens == SPECIAL.pad).all() and (layout.segment_ids == 0).all()


def test_placement_restarts_in_each_row_and_leaves_rows_out() -> None:
    place = Placement.side_by_side(np.array([1, 1, 1, 4, 6, 6]), 7, np.array([5, 3, 9, 4, 2, 2]))
    assert place.column.tolist() == [0, 5, 8, 0, 0, 2]
    assert place.number.tolist() == [1, 2, 3, 1, 1, 2]
    assert place.row.tolist() == [1, 1, 1, 4, 6, 6] and place.rows == 7


def test_without_order_a_sample_is_one_text(memory_source) -> None:
    source = memory_source([[[7] * 2, [8] * 3, [9] * 4]])
    zeros = np.zeros(50, dtype=np.int64)
    pairs = pair_up(source, samples_of(source), zeros, np.arange(50), 1, "none")
    assert not pairs.paired.any() and not pairs.order_labels.any()
    assert (pairs.widths == 11).all()
    assert read_tokens(source, pairs).tolist() == source.tokens.tolist() * 50


def test_next_sentences_are_of_another_document_in_half_of_the_pairs(memory_source) -> None:
    documents = [[[10 * number + 1] * 3, [10 * number + 2] * (2 + number)] for number in range(1, 9)]
    source = memory_source(documents)
    chosen = np.tile(np.arange(8), 500)
    pairs = pair_up(source, samples_of(source), chosen, np.repeat(np.arange(500), 8), 1, "nsp")
    assert pairs.paired.all()
    assert pairs.order_labels.mean() == pytest.approx(0.5, abs=0.03)
    followers = set()
    for index, sample in enumerate(chosen.tolist()):
        own_first, own_second = documents[sample]
        first, second = (
            source.tokens[start : start + length].tolist()
            for start, length in zip(pairs.starts[index], pairs.lengths[index], strict=True)
        )
        assert first == own_first
        if not pairs.order_labels[index]:
            assert second == own_second
            continue
        other = second[0] // 10 - 1
        assert other != sample
        assert second == (documents[other][0] + documents[other][1])[: len(own_second)]
        followers.add((sample, other))
    assert len(followers) == 8 * 7


def test_a_corpus_of_one_document_has_no_random_next_sentence(memory_source) -> None:
    source = memory_source([[[7] * 9, [8] * 9] * 4])
    samples = samples_of(source)
    chosen = np.arange(len(samples))
    pairs = pair_up(source, samples, chosen, np.zeros_like(chosen), 1, "nsp")
    assert not pairs.order_labels.any()
    assert read_tokens(source, pairs).tolist() == source.tokens.tolist()
