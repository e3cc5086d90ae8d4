"""Batches are a pure function of global sample indices: of no other row, no earlier call and no number of ranks."""

from dataclasses import fields, replace

import numpy as np
import pytest

from megatron_bio.data.batch import BertBatch, GptBatch
from megatron_bio.data.bert_rows import SpecialTokens
from megatron_bio.data.dataset import BertDataset, BertRecipe, GptDataset, GptRecipe
from megatron_bio.data.masking import Masking
from megatron_bio.data.order import GlobalOrder, rows_of_evaluation, rows_of_step

LENGTH = 32
SLOTS = 4
PAD, CLS, SEP, MASK = 0, 2, 3, 4


def bert(
    source, documents, seed: int = 1, probability: float = 0.15, packing: bool = False, order: str = "sop"
) -> BertDataset:
    recipe = BertRecipe(
        sequence_length=LENGTH,
        special=SpecialTokens(cls=CLS, sep=SEP, mask=MASK, pad=PAD),
        masking=Masking.for_vocabulary(
            probability, MASK, [0, 1, 2, 3, 4], np.arange(200) >= 150, "whole_word"
        ),
        short_sequence_probability=0.1,
        sentence_order=order,
        packing=packing,
        max_samples_per_row=SLOTS if packing else 1,
        seed=seed,
    )
    return BertDataset(source, recipe.samples(source, documents), recipe)


def gpt(source, documents, reset: bool = False, seed: int = 1) -> GptDataset:
    recipe = GptRecipe(sequence_length=LENGTH, pad=PAD, reset_at_document_end=reset, seed=seed)
    return GptDataset(source, documents, recipe)


def assert_same(left: BertBatch | GptBatch, right: BertBatch | GptBatch) -> None:
    for field in fields(left):
        assert np.array_equal(getattr(left, field.name), getattr(right, field.name)), field.name


@pytest.fixture
def source(memory_source, random_documents):
    return memory_source(random_documents(60))


@pytest.fixture(params=["bert", "packed", "packed-nsp", "packed-none", "gpt", "gpt-reset"])
def dataset(request, source):
    documents = np.arange(5, 55)
    if request.param == "bert":
        return bert(source, documents)
    if request.param.startswith("packed"):
        return bert(source, documents, packing=True, order=request.param[7:] or "sop")
    return gpt(source, documents, reset=request.param == "gpt-reset")


SHAPES = {
    "tokens": LENGTH,
    "segment_ids": LENGTH,
    "position_ids": LENGTH,
    "labels": LENGTH,
    "label_weights": LENGTH,
}
SHAPES |= {"tokentype_ids": LENGTH, "masked_positions": 8, "masked_labels": 8, "masked_weights": 8}
SHAPES |= {"cls_positions": 1, "order_labels": 1, "order_weights": 1}
TYPES = {
    "segment_ids": np.int32,
    "masked_weights": np.float32,
    "order_weights": np.float32,
    "label_weights": np.float32,
}


def test_shapes_and_types_are_those_of_the_legend(dataset) -> None:
    for batch in (dataset.batch(np.arange(6)), dataset.evaluation_batch(np.array([0, 1, 2, -1, -1, -1]))):
        for field in fields(batch):
            array = getattr(batch, field.name)
            width = SHAPES.get(field.name)
            if width == 1 and batch.order_weights.shape[1] == SLOTS:
                width = SLOTS
            assert array.shape == ((6,) if field.name == "sample_ids" else (6, width)), field.name
            assert array.dtype == TYPES.get(field.name, np.int64), field.name


def test_each_row_depends_on_its_own_index_alone(dataset) -> None:
    indices = np.array([0, 3 * len(dataset) - 1, 7, len(dataset), 7])
    together = dataset.batch(indices)
    for row, index in enumerate(indices):
        assert_same(dataset.batch(np.array([index])), together.rows(row, row + 1))


def test_ranks_and_restarts_change_no_row(dataset) -> None:
    whole = [dataset.batch(rows) for step in range(3) for rows in rows_of_step(step, 24, 1, 0, 24)]
    for size, micro in ((2, 3), (4, 6), (3, 1)):
        for step in (2, 0, 1):
            ranks = [rows_of_step(step, 24, size, rank, micro) for rank in range(size)]
            for microbatch in range(len(ranks[0])):
                for rank in range(size):
                    start = (microbatch * size + rank) * micro
                    assert_same(
                        dataset.batch(ranks[rank][microbatch]), whole[step].rows(start, start + micro)
                    )


