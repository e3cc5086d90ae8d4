"""Chunks of an epoch are its documents, one after the other in the epoch's order, overlapping by one token."""

import numpy as np
import pytest

from megatron_bio.data.gpt_samples import GptSamples
from megatron_bio.data.order import Permutation
from megatron_bio.data.randomness import Purpose


def documents_of(sizes: list[int]) -> list[list[list[int]]]:
    """Documents of one sequence; every token of the corpus is different."""
    ends = np.cumsum(sizes)
    return [
        [list(range(end - size + 100, end + 100))] for size, end in zip(sizes, ends.tolist(), strict=True)
    ]


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
    samples = GptSamples(source, CHOSEN, length, seed=1)
    tokens, firsts = stream_of(source, epoch)
    assert len(samples) == (len(tokens) - 1) // length
    chunks = np.arange(len(samples))[::-1].copy()
    read, begins = samples.read(epoch, chunks)
    for row, chunk in enumerate(chunks.tolist()):
        span = slice(chunk * length, chunk * length + length + 1)
        assert read[row].tolist() == tokens[span]
        assert begins[row].tolist() == firsts[span]


def test_epochs_differ_and_do_not_depend_on_what_was_read_before(memory_source) -> None:
    source = memory_source(documents_of(SIZES))
    samples = GptSamples(source, CHOSEN, 8, seed=1)
    chunks = np.arange(len(samples))
    straight = {epoch: samples.read(epoch, chunks)[0].tolist() for epoch in range(4)}
    assert len({str(rows) for rows in straight.values()}) == 4
    for epoch in (2, 0, 3, 0, 1):
        assert samples.read(epoch, chunks)[0].tolist() == straight[epoch]


def test_counts_name_the_tokens_that_fill_no_chunk(memory_source) -> None:
    samples = GptSamples(memory_source(documents_of(SIZES)), CHOSEN, 8, seed=1)
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
    counts = GptSamples(memory_source(documents_of([tokens])), np.array([0]), 8, seed=1).counts
    assert (counts.samples, counts.dropped_tokens) == (samples, dropped)


def test_documents_of_several_sequences_are_read_whole(memory_source) -> None:
    source = memory_source([[[10, 11, 12], [], [13, 14]], [[15, 16, 17, 18]]])
    samples = GptSamples(source, np.array([0]), 4, seed=1)
    tokens, firsts = samples.read(0, np.array([0]))
    assert tokens.tolist() == [[10, 11, 12, 13, 14]]
    assert firsts.tolist() == [[True, False, False, False, False]]


def test_no_documents_give_no_chunks(memory_source) -> None:
    assert len(GptSamples(memory_source([]), np.empty(0, dtype=np.int64), 8, seed=1)) == 0
