"""Samples side by side with Megatron-core's datasets: the same token data, CPU seconds of one thread, in one run.

    python benchmarks/samples.py --data ../shared/data

makes token data of DATA/text/abstracts.jsonl.xz with a vocabulary of DATA/vocab by `megatron-bio preprocess`, unless WORK has them
already, and draws samples of them in random order: ours as batches of 64 rows, Megatron's one by one, which it makes in the worker
processes of a loader. A share of our rows and a share of its samples are made in turn, so that a busy machine slows both. Ours are
made of memory-mapped files and are numpy arrays at the end; so are Megatron's. What comes after (collating, torch) is in neither.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gpt_samples import start_megatron

from megatron_bio import cli, native
from megatron_bio.config.data import DataConfig
from megatron_bio.data.build import build_datasets
from megatron_bio.data.dataset import BertDataset
from megatron_bio.tokens.tokenizer import Tokenizer

ROWS_OF_A_BATCH = 64
TURNS = 8
MASKED_LM_PROBABILITY = 0.15
SHORT_SEQUENCE_PROBABILITY = 0.1


@dataclass(kw_only=True)
class Speed:
    """What one side did."""

    seconds: float = 0.0
    rows: int = 0
    samples: int = 0
    tokens: int = 0

    def __str__(self) -> str:
        rates = (
            f"{count / self.seconds:,.0f} {name}/s" for name, count in vars(self).items() if name != "seconds"
        )
        return f"{', '.join(rates)} ({self.seconds:.2f} s of CPU)"

    def add(self, work: Callable[[], tuple[int, int, int]]) -> None:
        """Time `work`, which returns the numbers of rows, samples and real tokens."""
        started = time.process_time()
        found = work()
        self.seconds += time.process_time() - started
        self.rows, self.samples, self.tokens = (
            self.rows + found[0],
            self.samples + found[1],
            self.tokens + found[2],
        )


def masked_samples(prefix: Path, vocabulary: Path, sequence_length: int, rows: int, peer_samples: int) -> str:
    """Compare rows for masked-LM and sentence order, whole words masked, with BERTMaskedWordPieceDataset."""
    ours = our_bert(prefix, vocabulary, sequence_length)
    start_megatron(prefix.parent)
    peer = megatron_bert(prefix, vocabulary, sequence_length, prefix.parent / "cache")
    rng = np.random.default_rng(1)
    our_speed, peer_speed = Speed(), Speed()
    batch(ours, 0)  # The files are read once before the clock runs, by each side.
    megatron_samples(peer, rng.integers(0, len(peer), 20))
    for turn in range(TURNS):
        batches = range(
            turn * rows // TURNS // ROWS_OF_A_BATCH, (turn + 1) * rows // TURNS // ROWS_OF_A_BATCH
        )
        our_speed.add(lambda numbers=batches: total([batch(ours, number) for number in numbers]))
        chosen = rng.integers(0, len(peer), peer_samples // TURNS)
        peer_speed.add(lambda chosen=chosen: megatron_samples(peer, chosen))
    return compared("masked samples", our_speed, peer_speed)


def batch(dataset: BertDataset, number: int) -> tuple[int, int, int]:
    """Make batch `number` of training; rows, samples and real tokens."""
    made = dataset.batch(np.arange(number * ROWS_OF_A_BATCH, (number + 1) * ROWS_OF_A_BATCH))
    return len(made), int(made.segment_ids.max(axis=1).sum()), made.real_tokens


def total(counts: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    """Sum them up."""
    rows, samples, tokens = (sum(column) for column in zip(*counts, strict=True))
    return rows, samples, tokens


def our_bert(prefix: Path, vocabulary: Path, sequence_length: int) -> BertDataset:
    """Our samples of all documents."""
    config = DataConfig(
        prefixes=[str(prefix)],
        tokenizer=str(vocabulary),
        sequence_length=sequence_length,
        split=(1.0, 0.0, 0.0),
        masked_lm_probability=MASKED_LM_PROBABILITY,
        masking="whole_word",
        short_sequence_probability=SHORT_SEQUENCE_PROBABILITY,
    )
    dataset, _, _ = build_datasets(config, "bert", Tokenizer.load(str(vocabulary)))
    assert isinstance(dataset, BertDataset)
    return dataset


class MegatronTokenizer:
    """What BERTMaskedWordPieceDataset asks a tokenizer for."""

    def __init__(self, vocabulary: Path) -> None:
        """Take the pieces of a WordPiece vocabulary file."""
        pieces = vocabulary.read_text(encoding="utf-8").splitlines()
        self.inv_vocab = dict(enumerate(pieces))
        self.cls, self.sep, self.mask, self.pad = map(pieces.index, ("[CLS]", "[SEP]", "[MASK]", "[PAD]"))
        self.special_tokens_dict = {"cls_token": self.cls, "sep_token": self.sep, "mask_token": self.mask}
        self.unique_identifiers = {"vocabulary": str(vocabulary)}


def megatron_bert(prefix: Path, vocabulary: Path, sequence_length: int, cache: Path) -> Any:
    """Megatron's samples of all documents, at least one epoch; the folder `cache` keeps its index. Needs a process group."""
    from megatron.core.datasets.bert_dataset import (
        BERTMaskedWordPieceDataset,
        BERTMaskedWordPieceDatasetConfig,
    )
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import Split

    config = BERTMaskedWordPieceDatasetConfig(
        random_seed=1234,
        sequence_length=sequence_length,
        blend=([str(prefix)], None),
        split="100,0,0",
        path_to_cache=str(cache),
        tokenizer=MegatronTokenizer(vocabulary),
        masking_probability=MASKED_LM_PROBABILITY,
        short_sequence_probability=SHORT_SEQUENCE_PROBABILITY,
        masking_max_ngram=1,
        masking_do_full_word=True,
        masking_do_permutation=False,
        masking_use_longer_ngrams=False,
        masking_use_geometric_distribution=False,
        classification_head=True,
    )
    source = IndexedDataset(str(prefix))
    documents = np.arange(len(source.document_indices) - 1)
    return BERTMaskedWordPieceDataset(source, str(prefix), documents, len(documents), Split.train, config)


