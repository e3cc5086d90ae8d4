"""Chunks of an epoch are its documents, one after the other in the epoch's order, overlapping by one token."""

import numpy as np
import pytest

from megatron_bio.data.gpt_samples import GptRecipe, GptSamples
from megatron_bio.data.order import Permutation
from megatron_bio.data.randomness import Purpose


def documents_of(sizes: list[int]) -> list[list[list[int]]]:
    """Documents of one sequence; every token of the corpus is different."""
    ends = np.cumsum(sizes)
    return [
        [list(range(end - size + 100, end + 100))] for size, end in zip(sizes, ends.tolist(), strict=True)
    ]


def samples_of(source, documents: np.ndarray, length: int) -> GptSamples:
    recipe = GptRecipe(sequence_length=length, pad=0, reset_at_document_end=True, seed=1)
    return GptSamples(source, documents, recipe)


def in_epoch(epoch: int, chunks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.full_like(chunks, epoch), chunks


SIZES = [5, 1, 0, 9, 3, 30, 2, 7, 4, 6]
CHOSEN = np.array([0, 1, 2, 3, 5, 7, 8, 9])


def stream_of(source, epoch: int, seed: int = 1) -> tuple[list[int], list[bool]]:
    """The specification: the chosen documents in the epoch's order, and where each begins."""
    order = Permutation(len(CHOSEN), seed, epoch, Purpose.DOCUMENT_ORDER).all()
    tokens: list[int] = []
    firsts: list[bool] = []
    for document in CHOSEN[order].tolist():
        text = source.sequences(*source.document_indices[document : document + 2].tolist()).tolist()
        tokens += text
        firsts += [index == 0 for index in range(len(text))]
    return tokens, firsts


@pytest.mark.parametrize("length", [8, 11, 30])
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_chunks_are_the_stream_of_the_epoch(memory_source, length: int, epoch: int) -> None:
    source = memory_source(documents_of(SIZES))
    samples = samples_of(source, CHOSEN, length)
    tokens, firsts = stream_of(source, epoch)
    assert len(samples) == (len(tokens) - 1) // length
    chunks = np.arange(len(samples))[::-1].copy()
    rows = samples.read(*in_epoch(epoch, chunks))
    for row, chunk in enumerate(chunks.tolist()):
        begin = chunk * length
        assert rows["tokens"][row].tolist() == tokens[begin : begin + length]
        assert rows["labels"][row].tolist() == tokens[begin + 1 : begin + length + 1]
        begins = firsts[begin + 1 : begin + length + 1]
        assert (rows["label_weights"][row] == 0).tolist() == begins
        assert (np.diff(rows["segment_ids"][row]) == 1).tolist() == begins[:-1]


def test_epochs_differ_and_do_not_depend_on_what_was_read_before(memory_source) -> None:
    source = memory_source(documents_of(SIZES))
    samples = samples_of(source, CHOSEN, 8)
    chunks = np.arange(len(samples))
    straight = {epoch: samples.read(*in_epoch(epoch, chunks))["tokens"].tolist() for epoch in range(4)}
    assert len({str(rows) for rows in straight.values()}) == 4
    for epoch in (2, 0, 3, 0, 1):
        assert samples.read(*in_epoch(epoch, chunks))["tokens"].tolist() == straight[epoch]


def test_counts_name_the_tokens_that_fill_no_chunk(memory_source) -> None:
    samples = samples_of(memory_source(documents_of(SIZES)), CHOSEN, 8)
    assert samples.counts.as_dict() == {
        "documents": 8,
        "empty_documents": 1,
        "tokens": 62,
        "samples": 7,
        "dropped_tokens": 62 - (7 * 8 + 1),
    }


@pytest.mark.parametrize(("tokens", "samples", "dropped"), [(8, 0, 8), (9, 1, 0), (16, 1, 7), (17, 2, 0)])
def test_a_chunk_needs_one_token_more_than_its_length(
    memory_source, tokens: int, samples: int, dropped: int
) -> None:
    counts = samples_of(memory_source(documents_of([tokens])), np.array([0]), 8).counts
    assert (counts.samples, counts.dropped_tokens) == (samples, dropped)


def test_documents_of_several_sequences_are_read_whole(memory_source) -> None:
    source = memory_source([[[10, 11, 12], [], [13, 14]], [[15, 16, 17, 18]]])
    samples = samples_of(source, np.array([0]), 4)
    rows = samples.read(*in_epoch(0, np.array([0])))
    assert rows["tokens"].tolist() == [[10, 11, 12, 13]] and rows["labels"].tolist() == [[11, 12, 13, 14]]
    assert rows["position_ids"].tolist() == [[0, 1, 2, 3]]


def test_no_documents_give_no_chunks(memory_source) -> None:
    assert len(samples_of(memory_source([]), np.empty(0, dtype=np.int64), 8)) == 0
