"""Packed rows hold all text once, in order, within their width; compiled code and its definition give the same arrays."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio import native
from megatron_bio.data import packing
from megatron_bio.data.bert_samples import BertSamples

WAYS = [
    "definition",
    pytest.param("compiled", marks=pytest.mark.skipif(native.compiled is None, reason="nothing is compiled")),
]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "definition":
        monkeypatch.setattr(native, "compiled", None)
    yield request.param


def pack(
    documents: list[list[int]],
    chosen=None,
    sequence_length: int = 19,
    most: int = 16,
    short: float = 0.0,
    paired: bool = True,
    seed: int = 1,
    in_order: bool = True,
) -> BertSamples:
    """Pack documents given as the lengths of their sentences; read in their own order unless told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        if in_order:
            patch.setattr(packing, "_in_random_order", lambda documents, seed: documents)
        return packing.pack_rows(
            np.array([length for document in documents for length in document], dtype=np.int32),
            np.cumsum([0, *map(len, documents)], dtype=np.int64),
            np.arange(len(documents)) if chosen is None else np.asarray(chosen),
            sequence_length=sequence_length,
            max_samples_per_row=most,
            paired=paired,
            short_sequence_probability=short,
            seed=seed,
        )


def rows_of(samples: BertSamples) -> list[list[tuple[int, int, int, int]]]:
    """(first sentence, tokens of it held by earlier samples, tokens, sentences) of each sample, row by row."""
    columns = samples.first_sequence, samples.first_offset, samples.lengths, samples.sequences
    spans = list(zip(*(column.tolist() for column in columns), strict=True))
    return [spans[a:b] for a, b in zip(samples.first_sample[:-1], samples.first_sample[1:], strict=True)]


def check(
    documents: list[list[int]], chosen: list[int], samples: BertSamples, length: int, most: int, paired: bool
) -> None:
    """All that has to hold for any corpus."""
    held: dict[int, list[tuple[int, int]]] = {}
    sentences = [size for document in documents for size in document]
    owner = [number for number, document in enumerate(documents) for _ in document]
    real = 0
    rows_with: dict[int, set[int]] = {}
    for number, row in enumerate(rows_of(samples)):
        assert 1 <= len(row) <= most
        width = 0
        for first, offset, tokens, count in row:
            assert tokens > 0 and owner[first] == owner[first + count - 1]
            rows_with.setdefault(owner[first], set()).add(number)
            begin = sum(sentences[:first]) + offset
            held.setdefault(owner[first], []).append((begin, begin + tokens))
            # The last sentence is reached, and left only where a sentence is longer than a row.
            assert sum(sentences[: first + count - 1]) < begin + tokens <= sum(sentences[: first + count])
            width += tokens + (3 if paired and count > 1 else 2)
        assert width <= length
        real += width
    for number in chosen:
        begin = sum(map(sum, documents[:number]))
        end = begin + sum(documents[number])
        spans = held.pop(number, [])
        bounds = [begin, *(stop for _, stop in spans)]
        assert [start for start, _ in spans] == bounds[:-1] and bounds[-1] == end
    assert not held
    counts = samples.counts
    assert counts.tokens == samples.lengths.sum() == sum(sum(documents[number]) for number in chosen)
    assert (counts.rows, counts.samples) == (samples.rows, len(samples))
    assert counts.documents_over_rows == sum(len(rows) > 1 for rows in rows_with.values())
    assert (counts.real_positions, counts.positions) == (real, samples.rows * length)


CORPORA = st.lists(st.lists(st.one_of(st.integers(0, 12), st.integers(0, 80)), max_size=9), max_size=90)


@settings(max_examples=80, deadline=None)
@given(
    CORPORA,
    st.sampled_from([8, 9, 19, 40, 64, 2048]),
    st.sampled_from([1, 2, 16]),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.booleans(),
    st.integers(0, 2**63 - 1),
)
def test_any_corpus_is_packed_without_loss_and_both_ways_alike(
    documents, length, most, short, paired, seed
) -> None:
    chosen = [number for number in range(len(documents)) if (number + seed) % 5]
    samples = pack(
        documents, np.array(chosen, dtype=np.int64), length, most, short, paired, seed, in_order=False
    )
    check(documents, chosen, samples, length, most, paired)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "compiled", None)
        defined = pack(
            documents, np.array(chosen, dtype=np.int64), length, most, short, paired, seed, in_order=False
        )
    for field in fields(BertSamples):
        one, two = getattr(samples, field.name), getattr(defined, field.name)
        if field.name == "counts":
            assert one == two
        else:
            assert one.dtype == two.dtype and one.tolist() == two.tolist(), field.name


