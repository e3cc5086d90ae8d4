"""What is in a pair of .bin and .idx files, for people."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio.tokens.indexed import CHUNK, IndexedReader, data_path, index_path
from megatron_bio.tokens.sidecar import Sidecar
from megatron_bio.tokens.tokenizer import Tokenizer

PERCENTILES = (1, 10, 50, 90, 99)
SHOWN_TOKENS = 200


def describe_indexed(prefix: Path | str, tokenizer: Tokenizer | None = None) -> dict[str, Any]:
    """Counts, dtype, sizes, percentiles of the lengths, and the first document as text; JSON can hold the values.

    Opens the data, so every damage that IndexedReader sees is raised; also if PREFIX.json belongs to other files.
    """
    prefix = Path(prefix)
    reader = IndexedReader(prefix)
    sidecar = Sidecar.read(prefix)
    if sidecar is not None:
        sidecar.check_sizes(prefix)
    documents = reader.document_indices
    description: dict[str, Any] = {
        "documents": reader.document_count,
        "sequences": len(reader),
        "tokens": reader.token_count,
        "dtype": reader.dtype.name,
        "bin_bytes": data_path(prefix).stat().st_size,
        "idx_bytes": index_path(prefix).stat().st_size,
        "tokens_per_sequence": length_percentiles(reader.sequence_lengths),
        "sequences_per_document": length_percentiles(np.diff(documents)),
        "kind": sidecar.kind if sidecar else None,
        "tokenizer": sidecar.tokenizer if sidecar else None,
        "tokenizer_fingerprint": sidecar.tokenizer_fingerprint if sidecar else None,
    }
    if tokenizer is not None and reader.document_count:
        first = reader.sequences(0, int(documents[1]))
        text = tokenizer.decode(first[:SHOWN_TOKENS])
        description["first_document"] = text + (" …" if len(first) > SHOWN_TOKENS else "")
    return description


def length_percentiles(lengths: NDArray[np.integer[Any]]) -> dict[str, int]:
    """Smallest, percentiles and largest of lengths, exact (nearest rank), counted in chunks; {} for none."""
    if not len(lengths):
        return {}
    counts = np.zeros(1, dtype=np.int64)
    for start in range(0, len(lengths), CHUNK):
        found = np.bincount(lengths[start : start + CHUNK])
        counts = np.pad(counts, (0, max(0, len(found) - len(counts))))
        counts[: len(found)] += found
    reached = np.cumsum(counts)
    ranks = {f"p{percent}": -(-len(lengths) * percent // 100) for percent in PERCENTILES}
    places = {"smallest": 1} | ranks | {"largest": len(lengths)}
    return {name: int(np.searchsorted(reached, rank)) for name, rank in places.items()}
