"""From a configuration to the training and validation datasets, with a report of what they hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from megatron_bio import native
from megatron_bio.config.data import DataConfig
from megatron_bio.data.bert_rows import SpecialTokens
from megatron_bio.data.dataset import BertDataset, BertRecipe, Dataset, GptDataset, GptRecipe
from megatron_bio.data.errors import DataError
from megatron_bio.data.masking import Masking
from megatron_bio.data.sources import TokenSource, combine, content_fingerprint
from megatron_bio.data.split import SPLIT_NAMES, split_documents
from megatron_bio.tokens.indexed import IndexedReader
from megatron_bio.tokens.sidecar import Sidecar, check_tokenizer
from megatron_bio.tokens.tokenizer import Tokenizer

Architecture = Literal["bert", "gpt"]


@dataclass(frozen=True)
class TrainingData:
    """Everything of the data that a run needs."""

    train: Dataset
    validation: Dataset | None
    vocab_size: int
    fingerprints: dict[str, str]
    """Of the tokenizer and of the token data's contents, wherever the files lie."""
    report: dict[str, Any]


def open_training_data(config: DataConfig, architecture: Architecture) -> TrainingData:
    """Load the tokenizer that `config` names and build the datasets; raises what `build_datasets` raises."""
    tokenizer = Tokenizer.load(config.tokenizer)
    train, validation, report = build_datasets(config, architecture, tokenizer)
    fingerprints = {
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "data_fingerprint": str(report["fingerprint"]),
    }
    return TrainingData(train, validation, tokenizer.vocab_size, fingerprints, report)


def build_datasets(
    config: DataConfig, architecture: Architecture, tokenizer: Tokenizer
) -> tuple[Dataset, Dataset | None, dict[str, Any]]:
    """Open the token data, split its documents and return (train, validation, report).

    validation is None when its fraction is 0. report holds strings and numbers, nested by name, and is JSON as it
    stands: "prefixes" (what each file holds and how its tokenizer was checked), "fingerprint" (of the contents, wherever
    the files lie), "documents" per part of the split, the counts of "train" and "validation", and "packing" if no compiled code did
    it.

    Raises:
        DataError: token data of the wrong kind, or too little of it for one sample.
        TokenDataError: damaged files, or made with another tokenizer.
        TokenizerError: a tokenizer without the special tokens that the architecture needs.
    """
    recipe = _bert_recipe(config, tokenizer) if architecture == "bert" else _gpt_recipe(config, tokenizer)
    readers = [_open(prefix, architecture, tokenizer) for prefix in config.prefixes]
    source = combine([reader for reader, _ in readers], config.prefixes)
    split = split_documents(len(source.document_indices) - 1, config.split, config.seed)
    train = _dataset(source, split.train, recipe, "train")
    validation = _dataset(source, split.validation, recipe, "validation") if config.split[1] > 0 else None
    report = {
        "prefixes": {
            prefix: {
                "documents": reader.document_count,
                "sequences": len(reader),
                "tokens": reader.token_count,
                "tokenizer": checked,
            }
            for prefix, (reader, checked) in zip(config.prefixes, readers, strict=True)
        },
        "fingerprint": content_fingerprint(source),
        "documents": {name: len(getattr(split, name)) for name in SPLIT_NAMES},
        "train": train.counts(),
    }
    if validation is not None:
        report["validation"] = validation.counts()
    if isinstance(recipe, BertRecipe) and recipe.packing and native.compiled is None:
        report["packing"] = native.NOTICE
    return train, validation, report


def _bert_recipe(config: DataConfig, tokenizer: Tokenizer) -> BertRecipe:
    special = SpecialTokens(cls=tokenizer.cls, sep=tokenizer.sep, mask=tokenizer.mask, pad=tokenizer.pad)
    return BertRecipe(
        sequence_length=config.sequence_length,
        special=special,
        masking=Masking.for_vocabulary(
            config.masked_lm_probability,
            special.mask,
            sorted({*tokenizer.special_ids.tolist(), special.cls, special.sep, special.mask, special.pad}),
            tokenizer.continuation_mask(),
            config.masking,
            max_ngram=config.max_ngram,
            span_probability=config.span_probability,
            longest_span=config.longest_span,
        ),
        short_sequence_probability=config.short_sequence_probability,
        sentence_order=config.sentence_order,
        packing=config.packing,
        max_samples_per_row=config.max_samples_per_row if config.packing else 1,
        seed=config.seed,
    )


def _gpt_recipe(config: DataConfig, tokenizer: Tokenizer) -> GptRecipe:
    """Empty rows of an evaluation hold the end-of-document token: vocabularies of GPT have no padding."""
    return GptRecipe(
        sequence_length=config.sequence_length,
        pad=tokenizer.eod,
        reset_at_document_end=config.reset_at_document_end,
        seed=config.seed,
    )


def _open(prefix: str, architecture: Architecture, tokenizer: Tokenizer) -> tuple[IndexedReader, str]:
    """Return the reader of token data that suit architecture and tokenizer, and how the latter was checked."""
    reader = IndexedReader(prefix)
    checked = check_tokenizer(prefix, tokenizer)
    sidecar = Sidecar.read(Path(prefix))
    alone = len(reader) == reader.document_count
    if architecture == "bert" and (sidecar.kind == "documents" if sidecar else alone):
        raise DataError(
            f"data.prefixes: model.architecture bert needs one sequence per sentence, but {prefix} holds one per document "
            f"({len(reader)} sequences, {reader.document_count} documents). Make it again with "
            f"`megatron-bio preprocess --split_sentences true`."
        )
    if architecture == "gpt" and sidecar and sidecar.kind == "sentences":
        raise DataError(
            f"data.prefixes: model.architecture gpt needs one sequence per document, but {prefix} holds one per sentence "
            f"({len(reader)} sequences, {reader.document_count} documents). Make it again with "
            f"`megatron-bio preprocess --split_sentences false`, which also ends each document with a token of its own."
        )
    return reader, checked


def _dataset(
    source: TokenSource, documents: NDArray[np.int64], recipe: BertRecipe | GptRecipe, part: str
) -> Dataset:
    """Return the dataset of one part of the split; a part without a single sample is an error."""
    dataset: Dataset
    if isinstance(recipe, BertRecipe):
        dataset, needed = BertDataset(source, documents, recipe), 1
    else:
        dataset, needed = GptDataset(source, documents, recipe), recipe.sequence_length + 1
    if not len(dataset):
        raise DataError(
            f"data.split leaves {len(documents)} of the documents, with {dataset.counts()['tokens']} tokens, for {part}; "
            f"one sample of data.sequence_length {recipe.sequence_length} needs {needed}. Give more documents in "
            f"data.prefixes, a larger fraction for {part}, or a shorter data.sequence_length."
        )
    return dataset