def test_many_tiny_documents_are_alike_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    documents = [[int(size)] for size in rng.integers(1, 4, 2_000)]
    samples = pack(documents, sequence_length=64, most=20)
    monkeypatch.setattr(native, "compiled", None)
    defined = pack(documents, sequence_length=64, most=20)
    assert rows_of(samples) == rows_of(defined) and samples.counts == defined.counts
    assert samples.counts.as_dict()["fill"] > 0.97


def test_short_samples_of_one_document_may_share_a_row(way: str) -> None:
    documents = [[3] * 40] * 30
    samples = pack(documents, sequence_length=256, short=1.0)
    check(documents, list(range(30)), samples, 256, 16, True)
    firsts = [[first // 40 for first, _, _, _ in row] for row in rows_of(samples)]
    assert any(len(set(row)) < len(row) for row in firsts)


def test_whole_documents_fill_a_row_together(way: str) -> None:
    # Widths 11, 8 and 19 with special tokens; rows hold 19.
    assert rows_of(pack([[4, 4], [3, 2], [10, 6]])) == [[(0, 0, 8, 2), (2, 0, 5, 2)], [(4, 0, 16, 2)]]


def test_a_hole_is_closed_by_part_of_a_document(way: str) -> None:
    rows = rows_of(pack([[40], [30, 45]], sequence_length=80))
    assert rows == [[(0, 0, 40, 1), (1, 0, 30, 1)], [(2, 0, 45, 1)]]


def test_a_small_gap_is_no_reason_to_cut_a_document(way: str) -> None:
    # Eight positions stay empty; the first sentence of the second document would fill six of them.
    assert rows_of(pack([[28], [4, 24]], sequence_length=38)) == [[(0, 0, 28, 1)], [(1, 0, 28, 2)]]


def test_a_document_stays_whole_if_the_end_of_another_fills_the_gap_nearly_as_well(way: str) -> None:
    # Behind the first document are 40 positions. The second could give 40 of them, the whole third takes 20 or 13.
    for tokens, taken in ((18, 3), (11, 1)):
        rows = rows_of(pack([[86], [38, 80], [tokens]], sequence_length=128))
        assert rows[0][1][0] == taken, tokens


def test_a_document_that_is_cut_is_cut_again_before_another(way: str) -> None:
    # The first row cuts the third document. In the second one 43 positions are left, and the second document has 43.
    rows = rows_of(pack([[86], [41, 90], [38, 38, 88], [83]], sequence_length=128))
    assert [[sample[0] for sample in row] for row in rows][:2] == [[0, 3], [6, 4]]


def test_the_oldest_document_does_not_wait_for_ever(way: str) -> None:
    # The short one fits nowhere beside the full ones, and a full one is always the better start.
    documents = [[16], [9], *([[16]] * 40)]
    rows = rows_of(pack(documents))
    position = next(number for number, row in enumerate(rows) if (1, 0, 9, 1) in row)
    assert position == packing.OLDEST_EVERY


def test_rows_hold_documents_of_the_whole_corpus(way: str) -> None:
    # 4 in a row, taken in the order of reading; of 4 random places of 640 the outer ones are 3 / 5 of it apart on average.
    rows = rows_of(pack([[4]] * 640, sequence_length=26, most=4, paired=False, in_order=False))
    assert len(rows) == 160
    spans = [max(row)[0] - min(row)[0] for row in rows]
    assert abs(np.mean(spans) - 640 * 3 / 5) < 30


def test_the_seed_decides_the_order_of_documents(way: str) -> None:
    first, again, other = (rows_of(pack([[4]] * 64, in_order=False, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_the_most_samples_of_a_row_are_kept_and_counted(way: str) -> None:
    samples = pack([[1]] * 12, most=2)
    assert [len(row) for row in rows_of(samples)] == [2] * 6
    assert samples.counts.rows_at_most_samples == 5, "behind the last row nothing waits"
    assert pack([[1]] * 12, most=16).counts.rows_at_most_samples == 0


def test_counts_name_what_became_of_the_text(way: str) -> None:
    counts = pack([[], [0], [20, 0, 2], [5], [9, 2]], [0, 1, 2, 3, 4]).counts
    expected = {
        "documents": 5,
        "empty_documents": 2,
        "sentences": 7,
        "empty_sentences": 2,
        "split_sentences": 1,
        "samples": 4,
        "single_sentence_samples": 2,
        "tokens": 38,
    }
    assert {name: getattr(counts, name) for name in expected} == expected


def test_no_text_gives_no_rows(way: str) -> None:
    for documents in ([], [[], [0, 0]]):
        samples = pack(documents)
        assert samples.rows == len(samples) == 0 and samples.first_sample.tolist() == [0]


def test_in_one_order_the_seed_moves_short_samples_only(way: str) -> None:
    documents = [[3, 5, 2, 4]] * 50
    assert rows_of(pack(documents, seed=1)) == rows_of(pack(documents, seed=2))
    assert rows_of(pack(documents, short=0.5, seed=1)) != rows_of(pack(documents, short=0.5, seed=2))


def test_short_samples_end_as_those_of_one_sample_in_a_row(way: str) -> None:
    """In rows that hold one sample each, a short probability of 1 cuts a document nowhere else than the other way does."""
    lengths = np.full(4000, 1, dtype=np.int32)
    bounds = np.array([0, 4000])
    options = {"sequence_length": 23, "paired": True, "short_sequence_probability": 1.0, "seed": 5}
    single = packing.one_sample_per_row(lengths, bounds, np.array([0]), **options)
    packed = packing.pack_rows(lengths, bounds, np.array([0]), max_samples_per_row=1, **options)
    assert packed.lengths.tolist() == single.lengths.tolist()


@pytest.mark.skipif(native.compiled is None, reason="nothing is compiled")
@pytest.mark.parametrize(
    ("lengths", "bounds", "chosen", "message"),
    [
        ([3, 4], [0, 2], [1], "document 1 of 1"),
        ([3, 4], [0, 2], [-1], "document -1 of 1"),
        ([3, 4], [0, 2], [*[0] * 40, -1], "document -1 of 1"),
        ([3, 4], [0, 2, 9, -3], [*[0] * 40, 2], "document 2 has the sentences 9 to -3 of 2"),
        ([3, 4], [0, 3], [0], "document 0 has the sentences 0 to 3 of 2"),
        ([3, 4], [-1, 2], [0], "document 0 has the sentences -1 to 2 of 2"),
        ([3, 4], [2, 1], [0], "document 0 has the sentences 2 to 1 of 2"),
        ([3, -4], [0, 2], [0], "sentence 1 has -4 tokens"),
        ([3, 4], [], [0], "document 0 of 0"),
    ],
)
def test_damaged_arrays_are_refused_by_the_compiled_code(lengths, bounds, chosen, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        packing.pack_rows(
            np.array(lengths, dtype=np.int32),
            np.array(bounds, dtype=np.int64),
            np.array(chosen, dtype=np.int64),
            sequence_length=19,
            max_samples_per_row=4,
            paired=True,
            short_sequence_probability=0.0,
            seed=1,
        )


@pytest.mark.skipif(native.compiled is None, reason="nothing is compiled")
def test_arrays_of_another_type_are_refused_by_the_compiled_code() -> None:
    numbers = {
        "pool": 64,
        "oldest_every": 16,
        "split_again_cost": 2,
        "split_cost": 24,
        "seed": 1,
        "purpose": 5,
    }
    numbers |= {
        "sequence_length": 19,
        "max_samples_per_row": 4,
        "paired": True,
        "short_sequence_probability": 0.0,
    }
    lengths, bounds, chosen = np.ones(4, dtype=np.int32), np.array([0, 4]), np.array([0])
    good = lengths, bounds, chosen
    assert native.compiled.pack_rows(*good, **numbers)[-1]["tokens"] == 4
    for bad in (
        (lengths.astype(np.int64), bounds, chosen),
        (lengths[::2], bounds, chosen),
        (lengths, bounds.astype(np.int32), chosen),
        (lengths, bounds[None], chosen),
        (lengths, bounds, chosen.astype(np.uint64)),
    ):
        with pytest.raises(TypeError, match="expected an aligned, contiguous array"):
            native.compiled.pack_rows(*bad, **numbers)
    for wrong in (
        {"pool": 65},
        {"pool": 0},
        {"sequence_length": 3},
        {"max_samples_per_row": 0},
        {"oldest_every": 0},
    ):
        with pytest.raises(ValueError, match=r"rows of 3 tokens|are needed"):
            native.compiled.pack_rows(*good, **(numbers | wrong))
