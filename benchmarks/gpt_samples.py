"""GPT rows side by side with Megatron-core's GPTDataset: the same token data, CPU seconds of one thread, in one run.

    python benchmarks/gpt_samples.py

makes token data of documents whose lengths are drawn like those of abstracts, and draws rows of them in random order: ours as
batches of 64 rows, Megatron's one by one, which it makes in the worker processes of a loader. Shares of both are made in turn, so
that a busy machine slows both. Both read memory-mapped files; ours are numpy arrays at the end, Megatron's are torch tensors. What
comes after (collating, moving to a device) is in neither; so is the conversion of ours to tensors, which copies nothing.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from megatron_bio import native
from megatron_bio.data.dataset import GptDataset, GptRecipe
from megatron_bio.tokens.indexed import IndexedReader, IndexedWriter

ROWS_OF_A_BATCH = 64
TURNS = 8
VOCABULARY = 30000
END_OF_DOCUMENT = 1
TOKENS_OF_A_DOCUMENT = 300


def token_data(prefix: Path, documents: int) -> None:
    """Write documents of random tokens, one sequence each, with lengths of a gamma distribution."""
    rng = np.random.default_rng(0)
    with IndexedWriter(prefix, VOCABULARY) as writer:
        for start in range(0, documents, 10000):
            count = min(10000, documents - start)
            lengths = 1 + rng.gamma(4.0, TOKENS_OF_A_DOCUMENT / 4, count).astype(np.int64)
            tokens = rng.integers(2, VOCABULARY, lengths.sum())
            tokens[np.cumsum(lengths) - 1] = END_OF_DOCUMENT
            writer.add_sequences(tokens, lengths)
            writer.end_documents(np.ones(count, dtype=np.int64))


def our_gpt(prefix: Path, sequence_length: int, reset: bool) -> GptDataset:
    """Our rows of all documents."""
    source = IndexedReader(prefix)
    recipe = GptRecipe(
        sequence_length=sequence_length, pad=END_OF_DOCUMENT, reset_at_document_end=reset, seed=1234
    )
    return GptDataset(source, np.arange(source.document_count), recipe)


class MegatronTokenizer:
    """What GPTDataset asks a tokenizer for."""

    eod = END_OF_DOCUMENT
    pad = END_OF_DOCUMENT
    vocab_size = VOCABULARY

    def __init__(self) -> None:
        """Name the vocabulary, of which Megatron's cache is made."""
        self.unique_identifiers = {"vocabulary": "random"}


def start_megatron(folder: Path) -> None:
    """Megatron builds its index in a process group."""
    import torch

    torch.set_num_threads(1)
    store = folder / f"rendezvous-{os.getpid()}"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)


def megatron_gpt(prefix: Path, sequence_length: int, reset: bool, cache: Path) -> Any:
    """Megatron's rows of all documents, one epoch; its index is kept in the folder `cache`. A process group is needed."""
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import Split

    config = GPTDatasetConfig(
        random_seed=1234,
        sequence_length=sequence_length,
        blend=([str(prefix)], None),
        split="100,0,0",
        path_to_cache=str(cache),
        tokenizer=MegatronTokenizer(),
        reset_position_ids=reset,
        reset_attention_mask=reset,
        eod_mask_loss=reset,
        create_attention_mask=False,
    )
    source = IndexedDataset(str(prefix))
    documents = np.arange(len(source.document_indices) - 1, dtype=np.int32)
    return GPTDataset(source, str(prefix), documents, None, Split.train, config)


def our_seconds(dataset: GptDataset, batches: range) -> float:
    """CPU seconds of these batches of training."""
    started = time.process_time()
    for number in batches:
        dataset.batch(np.arange(number * ROWS_OF_A_BATCH, (number + 1) * ROWS_OF_A_BATCH))
    return time.process_time() - started


def megatron_seconds(dataset: Any, chosen: list[int]) -> float:
    """CPU seconds of these samples."""
    started = time.process_time()
    for index in chosen:
        dataset[index]
    return time.process_time() - started


def compare(prefix: Path, sequence_length: int, reset: bool, rows: int, peer_rows: int) -> str:
    """One paragraph of the result."""
    ours = our_gpt(prefix, sequence_length, reset)
    peer = megatron_gpt(prefix, sequence_length, reset, prefix.parent / "cache")
    rng = np.random.default_rng(1)
    batches = rows // ROWS_OF_A_BATCH
    our_seconds(ours, range(batches))  # The files are read once before the clock runs, by each side.
    megatron_seconds(peer, rng.integers(0, len(peer), peer_rows).tolist())
    our_total = peer_total = 0.0
    for turn in range(TURNS):
        our_total += our_seconds(ours, range(turn * batches // TURNS, (turn + 1) * batches // TURNS))
        peer_total += megatron_seconds(peer, rng.integers(0, len(peer), peer_rows // TURNS).tolist())
    our_speed, peer_speed = batches * ROWS_OF_A_BATCH / our_total, peer_rows // TURNS * TURNS / peer_total
    return (
        f"rows of {sequence_length} tokens{', reset at the ends of documents' if reset else ''}: ours {our_speed:,.0f} rows/s "
        f"({our_total:.2f} s of CPU), GPTDataset {peer_speed:,.0f} rows/s ({peer_total:.2f} s); {our_speed / peer_speed:.1f} times"
    )


def main() -> None:
    """Compare all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=300_000)
    parser.add_argument("--sequence_lengths", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--rows", type=int, default=131072, help="rows of ours")
    parser.add_argument("--peer_rows", type=int, default=32768)
    arguments = parser.parse_args()
    if native.compiled is None:
        print(native.NOTICE)
    with tempfile.TemporaryDirectory() as temporary:
        prefix = Path(temporary) / "documents"
        token_data(prefix, arguments.documents)
        start_megatron(Path(temporary))
        for length in arguments.sequence_lengths:
            for reset in (False, True):
                print(compare(prefix, length, reset, arguments.rows, arguments.peer_rows), flush=True)


if __name__ == "__main__":
    main()
