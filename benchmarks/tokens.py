"""WordPiece side by side with the tokenizers library's `encode_batch_fast`: CPU seconds of one thread, same texts, ids compared.

    python benchmarks/tokens.py --data ../shared/data

reads DATA/text/*.jsonl.xz, each text once, and takes each vocabulary of DATA/vocab that has no repeated token. The texts are given
in batches, as `preprocess` gives them. An encoder starts without any word remembered; the time to load is shown apart.
"""

import argparse
import json
import lzma
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from megatron_bio.tokens.compiled_wordpiece import CompiledWordPiece
from megatron_bio.tokens.errors import TokenizerError, TokenizerWarning
from megatron_bio.tokens.tokenizer import Tokenizer

BATCH_CHARACTERS = 1 << 20
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """CPU seconds for one vocabulary on all texts."""

    vocabulary: str
    megabytes: float
    tokens: int
    library: float
    ours: float
    loading: float

    def __str__(self) -> str:
        return (
            f"{self.vocabulary}: {self.megabytes:.1f} MB, {self.tokens:,} tokens, all ids equal; encode_batch_fast "
            f"{self.library:.2f} s, ours {self.ours:.2f} s ({self.megabytes / self.ours:.0f} MB/s): "
            f"{self.library / self.ours:.1f} times as fast; "
            f"loaded in {self.loading:.2f} s"
        )


def compare(vocabulary: Path, texts: list[str]) -> Comparison:
    """Both ways on all texts, batch by batch in turn, so that a busy machine slows both. Raises ValueError if an id differs."""
    loading, tokenizer = cpu_seconds(lambda: load(vocabulary))
    if not isinstance(tokenizer._encoder, CompiledWordPiece):
        raise ValueError(
            f"{vocabulary}: expected the compiled encoder, found {type(tokenizer._encoder).__name__}"
        )
    library = ours = 0.0
    tokens = 0
    for batch in batches(texts):
        # The library second: the UTF-8 of a text is made at the first call and kept.
        seconds, (ids, lengths) = cpu_seconds(lambda b=batch: tokenizer.encode_joined(b))
        ours += seconds
        seconds, peer = cpu_seconds(
            lambda b=batch: tokenizer._core.encode_batch_fast(b, add_special_tokens=False)
        )
        library += seconds
        expected = np.fromiter(chain.from_iterable(encoding.ids for encoding in peer), np.int32)
        if not (np.array_equal(ids, expected) and lengths.tolist() == [len(encoding) for encoding in peer]):
            raise ValueError(f"{vocabulary}: ids differ in the batch that begins with {batch[0][:80]!r}")
        tokens += len(ids)
    size = sum(len(text.encode()) for text in texts) / 1e6
    return Comparison(
        vocabulary=vocabulary.stem, megabytes=size, tokens=tokens, library=library, ours=ours, loading=loading
    )


def load(vocabulary: Path) -> Tokenizer:
    """Load with all that encoding needs, which otherwise is made for the first text."""
    tokenizer = Tokenizer.load(vocabulary)
    _ = tokenizer._encoder
    return tokenizer


def cpu_seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    """CPU seconds of this process, and the result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def batches(texts: list[str]) -> Iterator[list[str]]:
    """Cut into lists of about a million characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_texts(folder: Path) -> list[str]:
    """Title and text of each document, each different one once."""
    texts: dict[str, None] = {}
    for path in sorted(folder.glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            documents = map(json.loads, lines)
            texts |= dict.fromkeys(
                f"{document.get('title', '')}\n{document['text']}" for document in documents
            )
    return list(texts)


def main() -> None:
    """Compare for each vocabulary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--vocabularies", nargs="*", help="names in DATA/vocab without .txt; all, unless given"
    )
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore", TokenizerWarning)
    texts = read_texts(arguments.data / "text")
    names = arguments.vocabularies or sorted(
        path.stem for path in (arguments.data / "vocab").glob("*.txt") if "merges" not in path.stem
    )
    for name in names:
        try:
            print(compare(arguments.data / "vocab" / f"{name}.txt", texts), flush=True)
        except TokenizerError as error:
            print(f"{name}: left out, {error}")


if __name__ == "__main__":
    main()
