"""Megatron's indexed token data: the byte table, the writer and the reader.

All numbers are little-endian and nothing is aligned. S sequences, D = documents + 1:

    PREFIX.idx   offset 0       9 bytes   b"MMIDIDX\\x00\\x00"
                 offset 9       u64       version = 1
                 offset 17      u8        dtype: 1 u8, 2 i8, 3 i16, 4 i32, 5 i64, 6 f64, 7 f32, 8 u16
                 offset 18      u64       S
                 offset 26      u64       D
                 offset 34      i32[S]    sequence lengths, in tokens
                 34 + 4 S       i64[S]    sequence pointers, in bytes from the start of PREFIX.bin
                 34 + 12 S      i64[D]    document indices: document d is the sequences [index[d], index[d + 1])
                 34 + 12 S + 8 D  i8[S]   modes, in multimodal data only; nothing in the header tells
    PREFIX.bin   the tokens of all sequences, back to back

Source: megatron/core/datasets/indexed_dataset.py of Megatron-LM (core 0.16), whose files these are byte for byte.
"""

import struct
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from megatron_bio.tokens.errors import TokenDataError
from megatron_bio.tokens.pending_files import FileDigest, PendingFile, publish_in_order

MAGIC = b"MMIDIDX\x00\x00"
FAIRSEQ_MAGIC = b"TNTIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
TOKEN_DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
FLOAT_CODES = {6: "float64", 7: "float32"}
SMALLEST_VOCABULARY_FOR_INT32 = 65500
CHUNK = 1 << 20
"""Sequences or tokens looked at in one go, so that memory stays small for any size of data."""

Tokens: TypeAlias = NDArray[np.integer[Any]]
Places: TypeAlias = slice | NDArray[np.int64]


def token_dtype(vocab_size: int) -> np.dtype[np.integer[Any]]:
    """The dtype that Megatron picks: uint16 below 65,500 tokens in the vocabulary, otherwise int32."""
    return np.dtype("<u2" if vocab_size < SMALLEST_VOCABULARY_FOR_INT32 else "<i4")


def write_index(
    write: Callable[[bytes], object],
    dtype: np.dtype[np.integer[Any]],
    counts: tuple[int, int],
    lengths: Callable[[], Iterable[Tokens]],
    document_indices: Iterable[Tokens],
) -> None:
    """Give `write` the content of an .idx file piece by piece, from pieces of its arrays, in constant memory.

    `counts` are S and D. `lengths` is called twice, since the pointers are made from the lengths.
    """
    code = next(code for code, name in TOKEN_DTYPES.items() if np.dtype(name) == dtype)
    write(HEADER.pack(MAGIC, VERSION, code, *counts))
    for piece in lengths():
        write(piece.astype("<i4").tobytes())
    position = 0
    for piece in lengths():
        ends = position + np.cumsum(piece, dtype=np.int64) * dtype.itemsize
        write(np.concatenate(([position], ends[:-1])).astype("<i8").tobytes())
        position = int(ends[-1])
    for piece in document_indices:
        write(piece.astype("<i8").tobytes())


def data_path(prefix: Path) -> Path:
    """PREFIX.bin; the prefix may contain dots."""
    return prefix.with_name(prefix.name + ".bin")


def index_path(prefix: Path) -> Path:
    """PREFIX.idx; the prefix may contain dots."""
    return prefix.with_name(prefix.name + ".idx")


