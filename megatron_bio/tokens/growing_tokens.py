"""Token data that grow in a folder and can be cut back to a place that is known to be on the disk."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from megatron_bio.tokens.encoding import EncodedDocuments
from megatron_bio.tokens.errors import TokenDataError
from megatron_bio.tokens.indexed import CHUNK, Tokens, token_dtype, write_index
from megatron_bio.tokens.pending_files import FileDigest, explain_failure

HASHED_BYTES = 1 << 24
LENGTH_BYTES = 4
DOCUMENT_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """How much of token data there is."""

    tokens: int = 0
    sequences: int = 0
    documents: int = 0


class GrowingTokens:
    """The tokens, the lengths of the sequences and the ends of the documents, each in a file that is only appended to.

    The .idx file is made from the latter two at the end, so memory is constant. The SHA-256 of the tokens is computed as
    they come, since they pass here anyway; after a cut what is left of them is read once for it.
    """

    def __init__(self, stem: Path, vocab_size: int, counts: TokenCounts) -> None:
        """Open STEM.bin, STEM.lengths and STEM.documents and cut them to `counts`; raises TokenDataError if they hold less."""
        self.stem = stem
        self.dtype = token_dtype(vocab_size)
        self.counts = counts
        self.bin = stem.with_name(f"{stem.name}.bin")
        self.idx = stem.with_name(f"{stem.name}.idx")
        self._lengths_path = stem.with_name(f"{stem.name}.lengths")
        self._documents_path = stem.with_name(f"{stem.name}.documents")
        self._hash = hashlib.sha256()
        self._streams: list[BinaryIO] = []
        try:
            self._bin = self._open(self.bin, counts.tokens * self.dtype.itemsize)
            self._lengths = self._open(self._lengths_path, counts.sequences * LENGTH_BYTES)
            self._documents = self._open(self._documents_path, counts.documents * DOCUMENT_BYTES)
            self._hash_beginning()
        except BaseException:
            self.close()
            raise

    def add(self, documents: EncodedDocuments) -> None:
        """Append documents."""
        with explain_failure(self.bin):
            content = np.ascontiguousarray(documents.tokens, dtype=self.dtype).tobytes()
            self._bin.write(content)
            self._hash.update(content)
            self._lengths.write(documents.lengths.astype("<i4").tobytes())
            ends = self.counts.sequences + np.cumsum(documents.sequences_per_document, dtype=np.int64)
            self._documents.write(ends.astype("<i8").tobytes())
        self.counts = TokenCounts(
            tokens=self.counts.tokens + len(documents.tokens),
            sequences=self.counts.sequences + len(documents.lengths),
            documents=self.counts.documents + len(documents.sequences_per_document),
        )

    def sync(self) -> None:
        """Bring everything to the disk."""
        for stream in self._streams:
            with explain_failure(self.bin):
                stream.flush()
                os.fsync(stream.fileno())

    def finish(self) -> dict[str, FileDigest]:
        """Make the .idx file and close; gives size and SHA-256 under "bin" and "idx"."""
        self.sync()
        digest = hashlib.sha256()
        size = 0
        with explain_failure(self.idx), self.idx.open("wb") as index:

            def write(content: bytes) -> None:
                nonlocal size
                index.write(content)
                digest.update(content)
                size += len(content)

            write_index(
                write,
                self.dtype,
                (self.counts.sequences, self.counts.documents + 1),
                lambda: _pieces(self._lengths_path, "<i4", self.counts.sequences),
                self._document_indices(),
            )
            index.flush()
            os.fsync(index.fileno())
        self.close()
        return {
            "bin": FileDigest(size=self.counts.tokens * self.dtype.itemsize, sha256=self._hash.hexdigest()),
            "idx": FileDigest(size=size, sha256=digest.hexdigest()),
        }

    def close(self) -> None:
        """Close the files; they stay."""
        for stream in self._streams:
            # What it did not take before, on a full disk, it does not take now, and that was told.
            try:
                stream.close()
            except OSError:
                continue

    def _document_indices(self) -> Iterator[Tokens]:
        yield np.zeros(1, np.int64)
        yield from _pieces(self._documents_path, "<i8", self.counts.documents)

    def _open(self, path: Path, size: int) -> BinaryIO:
        with explain_failure(path):
            stream = path.open("r+b" if path.exists() else "w+b")
            self._streams.append(stream)
            found = stream.seek(0, os.SEEK_END)
            if found < size:
                raise TokenDataError(
                    f"{path}: expected at least {size:,} bytes that an earlier run finished, found {found:,}. Start afresh with "
                    f"--resume false."
                )
            stream.truncate(size)
            stream.seek(size)
        return stream

    def _hash_beginning(self) -> None:
        with explain_failure(self.bin), self.bin.open("rb") as stream:
            while content := stream.read(HASHED_BYTES):
                self._hash.update(content)


def _pieces(path: Path, dtype: str, count: int) -> Iterator[Tokens]:
    with path.open("rb") as stream:
        for start in range(0, count, CHUNK):
            yield np.fromfile(stream, dtype, min(CHUNK, count - start))
