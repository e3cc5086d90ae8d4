"""Encode blocks of lines in several processes, in order."""

import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from megatron_bio.corpus.workers import map_in_order
from megatron_bio.tokens.document_lines import LineBlock
from megatron_bio.tokens.encoding import EncodedBlock, Encoder


@dataclass(frozen=True)
class _OnOneCore:
    """Encodes in a worker process: the tokenizers library must not start threads of its own there."""

    encoder: Encoder

    def __call__(self, block: LineBlock) -> EncodedBlock:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        return self.encoder.encode(block)


def encode_in_order(
    encoder: Encoder, blocks: Iterable[LineBlock], workers: int
) -> Generator[EncodedBlock, None, None]:
    """Results in the order of the blocks, as `map_in_order`; close the iterator to end the workers early.

    Raises WorkerDiedError if a worker dies. One worker is this process itself.
    """
    return map_in_order(encoder.encode if workers == 1 else _OnOneCore(encoder), blocks, workers)