class IndexedWriter:
    """Context manager that writes PREFIX.bin and PREFIX.idx; they appear under their names only when all is written.

    Leaving with an error, also an interrupt, removes what was written and leaves earlier files untouched. Memory: 4
    bytes per sequence and 8 per document.
    """

    def __init__(self, prefix: Path, vocab_size: int) -> None:
        """Create the temporary .bin file; ids are checked against `vocab_size`."""
        self.prefix = prefix
        self.vocab_size = vocab_size
        self.dtype = token_dtype(vocab_size)
        self._lengths = array("i")
        self._document_ends = array("q", [0])
        self._data = PendingFile(data_path(prefix))
        self._files = [self._data]
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error_type is None:
                if not self._finished:
                    self.finish()
                publish_in_order(self._files)
        finally:
            for file in self._files:
                file.discard()

    def add_sequence(self, tokens: Tokens) -> None:
        """Append one sequence of token ids [length], length > 0."""
        self.add_sequences(tokens, np.array([len(tokens)]))

    def add_sequences(self, tokens: Tokens, lengths: Tokens) -> None:
        """Append consecutive sequences: their ids back to back [sum of lengths], and their lengths [sequences]."""
        assert not self._finished, "no sequence can be added after finish()"
        if len(lengths) == 0:
            return
        if lengths.min() < 1 or int(lengths.sum()) != len(tokens):
            raise TokenDataError(
                f"{data_path(self.prefix)}: expected sequences of at least one token that fill the {len(tokens)} tokens "
                f"given, found lengths from {lengths.min()} with sum {lengths.sum()}. Leave empty sequences out."
            )
        smallest, largest = int(tokens.min()), int(tokens.max())
        if smallest < 0 or largest >= self.vocab_size:
            raise TokenDataError(
                f"{data_path(self.prefix)}: expected token ids from 0 to {self.vocab_size - 1}, found {smallest} to "
                f"{largest} in sequence {len(self._lengths)} or after. Give the tokenizer's real vocabulary size."
            )
        self._data.write(np.ascontiguousarray(tokens, dtype=self.dtype).tobytes())
        self._lengths.frombytes(np.ascontiguousarray(lengths, dtype=np.intc).tobytes())

    def end_document(self) -> None:
        """End the document that the sequences since the last call belong to."""
        self._document_ends.append(len(self._lengths))

    def end_documents(self, sequences: Tokens) -> None:
        """End several documents at once: the number of sequences of each [documents]."""
        ends = self._document_ends[-1] + np.cumsum(sequences, dtype=np.int64)
        self._document_ends.frombytes(ends.tobytes())

    def finish(self) -> dict[str, FileDigest]:
        """Complete both files under their temporary names; gives size and SHA-256 under "bin" and "idx"."""
        sequences = len(self._lengths)
        if self._document_ends[-1] != sequences:
            raise TokenDataError(
                f"{index_path(self.prefix)}: expected every sequence to belong to a document, found "
                f"{sequences - self._document_ends[-1]} after the last end of a document. Call end_document()."
            )
        index = PendingFile(index_path(self.prefix))
        self._files.append(index)
        lengths = np.frombuffer(self._lengths, dtype=np.intc)
        ends = np.frombuffer(self._document_ends, dtype=np.int64)
        write_index(
            index.write,
            self.dtype,
            (sequences, len(ends)),
            lambda: (lengths[start : start + CHUNK] for start in range(0, sequences, CHUNK)),
            [ends],
        )
        self._finished = True
        return {"bin": self._data.finish(), "idx": index.finish()}

    def add_file(self, path: Path, content: bytes) -> None:
        """Add a file that vouches for the other two; it is renamed after them."""
        assert self._finished, "the digests of finish() belong into this file"
        file = PendingFile(path)
        self._files.append(file)
        file.write(content)
        file.finish()


