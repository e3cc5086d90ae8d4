"""From a configuration to the training and validation datasets, with a report of what they hold."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from megatron_bio import native
from megatron_bio.config.data import DataConfig
from megatron_bio.data.bert_rows import SpecialTokens
from megatron_bio.data.blend import Blend, BlendedDataset, rows_of_block, seed_of_corpus
from megatron_bio.data.dataset import BertDataset, BertRecipe, Dataset, GptDataset, GptRecipe
from megatron_bio.data.errors import DataError
from megatron_bio.data.index_cache import FORMAT, cache_key, cached_samples
from megatron_bio.data.masking import Masking
from megatron_bio.data.sources import TokenSource, combine, content_fingerprint
from megatron_bio.data.split import SPLIT_NAMES, Split, split_documents
from megatron_bio.tokens.indexed import IndexedReader, data_path
from megatron_bio.tokens.sidecar import Sidecar, check_tokenizer, sidecar_path
from megatron_bio.tokens.tokenizer import Tokenizer

Architecture = Literal["bert", "gpt"]
TrainingDataset: TypeAlias = Dataset | BlendedDataset


@dataclass(frozen=True)
class TrainingData:
    """Everything of the data that a run needs."""

    train: TrainingDataset
    validation: TrainingDataset | None
    vocab_size: int
    fingerprints: dict[str, str]
    """Of the tokenizer, of the token data's contents wherever the files lie, and of how rows are packed, if they are. A run goes
    on with the same ones only."""
    report: dict[str, Any]


def open_training_data(config: DataConfig, architecture: Architecture) -> TrainingData:
    """Load the tokenizer that `config` names and build the datasets; raises what `build_datasets` raises."""
    tokenizer = Tokenizer.load(config.tokenizer)
    train, validation, report = build_datasets(config, architecture, tokenizer)
    fingerprints = {
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "data_fingerprint": str(report["fingerprint"]),
    }
    if architecture == "bert" and config.packing:
        # A run that went on with rows of another version would read some texts twice and others never.
        fingerprints["packed_rows"] = f"index format {FORMAT}"
    return TrainingData(train, validation, tokenizer.vocab_size, fingerprints, report)


def build_datasets(
    config: DataConfig, architecture: Architecture, tokenizer: Tokenizer, *, write_cache: bool = True
) -> tuple[TrainingDataset, TrainingDataset | None, dict[str, Any]]:
    """Open the token data, split its documents and return (train, validation, report).

    validation is None when its fraction is 0. report holds strings and numbers, nested by name, and is JSON as it
    stands: "prefixes" (what each file holds and how its tokenizer was checked), "blend" where weights are given, "fingerprint"
    (of the contents, wherever the files lie), "documents" per part of the split, the counts of "train" and "validation",
    "index_cache" (what was read from it or built, BERT only), and "packing" if no compiled code did it. write_cache
    False reads caches, but makes none.

    Raises:
        DataError: token data of the wrong kind, or too little of it for one sample.
        TokenDataError: damaged files, or made with another tokenizer.
        TokenizerError: a tokenizer without the special tokens that the architecture needs.
    """
    recipe = _bert_recipe(config, tokenizer) if architecture == "bert" else _gpt_recipe(config, tokenizer)
    readers = [_open(prefix, architecture, tokenizer) for prefix in config.prefixes]
    _check_different(config.prefixes)
    report: dict[str, Any] = {
        "prefixes": {
            prefix: {
                "documents": reader.document_count,
                "sequences": len(reader),
                "tokens": reader.token_count,
                "tokenizer": checked,
            }
            for prefix, (reader, checked) in zip(config.prefixes, readers, strict=True)
        },
    }
    if config.weights is None:
        source = combine([reader for reader, _ in readers], config.prefixes)
        report["fingerprint"] = content_fingerprint(source)
        cache = _CacheUse.of(config, config.prefixes[0], report["fingerprint"], write_cache)
        corpora = [_Corpus.open("", source, config, recipe, cache)]
    else:
        rows = rows_of_block(config.weights)
        fingerprints = [content_fingerprint(reader) for reader, _ in readers]
        report["fingerprint"] = hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()
        corpora = []
        for number, prefix in enumerate(config.prefixes):
            if rows[number]:
                cache = _CacheUse.of(config, prefix, fingerprints[number], write_cache)
                corpora.append(_Corpus.open(prefix, readers[number][0], config, recipe, cache, number))
        report["blend"] = {
            prefix: {"weight": weight, "rows_of_each_10000": int(count)}
            for prefix, weight, count in zip(config.prefixes, config.weights, rows, strict=True)
        }
    report["documents"] = {
        name: sum(len(getattr(corpus.split, name)) for corpus in corpora) for name in SPLIT_NAMES
    }
    train = _joined([(corpus, corpus.train) for corpus in corpora], config)
    report["train"] = train.counts()
    validation = None
    if config.split[1] > 0:
        validation = _joined([(corpus, corpus.validation) for corpus in corpora], config)
        report["validation"] = validation.counts()
    origins = [origin for corpus in corpora for origin in corpus.origins]
    if origins:
        report["index_cache"] = "; ".join(origins)
    if isinstance(recipe, BertRecipe) and native.compiled is None:
        report["packing"] = native.NOTICE
    return train, validation, report


@dataclass(frozen=True)
class _CacheUse:
    """Where the samples of one source are kept."""

    folder: Path | None
    fingerprint: str
    write: bool

    @classmethod
    def of(cls, config: DataConfig, prefix: str, fingerprint: str, write: bool) -> "_CacheUse":
        """Return the cache of a source whose first file has this prefix."""
        if config.index_cache == "none":
            return cls(None, fingerprint, write)
        return cls(Path(config.index_cache or f"{prefix}.cache"), fingerprint, write)


@dataclass(frozen=True)
class _Corpus:
    """One source of documents with its parts."""

    name: str
    """Its prefix in a blend; empty where it is all there is."""
    source: TokenSource
    split: Split
    train: Dataset
    validation: Dataset | None
    origins: list[str]
    """Where the samples of each part come from, in words."""

    @classmethod
    def open(
        cls,
        name: str,
        source: TokenSource,
        config: DataConfig,
        recipe: BertRecipe | GptRecipe,
        cache: _CacheUse,
        number: int = 0,
    ) -> "_Corpus":
        """Split the documents of `source` and build the parts; `number` is that of the corpus in its blend."""
        documents = len(source.document_indices) - 1
        split = split_documents(documents, config.split, config.seed, name or "the token data")
        origins: list[str] = []
        parts: list[Dataset | None] = [None, None]
        for place, part in enumerate(SPLIT_NAMES[:2]):
            if config.split[place] > 0:
                text = f"{part} of {name}" if name else part
                parts[place], origin = _dataset(source, getattr(split, part), recipe, text, cache, number)
                if origin:
                    origins.append(f"{text} {origin}")
        train, validation = parts
        assert train is not None, "the fraction for train is above 0"
        return cls(name, source, split, train, validation, origins)


def _joined(parts: list[tuple[_Corpus, Dataset | None]], config: DataConfig) -> TrainingDataset:
    """Return the only dataset, or those of a blend as one."""
    datasets = [dataset for _, dataset in parts if dataset is not None]
    if config.weights is None:
        return datasets[0]
    rows = tuple(int(count) for count in rows_of_block(config.weights) if count)
    return BlendedDataset(
        [corpus.name for corpus, _ in parts],
        datasets,
        [len(corpus.source.document_indices) - 1 for corpus, _ in parts],
        Blend(rows, config.seed),
    )


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
    reader.verify()  # opening a large index looks at it in places only
    checked = check_tokenizer(prefix, tokenizer)
    sidecar = Sidecar.read(Path(prefix))
    alone = len(reader) == reader.document_count
    if architecture == "bert" and (sidecar.kind == "documents" if sidecar else alone):
        unsure = (
            ""
            if sidecar
            else f"; documents of one sentence each look the same without {sidecar_path(Path(prefix)).name}"
        )
        raise DataError(
            f"data.prefixes: model.architecture bert needs one sequence per sentence, but {prefix} holds one per document "
            f"({len(reader)} sequences, {reader.document_count} documents{unsure}). Make it again with "
            f"`megatron-bio preprocess --split_sentences true`."
        )
    if architecture == "gpt" and sidecar and sidecar.kind == "sentences":
        raise DataError(
            f"data.prefixes: model.architecture gpt needs one sequence per document, but {prefix} holds one per sentence "
            f"({len(reader)} sequences, {reader.document_count} documents). Make it again with "
            f"`megatron-bio preprocess --split_sentences false`, which also ends each document with a token of its own."
        )
    return reader, checked


def _check_different(prefixes: Sequence[str]) -> None:
    """Refuse what the configuration cannot see: the same files under two names, by links of any kind."""
    seen: dict[tuple[int, int], str] = {}
    for prefix in prefixes:
        status = data_path(Path(prefix)).stat()
        other = seen.setdefault((status.st_dev, status.st_ino), prefix)
        if other != prefix:
            raise DataError(
                f"data.prefixes: {other} and {prefix} are the same files; their documents could be in train and validation at "
                f"once. Give one of them."
            )


def _dataset(
    source: TokenSource,
    documents: NDArray[np.int64],
    recipe: BertRecipe | GptRecipe,
    part: str,
    cache: _CacheUse,
    number: int,
) -> tuple[Dataset, str]:
    """Return the dataset of one part of the split and where it comes from; a part without a single sample is an error.

    Split and samples do not depend on the number of the corpus in a blend, so that a cache serves every blend.
    """
    dataset: Dataset
    origin = ""
    own = replace(recipe, seed=seed_of_corpus(recipe.seed, number))
    if isinstance(recipe, BertRecipe) and isinstance(own, BertRecipe):
        build = partial(recipe.samples, source, documents)
        if cache.folder is None:
            samples = build()
        else:
            key = cache_key(cache.fingerprint, documents, recipe.sample_options)
            cached = cached_samples(cache.folder, key, source, build, write=cache.write)
            samples, origin = cached.samples, cached.origin
        dataset, needed = BertDataset(source, samples, own), 1
    else:
        assert isinstance(own, GptRecipe)
        dataset, needed = GptDataset(source, documents, own), recipe.sequence_length + 1
    if not len(dataset):
        raise DataError(
            f"data.split leaves {len(documents)} of the documents, with {dataset.counts()['tokens']} tokens, for {part}; "
            f"one sample of data.sequence_length {recipe.sequence_length} needs {needed}. Give more documents in "
            f"data.prefixes, a larger fraction for {part}, or a shorter data.sequence_length."
        )
    return dataset, origin
