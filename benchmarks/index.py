"""Building an index of samples side by side with Megatron-core: CPU seconds of one thread for the same token data, in one run.

    python benchmarks/index.py

makes token data of random sentences, about 12 in a document, and the same with one sequence for each document. Of these it builds,
in turn, our GptDataset with the order of its first epoch and Megatron's GPTDataset for one epoch; and our BertDataset, with one
sample in a row as Megatron has it and packed, and Megatron's BERTMaskedWordPieceDataset, which makes whole epochs, here one. The
clock of Megatron runs until its cache is written, as at a first start; ours is that of an index that is not kept. Then come the
other parts of our start: splitting the documents and the fingerprint of the contents. Each is done several times, and the fastest
counts.
"""

import argparse
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gpt_samples import megatron_gpt, start_megatron
from samples import megatron_bert

from megatron_bio import native
from megatron_bio.data.bert_rows import SpecialTokens
from megatron_bio.data.dataset import BertDataset, BertRecipe, GptDataset, GptRecipe
from megatron_bio.data.masking import Masking
from megatron_bio.data.sources import content_fingerprint
from megatron_bio.data.split import split_documents
from megatron_bio.tokens.indexed import IndexedReader, IndexedWriter

SEED = 1234
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"piece{number}" for number in range(1000))]
SENTENCES_OF_A_DOCUMENT = 12
TOKENS_OF_A_SENTENCE = 27


def token_data(sentences_prefix: Path, documents_prefix: Path, documents: int) -> None:
    """Write documents of 1 to about 30 sentences under both prefixes; all tokens are random."""
    rng = np.random.default_rng(0)
    with (
        IndexedWriter(sentences_prefix, len(PIECES)) as of_sentences,
        IndexedWriter(documents_prefix, len(PIECES)) as of_documents,
    ):
        for start in range(0, documents, 10000):
            count = min(10000, documents - start)
            sentences = 1 + rng.poisson(rng.gamma(4.0, (SENTENCES_OF_A_DOCUMENT - 1) / 4, count))
            lengths = 1 + rng.gamma(3.0, (TOKENS_OF_A_SENTENCE - 1) / 3, sentences.sum()).astype(np.int64)
            tokens = rng.integers(5, len(PIECES), lengths.sum(), dtype=np.uint16)
            of_sentences.add_sequences(tokens, lengths)
            of_sentences.end_documents(sentences)
            of_documents.add_sequences(tokens, np.add.reduceat(lengths, np.cumsum(sentences) - sentences))
            of_documents.end_documents(np.ones(count, dtype=np.int64))


def our_gpt(prefix: Path, sequence_length: int) -> None:
    """The chunks of all documents, and their order in the first epoch."""
    source = IndexedReader(prefix)
    recipe = GptRecipe(sequence_length=sequence_length, pad=0, reset_at_document_end=False, seed=SEED)
    GptDataset(source, np.arange(source.document_count), recipe).batch(np.arange(1))


def our_bert(prefix: Path, sequence_length: int, packing: bool) -> None:
    """The rows of all documents, packed or with one sample each as Megatron's."""
    source = IndexedReader(prefix)
    special = SpecialTokens(cls=2, sep=3, mask=4, pad=0)
    recipe = BertRecipe(
        sequence_length=sequence_length,
        special=special,
        masking=Masking.for_vocabulary(
            0.15, special.mask, [0, 1, 2, 3, 4], np.zeros(len(PIECES), dtype=np.bool_), "whole_word"
        ),
        short_sequence_probability=0.1,
        sentence_order="sop",
        packing=packing,
        max_samples_per_row=16,
        seed=SEED,
    )
    BertDataset(source, recipe.samples(source, np.arange(source.document_count)), recipe)


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of `work`."""
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(name: str, ours: Callable[[], Any], peer: Callable[[Path], Any], folder: Path, times: int) -> str:
    """One line of the result; `peer` fills the cache that it is given, which is new each time."""
    our_best = peer_best = float("inf")
    for number in range(times):
        our_best = min(our_best, seconds(ours))
        cache = folder / f"cache-{number}"
        peer_best = min(peer_best, seconds(lambda cache=cache: peer(cache)))
        shutil.rmtree(cache)
    return f"{name}: ours {our_best:.3f} s, Megatron-core {peer_best:.3f} s; {peer_best / our_best:.1f} times as fast"


def main() -> None:
    """Compare both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--sequence_length", type=int, default=512)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    if native.compiled is None:
        print(native.NOTICE)
    warnings.simplefilter("ignore")
    length = arguments.sequence_length
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sentences, documents, vocabulary = (
            folder / "sentences",
            folder / "documents",
            folder / "vocabulary.txt",
        )
        vocabulary.write_text("\n".join(PIECES), encoding="utf-8")
        token_data(sentences, documents, arguments.documents)
        start_megatron(folder)
        source = IndexedReader(sentences)
        print(f"{source.document_count} documents, {len(source)} sentences, {source.token_count} tokens")
        sides: dict[str, tuple[Callable[[], Any], Callable[[Path], Any]]] = {
            "gpt": (
                lambda: our_gpt(documents, length),
                lambda cache: megatron_gpt(documents, length, False, cache),
            ),
            "bert, one sample in a row": (
                lambda: our_bert(sentences, length, packing=False),
                lambda cache: megatron_bert(sentences, vocabulary, length, cache),
            ),
            "bert, packed": (
                lambda: our_bert(sentences, length, packing=True),
                lambda cache: megatron_bert(sentences, vocabulary, length, cache),
            ),
        }
        for name, (ours, peer) in sides.items():
            print(compare(name, ours, peer, folder, arguments.times), flush=True)
        rest = {
            "splitting": lambda: split_documents(source.document_count, (0.95, 0.05, 0.0), SEED),
            "fingerprint": lambda: content_fingerprint(source),
        }
        for name, work in rest.items():
            print(f"{name}: {min(seconds(work) for _ in range(arguments.times)):.3f} s")


if __name__ == "__main__":
    main()