class IndexedReader:
    """Memory-mapped token data: `reader[i]` is sequence i, document d is the sequences from `document_indices[d]` on.

    Opening checks header and sizes, and the index itself in full up to a million sequences, in samples above;
    `verify()` checks all of it. Raises TokenDataError for any damage. Arrays are read-only views into the files.
    Pickling sends the prefix only.
    """

    def __init__(self, prefix: Path | str) -> None:
        """Map PREFIX.bin and PREFIX.idx."""
        self.prefix = Path(prefix)
        index = _map_file(index_path(self.prefix))
        code, sequences, documents = self._read_header(index)
        self.dtype: np.dtype[np.integer[Any]] = np.dtype(TOKEN_DTYPES[code])
        self.sequence_lengths: NDArray[np.int32] = np.frombuffer(index, "<i4", sequences, HEADER.size)
        self.sequence_pointers: NDArray[np.int64] = np.frombuffer(
            index, "<i8", sequences, HEADER.size + 4 * sequences
        )
        self.document_indices: NDArray[np.int64] = np.frombuffer(
            index, "<i8", documents, HEADER.size + 12 * sequences
        )
        self.has_modes = sequences > 0 and len(index) == HEADER.size + 13 * sequences + 8 * documents
        data = _map_file(data_path(self.prefix))
        self._check_ends(len(data))
        self._tokens: Tokens = np.frombuffer(data, self.dtype)
        sampled = sequences > CHUNK or documents > CHUNK
        self._check_order(np.linspace(0, 1, 4096) if sampled else None)

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.prefix,)

    def __len__(self) -> int:
        return len(self.sequence_lengths)

    @property
    def document_count(self) -> int:
        """Number of documents."""
        return len(self.document_indices) - 1

    @property
    def token_count(self) -> int:
        """Number of tokens of all sequences together."""
        return len(self._tokens)

    @property
    def tokens(self) -> Tokens:
        """All tokens [tokens], sequence after sequence."""
        return self._tokens

    def __getitem__(self, index: int) -> Tokens:
        """Sequence `index` [length]; negative numbers count from the end."""
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"{self.prefix}: expected a sequence from 0 to {len(self) - 1}, found {index}")
        return self.sequences(index, index + 1)

    def sequences(self, start: int, stop: int) -> Tokens:
        """The tokens of sequences [start, stop) back to back; their lengths are `sequence_lengths[start:stop]`."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(
                f"{self.prefix}: expected 0 <= start <= stop <= {len(self)}, found {start} and {stop}"
            )
        if start == stop:
            return self._tokens[:0]
        size = self.dtype.itemsize
        first = int(self.sequence_pointers[start]) // size
        end = int(self.sequence_pointers[stop - 1]) // size + int(self.sequence_lengths[stop - 1])
        return self._tokens[first:end]

    def verify(self) -> None:
        """Check that lengths, pointers and documents agree everywhere; reads the whole .idx."""
        self._check_order(None)

    def _read_header(self, index: memoryview) -> tuple[int, int, int]:
        """Give dtype code, S and D after checking them against the size of the file."""
        path = index_path(self.prefix)
        if bytes(index[:8]) == FAIRSEQ_MAGIC:
            raise TokenDataError(
                f"{path}: expected Megatron's {MAGIC!r} at byte 0, found {FAIRSEQ_MAGIC!r}, the older lazy or cached "
                f"format. Tokenise the text again with `megatron-bio preprocess`."
            )
        if len(index) < HEADER.size or bytes(index[: len(MAGIC)]) != MAGIC:
            raise TokenDataError(
                f"{path}: expected a header of {HEADER.size} bytes that begins with {MAGIC!r}, found {len(index)} bytes "
                f"that begin with {bytes(index[: len(MAGIC)])!r}. This is no Megatron index, or a damaged one: give "
                f"another prefix or make the data again."
            )
        _, version, code, sequences, documents = HEADER.unpack(index[: HEADER.size])
        if version != VERSION:
            raise TokenDataError(
                f"{path}: expected version {VERSION} at byte 9, found {version}. Only version {VERSION} is known; make "
                f"the data again."
            )
        if code not in TOKEN_DTYPES:
            raise TokenDataError(
                f"{path}: expected at byte 17 the dtype code of integers ({', '.join(map(str, TOKEN_DTYPES))}), found "
                f"{code}{f' ({FLOAT_CODES[code]})' if code in FLOAT_CODES else ''}. These are no token ids."
            )
        expected = HEADER.size + 12 * sequences + 8 * documents
        if documents < 1 or len(index) not in (expected, expected + sequences):
            raise TokenDataError(
                f"{path}: expected {expected} bytes ({expected + sequences} with modes) for the {sequences} sequences and "
                f"{documents - 1} documents of its header, found {len(index)} bytes. The file is cut short or damaged: "
                f"copy it again or make the data again."
            )
        return code, sequences, documents

    def _check_ends(self, data_size: int) -> None:
        """Check the last sequence against the size of .bin, and the first and last document against S."""
        expected = 0
        if len(self):
            expected = int(self.sequence_pointers[-1]) + int(self.sequence_lengths[-1]) * self.dtype.itemsize
        if len(self) and self.sequence_lengths[-1] < 0:
            raise TokenDataError(
                f"{index_path(self.prefix)}: expected 0 or more tokens in the last sequence, found "
                f"{self.sequence_lengths[-1]}. The index is damaged: copy it again or make the data again."
            )
        if data_size != expected:
            raise TokenDataError(
                f"{data_path(self.prefix)}: expected {expected} bytes, where the last sequence of "
                f"{index_path(self.prefix).name} ends, found {data_size} bytes. The two files are not of the same run, or "
                f"one is cut short: copy both again or make the data again."
            )
        if len(self) and self.sequence_pointers[0] != 0:
            raise self._wrong_pointer(0, 0)
        first, last = int(self.document_indices[0]), int(self.document_indices[-1])
        if (first, last) != (0, len(self)):
            raise TokenDataError(
                f"{index_path(self.prefix)}: expected document indices from 0 to the {len(self)} sequences, found {first} "
                f"to {last}. The file is damaged: copy it again or make the data again."
            )

    def _check_order(self, fractions: NDArray[np.float64] | None) -> None:
        """Check neighbours in the index: at all places, or at these fractions (0 to 1) of its length."""
        for first, second in _neighbours(len(self) - 1, fractions):
            sizes = self.sequence_lengths[first].astype(np.int64) * self.dtype.itemsize
            expected = self.sequence_pointers[first] + sizes
            wrong = np.flatnonzero((self.sequence_pointers[second] != expected) | (sizes < 0))
            if len(wrong):
                sequence = np.arange(len(self))[second][wrong[0]]
                raise self._wrong_pointer(int(sequence), int(expected[wrong[0]]))
        for first, second in _neighbours(self.document_count, fractions):
            falls = np.flatnonzero(self.document_indices[second] < self.document_indices[first])
            if len(falls):
                document = np.arange(self.document_count)[first][falls[0]]
                raise TokenDataError(
                    f"{index_path(self.prefix)}: expected document indices that never fall, found a fall between "
                    f"documents {document} and {document + 1}. The index is damaged: copy it again or make the data again."
                )

    def _wrong_pointer(self, sequence: int, expected: int) -> TokenDataError:
        return TokenDataError(
            f"{index_path(self.prefix)}: expected sequence {sequence} at byte {expected} of the .bin file, where the one "
            f"before it ends, found {self.sequence_pointers[sequence]}. The index is damaged: copy it again or make the "
            f"data again."
        )


def _neighbours(count: int, fractions: NDArray[np.float64] | None) -> list[tuple[Places, Places]]:
    """The first and the second of each of `count` neighbouring pairs, in chunks, or of the pairs at the given fractions."""
    if fractions is None or count < 1:
        bounds = [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        return [(slice(start, stop), slice(start + 1, stop + 1)) for start, stop in bounds]
    first = np.unique((fractions * (count - 1)).astype(np.int64))
    return [(first, first + 1)]


def _map_file(path: Path) -> memoryview:
    try:
        # An empty file cannot be mapped.
        return memoryview(np.memmap(path, np.uint8, "r").data if path.stat().st_size else b"")
    except OSError as error:
        raise TokenDataError(
            f"{path}: expected token data, found that it cannot be opened: {error.strerror}. Give the prefix without .bin "
            f"and .idx; both files must be there."
        ) from error
