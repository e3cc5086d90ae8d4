"""`megatron-bio merge`: several token data → one, document after document, in constant memory."""

import glob
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np

from megatron_bio import __version__
from megatron_bio.config.tokens import MergeOptions
from megatron_bio.tokens.errors import TokenDataError
from megatron_bio.tokens.indexed import CHUNK, IndexedReader, Tokens, data_path, index_path, write_index
from megatron_bio.tokens.pending_files import FileDigest, PendingFile, publish_in_order
from megatron_bio.tokens.sidecar import Sidecar, sidecar_path

SUFFIXES = (".bin", ".idx")


def merge(options: MergeOptions) -> None:
    """Write PREFIX.bin, PREFIX.idx and, where all inputs have one, PREFIX.json; print what is in them.

    The bytes are those that Megatron's `IndexedDatasetBuilder.add_index` gives. Raises TokenDataError for data that are
    damaged, that hold modes, that do not go together or that are the output itself; an earlier output stays as it was then.
    """
    prefixes = _find(options.inputs)
    for prefix in prefixes:
        if prefix.resolve() == options.output.resolve():
            raise TokenDataError(
                f"--output {options.output}: expected another path than those of the inputs. Give one."
            )
    Sidecar.read(options.output)
    readers = [_open(prefix) for prefix in prefixes]
    sidecars = [_sidecar(prefix) for prefix in prefixes]
    _check_together(prefixes, sidecars)
    dtype = reduce(np.promote_types, [reader.dtype for reader in readers])
    for reader in readers:
        if reader.dtype != dtype:
            _tell(f"{reader.prefix}: its {reader.dtype.name} ids are written as {dtype.name}, as others need")
    vouched = [sidecar for sidecar in sidecars if sidecar is not None]
    files = [PendingFile(data_path(options.output)), PendingFile(index_path(options.output))]
    try:
        _write(readers, sidecars, dtype, *files)
        digests = {"bin": files[0].finish(), "idx": files[1].finish()}
        if len(vouched) == len(prefixes):
            files.append(PendingFile(sidecar_path(options.output)))
            files[2].write(_joined(prefixes, vouched, digests).to_json())
            files[2].finish()
        else:
            # It would vouch for other files.
            sidecar_path(options.output).unlink(missing_ok=True)
        publish_in_order(files)
    finally:
        for file in files:
            file.discard()
    documents, tokens = (
        sum(counts) for counts in zip(*((r.document_count, r.token_count) for r in readers), strict=True)
    )
    print(
        f"{options.output}: {documents:,} documents, {sum(map(len, readers)):,} sequences, {tokens:,} tokens, "
        f"{digests['bin'].size:,} bytes in {data_path(options.output).name}, from {len(readers)} token data"
    )


def _find(inputs: Sequence[str]) -> list[Path]:
    """Prefixes in the order given, the matches of a pattern sorted; the same one twice is counted twice only if meant so."""
    found: list[Path] = []
    for text in inputs:
        path = Path(text)
        named = path.with_suffix("") if path.suffix in SUFFIXES else path
        if index_path(named).exists():
            found.append(named)
            continue
        names = glob.glob(text if text.endswith(".idx") else f"{text}.idx", recursive=True)  # noqa: PTH207
        if not names:
            raise TokenDataError(
                f"--inputs: expected token data, found neither {index_path(named)} nor a file that matches. Give prefixes "
                f"without .bin and .idx, or a pattern in quotes that ends with .idx."
            )
        found += [Path(name).with_suffix("") for name in sorted(names)]
    _check_different(found)
    return found


def _check_different(prefixes: Sequence[Path]) -> None:
    seen: dict[tuple[int, int], Path] = {}
    for prefix in prefixes:
        status = index_path(prefix).stat()  # of the file that a link points to
        other = seen.setdefault((status.st_dev, status.st_ino), prefix)
        if other is not prefix:
            names = (
                f"{prefix} twice" if other == prefix else f"{other} and {prefix}, which are the same files"
            )
            raise TokenDataError(
                f"--inputs: expected every token data once, found {names}. To count them twice, give them a weight in "
                f"training instead."
            )