def test_sample_ids_are_the_global_indices(dataset) -> None:
    assert dataset.batch(np.array([5, 400])).sample_ids.tolist() == [5, 400]
    assert dataset.evaluation_batch(np.array([5, -1])).sample_ids.tolist() == [5, -1]


def test_evaluation_is_in_order_and_always_the_same(dataset) -> None:
    first = dataset.evaluation_batch(np.arange(4))
    dataset.batch(np.arange(50, 60))
    assert_same(dataset.evaluation_batch(np.arange(4)), first)


def test_empty_rows_are_padding_without_weight(dataset) -> None:
    batch = dataset.evaluation_batch(rows_of_evaluation(2, 1, 0, 4)[0])
    empty = batch.rows(2, 4)
    assert (empty.tokens == PAD).all()
    assert empty.predicted == empty.real_tokens == 0
    for field in fields(empty):
        if field.name not in ("tokens", "sample_ids", "labels"):
            assert not getattr(empty, field.name).any(), field.name
    assert batch.predicted == dataset.evaluation_batch(np.arange(2)).predicted > 0


def test_seed_changes_the_batches(source) -> None:
    documents = np.arange(60)
    for make in (bert, gpt):
        one, two = make(source, documents, seed=1), make(source, documents, seed=2)
        assert not np.array_equal(one.batch(np.arange(4)).tokens, two.batch(np.arange(4)).tokens)


@pytest.mark.parametrize(("packing", "order"), [(False, "sop"), (True, "sop"), (True, "none")])
def test_an_epoch_of_bert_reads_every_token_once(source, packing: bool, order: str) -> None:
    dataset = bert(source, np.arange(60), packing=packing, order=order)
    for epoch in (0, 1):
        batch = dataset.batch(np.arange(epoch * len(dataset), (epoch + 1) * len(dataset)))
        tokens = batch.tokens.copy()
        rows, slots = np.nonzero(batch.masked_weights)
        tokens[rows, batch.masked_positions[rows, slots]] = batch.masked_labels[rows, slots]
        text = tokens[(tokens > MASK) & (batch.segment_ids > 0)]
        assert sorted(text.tolist()) == sorted(source.tokens.tolist())
    assert dataset.counts()["tokens"] == len(source.tokens)


def test_bert_epochs_differ_in_order_masks_and_swaps(source) -> None:
    dataset = bert(source, np.arange(60))
    size = len(dataset)
    samples = [
        GlobalOrder(size, 1).locate(np.arange(epoch * size, (epoch + 1) * size))[1] for epoch in (0, 1)
    ]
    first, second = (dataset.batch(np.argsort(order) + epoch * size) for epoch, order in enumerate(samples))
    assert (first.real_tokens, first.ordered) == (second.real_tokens, second.ordered)
    assert (first.masked_positions != second.masked_positions).any(axis=1).mean() > 0.5
    pairs = first.order_weights[:, 0] > 0
    assert 0.25 < (first.order_labels != second.order_labels)[pairs].mean() < 0.75


def test_bert_rows_obey_their_structure(source) -> None:
    batch = bert(source, np.arange(60)).batch(np.arange(100))
    real = batch.segment_ids > 0
    assert (batch.tokens[:, 0] == CLS).all() and (batch.tokens[~real] == PAD).all()
    assert ((batch.tokens == SEP).sum(axis=1) == 1 + batch.order_weights[:, 0]).all()
    assert (batch.masked_weights.sum(axis=1) >= 1).all()
    assert batch.real_tokens == real.sum() and batch.ordered == batch.order_weights.sum()
    assert batch.predicted == batch.masked_weights.sum()
    assert len(batch) == 100
    assert replace(batch, segment_ids=batch.segment_ids * 3).real_tokens == batch.real_tokens


