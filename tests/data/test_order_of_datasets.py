"""Small corpora read to the end: what datasets give over epochs, for any number of ranks and any step at which a run goes on."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from megatron_bio.data.batch import BertBatch, GptBatch
from megatron_bio.data.bert_rows import SpecialTokens
from megatron_bio.data.dataset import BertDataset, BertRecipe, Dataset, GptDataset, GptRecipe
from megatron_bio.data.masking import Masking
from megatron_bio.data.order import GlobalOrder, rows_of_step

LENGTH = 16
GLOBAL_BATCH_SIZE = 840
"""A multiple of every number of ranks from 1 to 8."""
EPOCHS = 3
KINDS = ["bert", "packed", "gpt", "gpt-reset"]
SEED = 3


def dataset_of(kind: str, source) -> Dataset:
    documents = np.arange(len(source.document_indices) - 1)
    if kind.startswith("gpt"):
        reset = kind == "gpt-reset"
        recipe = GptRecipe(sequence_length=LENGTH, pad=0, reset_at_document_end=reset, seed=SEED)
        return GptDataset(source, documents, recipe)
    special = SpecialTokens(cls=2, sep=3, mask=4, pad=0)
    masking = Masking.for_vocabulary(0.15, 4, [0, 1, 2, 3, 4], np.arange(60000) >= 50000, "whole_word")
    packing = kind == "packed"
    recipe = BertRecipe(
        sequence_length=LENGTH,
        special=special,
        masking=masking,
        short_sequence_probability=0.1,
        sentence_order="sop",
        packing=packing,
        max_samples_per_row=3 if packing else 1,
        seed=SEED,
    )
    return BertDataset(source, recipe.samples(source, documents), recipe)


@pytest.fixture(params=[1, 2, 7, 40])
def distinct_source(request, memory_source):
    """Documents of which no two tokens are the same, so that a token tells where it is from."""
    rng = np.random.default_rng(request.param)
    token, documents = 10, []
    for _ in range(request.param):
        sizes = rng.integers(1, 22, rng.integers(2, 6)).tolist()
        documents.append(
            [list(range(token + sum(sizes[:i]), token + sum(sizes[: i + 1]))) for i in range(len(sizes))]
        )
        token += sum(sizes)
    return memory_source(documents)


def text_of(batch: BertBatch | GptBatch) -> list[bytes]:
    """What stands in each row, whichever sentence is first and whatever is masked."""
    tokens = batch.tokens.copy()
    if isinstance(batch, BertBatch):
        rows, slots = np.nonzero(batch.masked_weights)
        tokens[rows, batch.masked_positions[rows, slots]] = batch.masked_labels[rows, slots]
        tokens.sort(axis=1)
    return [row.tobytes() for row in tokens]


@pytest.mark.parametrize("kind", KINDS)
def test_every_epoch_holds_every_row_once(kind: str, distinct_source) -> None:
    dataset = dataset_of(kind, distinct_source)
    size = len(dataset)
    orders = []
    for epoch in range(EPOCHS):
        text = text_of(dataset.batch(np.arange(epoch * size, (epoch + 1) * size)))
        assert len(set(text)) == size
        if isinstance(dataset, BertDataset):
            assert set(text) == set(text_of(dataset.evaluation_batch(np.arange(size))))
        orders.append(text)
    if size > 8:
        assert len({tuple(order) for order in orders}) == EPOCHS


@pytest.mark.parametrize("kind", ["gpt", "gpt-reset"])
def test_every_epoch_of_gpt_predicts_every_token_but_the_dropped_ones_once(
    kind: str, distinct_source
) -> None:
    dataset = dataset_of(kind, distinct_source)
    assert isinstance(dataset, GptDataset)
    size, tokens = len(dataset), distinct_source.tokens.tolist()
    for epoch in range(EPOCHS):
        batch = dataset.batch(np.arange(epoch * size, (epoch + 1) * size))
        assert len(set(batch.tokens.ravel().tolist())) == batch.tokens.size
        assert len(set(batch.labels.ravel().tolist())) == batch.labels.size
        read = set(batch.tokens.ravel().tolist()) | set(batch.labels.ravel().tolist())
        assert read <= set(tokens)
        assert len(tokens) - len(read) == dataset.counts()["dropped_tokens"] < LENGTH


@pytest.mark.parametrize("kind", ["bert", "packed"])
def test_every_epoch_of_bert_holds_every_token_once(kind: str, distinct_source) -> None:
    dataset = dataset_of(kind, distinct_source)
    size = len(dataset)
    for epoch in range(EPOCHS):
        text = text_of(dataset.batch(np.arange(epoch * size, (epoch + 1) * size)))
        tokens = np.frombuffer(b"".join(text), dtype=np.int64)
        assert sorted(tokens[tokens >= 10].tolist()) == distinct_source.tokens.tolist()


@pytest.mark.parametrize("ranks", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_and_resuming_change_nothing(
    kind: str, ranks: int, memory_source, random_documents: Callable[..., list[list[list[int]]]]
) -> None:
    source = memory_source(random_documents(30))
    whole = dataset_of(kind, source).batch(np.arange(2 * GLOBAL_BATCH_SIZE))
    assert 3 * len(dataset_of(kind, source)) < 2 * GLOBAL_BATCH_SIZE
    of_rank = GLOBAL_BATCH_SIZE // ranks
    micro = of_rank // 4 if of_rank % 4 == 0 else of_rank // 3
    for resumed in (0, 1):
        resuming = dataset_of(kind, source)
        for step in range(resumed, 2):
            for rank in reversed(range(ranks)):
                for number, rows in enumerate(rows_of_step(step, GLOBAL_BATCH_SIZE, ranks, rank, micro)):
                    start = step * GLOBAL_BATCH_SIZE + (number * ranks + rank) * micro
                    found, wanted = resuming.batch(rows), whole.rows(start, start + micro)
                    for field in fields(whole):
                        assert np.array_equal(getattr(found, field.name), getattr(wanted, field.name)), (
                            field.name
                        )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 17])
@pytest.mark.parametrize("global_batch_size", [1, 4, 6])
def test_any_step_of_any_run_goes_on_where_an_uninterrupted_one_is(size: int, global_batch_size: int) -> None:
    order = GlobalOrder(size, SEED)
    steps = -(-EPOCHS * size // global_batch_size)
    straight = [
        order.locate(np.arange(step * global_batch_size, (step + 1) * global_batch_size))
        for step in range(steps)
    ]
    epochs, samples = (np.concatenate(part) for part in zip(*straight, strict=True))
    for epoch in range(EPOCHS):
        assert sorted(samples[epochs == epoch].tolist()) == list(range(size))
    ranks_that_fit = [ranks for ranks in range(1, 9) if global_batch_size % ranks == 0]
    for resumed in range(steps):
        for ranks in ranks_that_fit:
            parts = [rows_of_step(resumed, global_batch_size, ranks, rank, 1) for rank in range(ranks)]
            found = GlobalOrder(size, SEED).locate(np.stack(parts, axis=1).reshape(-1))
            assert found[0].tolist() == straight[resumed][0].tolist()
            assert found[1].tolist() == straight[resumed][1].tolist()