def _open(prefix: Path) -> IndexedReader:
    reader = IndexedReader(prefix)
    reader.verify()
    if reader.has_modes:
        raise TokenDataError(
            f"{index_path(prefix)}: expected text alone, found a mode for each sequence, as multimodal data have. Merge those "
            f"with Megatron-LM's own tool."
        )
    return reader


def _sidecar(prefix: Path) -> Sidecar | None:
    sidecar = Sidecar.read(prefix)
    if sidecar is None:
        _tell(
            f"{prefix}: there is no {sidecar_path(prefix).name} that names the tokenizer, so nothing was compared and the "
            f"output has none either"
        )
    else:
        sidecar.check_index(prefix)
    return sidecar


def _check_together(prefixes: Sequence[Path], sidecars: Sequence[Sidecar | None]) -> None:
    first: tuple[Path, Sidecar] | None = None
    for prefix, sidecar in zip(prefixes, sidecars, strict=True):
        if sidecar is None:
            continue
        if first is None:
            first = prefix, sidecar
        for what, ours, theirs in (
            ("tokenizer", first[1].tokenizer_fingerprint, sidecar.tokenizer_fingerprint),
            ("kind of sequences", first[1].kind, sidecar.kind),
            ("token at the end of documents", first[1].eod, sidecar.eod),
        ):
            if ours != theirs:
                raise TokenDataError(
                    f"{prefix}: expected the {what} of {first[0]}, which is {ours} (tokenizer {first[1].tokenizer}), found "
                    f"{theirs} (tokenizer {sidecar.tokenizer}). Make one of them again, or train on both without merging."
                )


def _write(
    readers: Sequence[IndexedReader],
    sidecars: Sequence[Sidecar | None],
    dtype: np.dtype[np.integer],
    data: PendingFile,
    index: PendingFile,
) -> None:
    for reader, sidecar in zip(readers, sidecars, strict=True):
        digest = hashlib.sha256()
        for start in range(0, reader.token_count, CHUNK):
            tokens = reader.tokens[start : start + CHUNK]
            digest.update(tokens.data)
            data.write(tokens.astype(dtype).tobytes())
        # Else the manifest of the result would vouch for what has changed.
        if sidecar is not None and digest.hexdigest() != sidecar.files["bin"].sha256:
            raise TokenDataError(
                f"{data_path(reader.prefix)}: expected the content that {sidecar_path(reader.prefix).name} has the sha256 of, "
                f"found another. The file is damaged or was changed: copy it again or make the token data again."
            )
    counts = sum(map(len, readers)), sum(reader.document_count for reader in readers) + 1
    write_index(index.write, dtype, counts, lambda: _lengths(readers), _document_indices(readers))


def _lengths(readers: Sequence[IndexedReader]) -> Iterator[Tokens]:
    for reader in readers:
        for start in range(0, len(reader), CHUNK):
            yield reader.sequence_lengths[start : start + CHUNK]


def _document_indices(readers: Sequence[IndexedReader]) -> Iterator[Tokens]:
    yield np.zeros(1, np.int64)
    sequences = 0
    for reader in readers:
        for start in range(1, reader.document_count + 1, CHUNK):
            yield reader.document_indices[start : start + CHUNK] + sequences
        sequences += len(reader)


def _joined(prefixes: Sequence[Path], sidecars: Sequence[Sidecar], files: dict[str, FileDigest]) -> Sidecar:
    skipped: Counter[str] = Counter()
    for sidecar in sidecars:
        skipped.update(sidecar.skipped)
    return replace(
        sidecars[0],
        documents=sum(sidecar.documents for sidecar in sidecars),
        sequences=sum(sidecar.sequences for sidecar in sidecars),
        tokens=sum(sidecar.tokens for sidecar in sidecars),
        unknown_tokens=sum(sidecar.unknown_tokens for sidecar in sidecars),
        skipped=dict(sorted(skipped.items())),
        files=files,
        options={"merged": [dict(sidecar.options) for sidecar in sidecars]},
        inputs=[
            {"file": str(prefix), "bytes": sidecar.files["bin"].size}
            for prefix, sidecar in zip(prefixes, sidecars, strict=True)
        ],
        version=__version__,
    )


def _tell(message: str) -> None:
    print(f"merge: {message}", file=sys.stderr, flush=True)