@pytest.mark.parametrize("order", ["sop", "nsp", "none"])
def test_packed_rows_obey_their_structure(source, order: str) -> None:
    dataset = bert(source, np.arange(60), packing=True, order=order)
    batch = dataset.batch(np.arange(3 * len(dataset)))
    several = 0
    for row in range(len(batch)):
        segments, tokens = batch.segment_ids[row], batch.tokens[row]
        count = int(segments.max())
        several += count > 1
        real = int((segments > 0).sum())
        assert (np.diff(segments[:real]) >= 0).all() and (segments[real:] == 0).all() and count <= SLOTS
        for number in range(1, count + 1):
            columns = np.flatnonzero(segments == number)
            assert columns[0] == batch.cls_positions[row, number - 1] and tokens[columns[0]] == CLS
            assert batch.position_ids[row, columns].tolist() == list(range(len(columns)))
            assert tokens[columns[-1]] == SEP
            separators = 2 if batch.order_weights[row, number - 1] else 1
            assert (tokens[columns] == SEP).sum() == separators
            assert batch.tokentype_ids[row, columns].any() == (separators == 2)
        assert not batch.order_weights[row, count:].any() and not batch.cls_positions[row, count:].any()
    assert several > 10
    labels = batch.order_labels[batch.order_weights > 0]
    assert labels.mean() == pytest.approx(0.5, abs=0.15) if order != "none" else not len(labels)


@pytest.mark.parametrize("ranks", range(1, 9))
def test_packed_rows_come_once_in_an_epoch_for_any_ranks_and_restarts(source, ranks: int) -> None:
    dataset = bert(source, np.arange(60), packing=True)
    global_batch_size, micro = 840, 1
    epochs = -(-2 * len(dataset) // global_batch_size)
    for resumed in range(epochs + 1):
        read = np.empty(0, dtype=np.int64)
        for step in range(resumed, epochs + 1):
            parts = [rows_of_step(step, global_batch_size, ranks, rank, micro) for rank in range(ranks)]
            read = np.concatenate([read, np.stack(parts, axis=1).reshape(-1)])
        begin = resumed * global_batch_size
        assert read.tolist() == list(range(begin, begin + len(read)))
    for epoch in range(3):
        _, rows = GlobalOrder(len(dataset), 1).locate(np.arange(len(dataset)) + epoch * len(dataset))
        assert sorted(rows.tolist()) == list(range(len(dataset)))


def test_samples_with_the_same_text_are_masked_differently(memory_source) -> None:
    dataset = bert(memory_source([[list(range(10, 39))]] * 20), np.arange(20))
    batch = dataset.evaluation_batch(np.arange(20))
    assert len({str(row) for row in batch.masked_positions.tolist()}) > 10


def test_gpt_labels_are_the_next_tokens(source) -> None:
    batch = gpt(source, np.arange(60)).batch(np.arange(10))
    assert (batch.labels[:, :-1] == batch.tokens[:, 1:]).all()
    assert (batch.segment_ids == 1).all() and (batch.label_weights == 1).all()
    assert (batch.position_ids == np.arange(LENGTH)).all()


def test_gpt_reset_restarts_at_each_document(memory_source) -> None:
    sizes = [5, 1, 9, 3, 30, 2, 7, 4, 6]
    eod = 1
    source = memory_source([[[10 + index] * (size - 1) + [eod]] for index, size in enumerate(sizes)])
    plain, reset = gpt(source, np.arange(len(sizes))), gpt(source, np.arange(len(sizes)), reset=True)
    batch = reset.batch(np.arange(4))
    assert np.array_equal(batch.tokens, plain.batch(np.arange(4)).tokens)
    assert batch.real_tokens == batch.tokens.size > batch.predicted
    assert np.array_equal(batch.label_weights, (batch.tokens != eod).astype(np.float32))
    for row in range(4):
        segment, position = 1, 0
        for column, token in enumerate(batch.tokens[row].tolist()):
            assert (batch.segment_ids[row, column], batch.position_ids[row, column]) == (segment, position)
            segment, position = (segment + 1, 0) if token == eod else (segment, position + 1)


def test_slices_share_memory_with_their_batch(dataset) -> None:
    batch = dataset.batch(np.arange(6))
    part = batch.rows(2, 5)
    assert len(part) == 3 and type(part) is type(batch)
    assert part.sample_ids.tolist() == [2, 3, 4]
    assert np.shares_memory(part.tokens, batch.tokens)
