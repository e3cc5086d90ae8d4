"""From numpy batches to the microbatches of a rank, prepared while the model computes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from megatron_bio.data.batch import BertBatch, GptBatch
from megatron_bio.data.build import TrainingDataset
from megatron_bio.data.errors import DataError
from megatron_bio.data.order import rows_of_evaluation, rows_of_step
from megatron_bio.data.prefetch import prefetch
from megatron_bio.kernels.dropout import sample_keys
from megatron_bio.training.passes import Microbatch


@dataclass(frozen=True)
class RankRows:
    """Which rows of a global batch this rank computes."""

    global_batch_size: int
    micro_batch_size: int
    data_parallel_size: int
    data_parallel_rank: int

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit, before anything is built."""
        self.of_step(0)

    def of_step(self, step: int) -> NDArray[np.int64]:
        """Return the global sample indices of one step, [microbatches, micro_batch_size]."""
        return rows_of_step(
            step,
            self.global_batch_size,
            self.data_parallel_size,
            self.data_parallel_rank,
            self.micro_batch_size,
        )


@dataclass(frozen=True)
class StepBatch:
    """This rank's part of one global batch."""

    microbatches: list[Microbatch]
    real_tokens: int


def training_batches(
    dataset: TrainingDataset,
    rows: RankRows,
    steps: range,
    seed: int,
    device: torch.device,
    sequences_per_row: int = 0,
) -> Iterator[StepBatch]:
    """Yield this rank's part of the given steps (from 0), two steps ahead of the model.

    `sequences_per_row` above 0: DataError at a row with more sequences than variable-length attention has room for.
    """

    def make() -> Iterator[StepBatch]:
        for step in steps:
            batches = [dataset.batch(microbatch) for microbatch in rows.of_step(step)]
            for batch in batches:
                check_sequences(batch, sequences_per_row)
            tensors = [to_tensors(batch, seed, device) for batch in batches]
            yield StepBatch(tensors, sum(batch.real_tokens for batch in batches))

    return prefetch(make(), depth=2)


def evaluation_microbatches(
    dataset: TrainingDataset,
    rows: RankRows,
    largest: int,
    seed: int,
    device: torch.device,
    sequences_per_row: int = 0,
) -> Iterator[Microbatch]:
    """Yield this rank's part of the first `largest` validation samples (0: all); the rest as `training_batches`."""
    samples = min(largest or len(dataset), len(dataset))
    numbers = rows_of_evaluation(
        samples, rows.data_parallel_size, rows.data_parallel_rank, rows.micro_batch_size
    )

    def make() -> Iterator[Microbatch]:
        for microbatch in numbers:
            batch = dataset.evaluation_batch(microbatch)
            check_sequences(batch, sequences_per_row)
            yield to_tensors(batch, seed, device)

    return prefetch(make(), depth=2)


def check_sequences(batch: BertBatch | GptBatch, sequences_per_row: int) -> None:
    """Raise `DataError` if a row has more sequences than `sequences_per_row`; 0 is no limit.

    The device would find it too, but only end the process. Packed rows never have more.
    """
    if not sequences_per_row:
        return
    found = 1 + np.count_nonzero(np.diff(batch.segment_ids, axis=1), axis=1)
    row = int(found.argmax())
    if found[row] > sequences_per_row:
        raise DataError(
            f"data.max_samples_per_row: the row of sample {batch.sample_ids[row]} holds {found[row]} documents and parts "
            f"of documents; variable-length attention takes {sequences_per_row} here. Go on with training.attention mask, or "
            f"start anew with a larger data.max_samples_per_row."
        )


def to_tensors(batch: BertBatch | GptBatch, seed: int, device: torch.device) -> Microbatch:
    """Move the arrays to the device; the sample ids become dropout keys."""
    tensors = {name: torch.from_numpy(array) for name, array in vars(batch).items()}
    if (
        device.type == "cuda"
    ):  # from pinned memory the copy does not hold up the thread that prepares the next batch
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    tensors = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
    tensors["dropout_keys"] = sample_keys(seed, tensors.pop("sample_ids"))
    return tensors