def megatron_samples(dataset: Any, chosen: np.ndarray) -> tuple[int, int, int]:
    """Make the chosen samples, each a row; rows, samples and real tokens."""
    tokens = sum(int(dataset[int(index)]["padding_mask"].sum()) for index in chosen)
    return len(chosen), len(chosen), tokens


def compared(name: str, ours: Speed, peer: Speed) -> str:
    """One paragraph of the result."""
    samples = ours.samples / ours.seconds / (peer.samples / peer.seconds)
    tokens = ours.tokens / ours.seconds / (peer.tokens / peer.seconds)
    return f"{name}: ours {ours}; Megatron-core {peer}; {samples:.1f} times the samples, {tokens:.1f} times the real tokens"


def token_data(data: Path, vocabulary: Path, work: Path) -> Path:
    """Sentences of the abstracts as ids; made once."""
    prefix = work / f"abstracts-{vocabulary.stem}"
    if not prefix.with_name(prefix.name + ".idx").exists():
        words = [
            "preprocess",
            "--inputs",
            str(data / "text" / "abstracts.jsonl.xz"),
            "--tokenizer",
            str(vocabulary),
        ]
        status = cli.main([*words, "--output", str(prefix), "--split_sentences", "true"])
        if status:
            sys.exit(f"preprocess failed with exit status {status}")
    return prefix


def main() -> None:
    """Compare all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vocabulary", default="bert-uncased", help="name in DATA/vocab without .txt")
    parser.add_argument("--work", type=Path, help="folder for token data; a temporary one, unless given")
    parser.add_argument("--sequence_length", type=int, default=512)
    parser.add_argument("--rows", type=int, default=65536, help="rows of ours")
    parser.add_argument("--peer_samples", type=int, default=4096)
    arguments = parser.parse_args()
    if native.compiled is None:
        print(native.NOTICE)
    warnings.simplefilter("ignore")
    vocabulary = (arguments.data / "vocab" / f"{arguments.vocabulary}.txt").resolve()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        prefix = token_data(arguments.data, vocabulary, work.resolve())
        print(
            masked_samples(
                prefix, vocabulary, arguments.sequence_length, arguments.rows, arguments.peer_samples
            )
        )


if __name__ == "__main__":
    main()
