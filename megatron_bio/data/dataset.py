"""Datasets: from global sample indices to batches, as pure functions. A dataset holds no position; resuming needs none."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.batch import BertBatch, GptBatch
from megatron_bio.data.bert_rows import (
    Layout,
    Placement,
    SentenceOrder,
    SpecialTokens,
    lay_out,
    pair_up,
    read_tokens,
)
from megatron_bio.data.bert_samples import BertSamples
from megatron_bio.data.compiled_rows import compiled_rows
from megatron_bio.data.gpt_samples import GptRecipe as GptRecipe
from megatron_bio.data.gpt_samples import GptSamples
from megatron_bio.data.masking import Masking, mask_rows
from megatron_bio.data.order import EMPTY_ROW, GlobalOrder
from megatron_bio.data.packing import one_sample_per_row, pack_rows
from megatron_bio.data.randomness import Purpose, hash_words
from megatron_bio.data.sources import TokenSource

_EVALUATION_EPOCH = 0


@dataclass(frozen=True, kw_only=True)
class BertRecipe:
    """How BERT rows are made of documents."""

    sequence_length: int
    special: SpecialTokens
    masking: Masking
    short_sequence_probability: float
    sentence_order: SentenceOrder
    packing: bool
    max_samples_per_row: int
    """K; 1 without packing."""
    seed: int

    @property
    def sample_options(self) -> dict[str, int | float | bool]:
        """Everything that `samples` depends on besides the text; a cache of its result is known by it."""
        return {
            "sequence_length": self.sequence_length,
            "paired": self.sentence_order != "none",
            "packing": self.packing,
            "max_samples_per_row": self.max_samples_per_row,
            "short_sequence_probability": self.short_sequence_probability,
            "seed": self.seed,
        }

    def samples(self, source: TokenSource, documents: NDArray[np.int64]) -> BertSamples:
        """Cut `documents` into samples and put these into rows."""
        text = source.sequence_lengths, source.document_indices, documents
        rules: dict[str, Any] = {
            "sequence_length": self.sequence_length,
            "paired": self.sentence_order != "none",
            "short_sequence_probability": self.short_sequence_probability,
            "seed": self.seed,
        }
        if not self.packing:
            return one_sample_per_row(*text, **rules)
        return pack_rows(*text, max_samples_per_row=self.max_samples_per_row, **rules)


class BertDataset:
    """Rows of sentence pairs with masked tokens.

    What a row holds is the same in every epoch; the order of the rows, cut, swap and masks are not.
    """

    def __init__(self, source: TokenSource, samples: BertSamples, recipe: BertRecipe) -> None:
        """Read `samples`, which `recipe` has made of documents of `source`."""
        self._source = source
        self._recipe = recipe
        self._samples = samples

    def __len__(self) -> int:
        """Return the rows of one epoch, the same in every epoch."""
        return self._samples.rows

    def counts(self) -> dict[str, int | float]:
        """Return what became of the documents, for the report."""
        return self._samples.counts.as_dict()

    def batch(self, global_samples: NDArray[np.int64]) -> BertBatch:
        """Return the rows of training for these global row indices."""
        epochs, rows = GlobalOrder(len(self), self._recipe.seed).locate(global_samples)
        return self._rows(global_samples, epochs, rows)

    def evaluation_batch(self, samples: NDArray[np.int64]) -> BertBatch:
        """Return the rows with these numbers, masked the same way whenever asked; EMPTY_ROW gives padding."""
        return self._rows(samples, np.full_like(samples, _EVALUATION_EPOCH), samples)

    def documents(self, global_samples: NDArray[np.int64]) -> list[list[int]]:
        """Return the number in the source of the document that each sample of the rows of `batch` begins in."""
        return self._documents_of(GlobalOrder(len(self), self._recipe.seed).locate(global_samples)[1])

    def evaluation_documents(self, samples: NDArray[np.int64]) -> list[list[int]]:
        """Return the same for the rows of `evaluation_batch`."""
        return self._documents_of(samples)

    def _documents_of(self, rows: NDArray[np.int64]) -> list[list[int]]:
        firsts = self._samples.first_sample
        bounds = self._source.document_indices
        sentences = [self._samples.first_sequence[firsts[row] : firsts[row + 1]] for row in rows.tolist()]
        return [(np.searchsorted(bounds, part, side="right") - 1).tolist() for part in sentences]

    def _rows(
        self, sample_ids: NDArray[np.int64], epochs: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> BertBatch:
        recipe, samples = self._recipe, self._samples
        real = np.flatnonzero(rows != EMPTY_ROW)
        firsts = samples.first_sample[rows[real]]
        counts = samples.first_sample[rows[real] + 1] - firsts
        chosen = np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        epochs_of_samples = np.repeat(epochs[real], counts)
        pairs = pair_up(self._source, samples, chosen, epochs_of_samples, recipe.seed, recipe.sentence_order)
        place = Placement.side_by_side(np.repeat(real, counts), len(rows), pairs.widths)
        row_keys = hash_words(recipe.seed, Purpose.MASK_ROW, epochs, rows)
        shape = recipe.sequence_length, recipe.special, recipe.max_samples_per_row
        arrays = compiled_rows(self._source, pairs, place, row_keys, *shape, recipe.masking)
        if arrays is not None:
            return BertBatch(**arrays, sample_ids=sample_ids)
        layout = lay_out(read_tokens(self._source, pairs), pairs, place, *shape)
        return masked_batch(layout, row_keys, recipe.masking, sample_ids)


def masked_batch(
    layout: Layout, row_keys: NDArray[np.uint64], masking: Masking, sample_ids: NDArray[np.int64]
) -> BertBatch:
    """Mask rows that are laid out."""
    masked = mask_rows(layout.tokens, layout.segment_ids, row_keys, masking)
    return BertBatch(
        tokens=masked.tokens,
        segment_ids=layout.segment_ids,
        position_ids=layout.position_ids,
        tokentype_ids=layout.tokentype_ids,
        masked_positions=masked.positions,
        masked_labels=masked.labels,
        masked_weights=masked.weights,
        cls_positions=layout.cls_positions,
        order_labels=layout.order_labels,
        order_weights=layout.order_weights,
        sample_ids=sample_ids,
    )


class GptDataset:
    """Chunks of the documents' stream, each with its next tokens as labels."""

    def __init__(self, source: TokenSource, documents: NDArray[np.int64], recipe: GptRecipe) -> None:
        """Count the chunks of `documents`, numbers of documents in `source`."""
        self._recipe = recipe
        self._samples = GptSamples(source, documents, recipe)

    def __len__(self) -> int:
        """Return the chunks of one epoch, the same number in every epoch."""
        return len(self._samples)

    def counts(self) -> dict[str, int]:
        """Return what becomes of the documents in each epoch, for the report."""
        return self._samples.counts.as_dict()

    def batch(self, global_samples: NDArray[np.int64]) -> GptBatch:
        """Return the rows of training for these global sample indices, one each."""
        epochs, samples = GlobalOrder(len(self), self._recipe.seed).locate(global_samples)
        return self._rows(global_samples, epochs, samples)

    def evaluation_batch(self, samples: NDArray[np.int64]) -> GptBatch:
        """Return the rows of the chunks with these numbers in the first epoch's stream; EMPTY_ROW gives padding."""
        return self._rows(samples, np.full_like(samples, _EVALUATION_EPOCH), samples)

    def _rows(
        self, sample_ids: NDArray[np.int64], epochs: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> GptBatch:
        return GptBatch(**self._samples.read(epochs, samples), sample_ids=sample_ids)


Dataset: TypeAlias = BertDataset | GptDataset
