"""Real abstracts with a real vocabulary: every token is in one sample, and a row reads as the text."""

import json
import lzma
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.config.data import DataConfig
from megatron_bio.data.build import build_datasets
from megatron_bio.data.packing import pack_rows
from megatron_bio.tokens.indexed import IndexedReader, IndexedWriter
from megatron_bio.tokens.sentences import split_sentences
from megatron_bio.tokens.tokenizer import Tokenizer

SHARED = Path(__file__).parents[3] / "shared" / "data"
VOCABULARIES = ["bert-cased.txt", "biomedical-50k-uncased.txt"]
TEXT = SHARED / "text" / "abstracts.jsonl.xz"
VOCABULARY = SHARED / "vocab" / "bert-cased.txt"

pytestmark = pytest.mark.skipif(
    not (TEXT.exists() and VOCABULARY.exists()), reason=f"needs real abstracts at {TEXT} and {VOCABULARY}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(VOCABULARY, lowercase=False)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> str:
    path = tmp_path_factory.mktemp("tokens") / "abstracts"
    with lzma.open(TEXT, "rt") as lines, IndexedWriter(path, tokenizer.vocab_size) as writer:
        for line in islice(lines, 300):
            for tokens in tokenizer.encode_batch(split_sentences(json.loads(line)["text"])):
                if len(tokens):
                    writer.add_sequence(tokens)
            writer.end_document()
    return str(path)


def test_an_epoch_holds_every_token_of_the_abstracts(prefix: str, tokenizer: Tokenizer) -> None:
    config = DataConfig(prefixes=[prefix], tokenizer="", sequence_length=128, split=(1.0, 0.0, 0.0))
    train, _, report = build_datasets(config, "bert", tokenizer)
    batch = train.batch(np.arange(len(train)))
    tokens = batch.tokens.copy()
    rows, slots = np.nonzero(batch.masked_weights)
    tokens[rows, batch.masked_positions[rows, slots]] = batch.masked_labels[rows, slots]
    framing = [tokenizer.cls, tokenizer.sep, tokenizer.pad]
    found = np.bincount(tokens[~np.isin(tokens, framing)], minlength=tokenizer.vocab_size)
    assert (found == np.bincount(IndexedReader(prefix).tokens, minlength=tokenizer.vocab_size)).all()
    assert report["train"]["split_sentences"] > 0, "abstracts hold sentences longer than 125 tokens"
    assert batch.predicted / batch.real_tokens == pytest.approx(0.15, abs=0.01)
    assert batch.order_labels[batch.order_weights > 0].mean() == pytest.approx(0.5, abs=0.1)


def test_the_parts_of_a_row_are_neighbours_in_the_abstract(prefix: str, tokenizer: Tokenizer) -> None:
    config = DataConfig(
        prefixes=[prefix], tokenizer="", split=(1.0, 0.0, 0.0), masked_lm_probability=0.001, packing=False
    )
    train, _, _ = build_datasets(config, "bert", tokenizer)
    batch = train.evaluation_batch(np.arange(20))
    corpus = IndexedReader(prefix).tokens.astype(np.int32).tobytes()
    for row in range(20):
        tokens = batch.tokens[row].copy()
        used = batch.masked_weights[row] > 0
        tokens[batch.masked_positions[row][used]] = batch.masked_labels[row][used]
        kind, real = batch.tokentype_ids[row], batch.segment_ids[row] > 0
        parts = [tokens[real & (kind == 0)][1:-1], tokens[real & (kind == 1)][:-1]]
        if batch.order_labels[row, 0]:
            parts.reverse()
        assert np.concatenate(parts).astype(np.int32).tobytes() in corpus


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize(("texts", "documents"), [("abstracts", 3000), ("pmc-open", 150)])
def test_rows_of_512_are_full(texts: str, documents: int, vocabulary: str) -> None:
    tokenizer = Tokenizer.load(SHARED / "vocab" / vocabulary, lowercase="uncased" in vocabulary)
    lengths, bounds = [], [0]
    with lzma.open(SHARED / "text" / f"{texts}.jsonl.xz", "rt") as lines:
        for line in islice(lines, documents):
            lengths += [
                len(tokens) for tokens in tokenizer.encode_batch(split_sentences(json.loads(line)["text"]))
            ]
            bounds.append(len(lengths))
    counts = pack_rows(
        np.array(lengths, dtype=np.int32),
        np.array(bounds),
        np.arange(documents),
        sequence_length=512,
        max_samples_per_row=16,
        paired=True,
        short_sequence_probability=0.1,
        seed=1,
    ).counts
    assert counts.tokens == sum(lengths)
    assert counts.as_dict()["fill"] >= 0.97
