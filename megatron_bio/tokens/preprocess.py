"""`megatron-bio preprocess`: documents → token data, in one pass."""

import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

from megatron_bio import native
from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.tokens.encoding import EncodedBatch, Encoder, batches
from megatron_bio.tokens.errors import PreprocessError
from megatron_bio.tokens.indexed import IndexedWriter, data_path
from megatron_bio.tokens.progress import read_with_progress
from megatron_bio.tokens.sidecar import Sidecar, sidecar_path
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.workers import encode_in_order

DOUBTFUL_UNKNOWN_FRACTION = 0.05


@dataclass
class _Totals:
    documents: int = 0
    sequences: int = 0
    tokens: int = 0
    unknown_tokens: int = 0
    text_bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, batch: EncodedBatch) -> None:
        self.documents += len(batch.sequences_per_document)
        self.sequences += len(batch.lengths)
        self.tokens += len(batch.tokens)
        self.unknown_tokens += batch.unknown_tokens
        self.text_bytes += batch.text_bytes
        self.skipped += batch.skipped


def preprocess(options: PreprocessOptions) -> None:
    """Write PREFIX.bin, PREFIX.idx and PREFIX.json, and print what is in them and what was left out.

    Earlier files are replaced only when all is done, PREFIX.json last. Raises UserError for inputs and tokenizers that
    cannot be used, PreprocessError if there is nothing to write or a worker dies, TokenDataError if the disk refuses.
    """
    started = time.perf_counter()
    tokenizer = Tokenizer.load(options.tokenizer)
    if native.compiled is None:
        print(f"preprocess: {native.NOTICE}", file=sys.stderr)
    split = options.split_sentences if options.split_sentences is not None else tokenizer.kind == "wordpiece"
    append_eod = options.append_eod if options.append_eod is not None else not split
    if append_eod and not tokenizer.has_eod:
        raise PreprocessError(
            f"--append_eod: expected a tokenizer with an end-of-document token, found none in {options.tokenizer} "
            f"({tokenizer.kind}, {tokenizer.vocab_size} tokens). Give --append_eod false, or a tokenizer made for GPT."
        )
    Sidecar.read(options.output)  # A foreign file of this name is refused now, not after hours.
    encoder = Encoder(tokenizer=tokenizer, split=split, eod=tokenizer.eod if append_eod else None)
    totals = _Totals()
    documents = read_with_progress("tokenising", options.inputs, options.progress)
    with (
        IndexedWriter(options.output, tokenizer.vocab_size) as writer,
        closing(encode_in_order(encoder, batches(documents), options.workers)) as encoded,
    ):
        for batch in encoded:
            writer.add_sequences(batch.tokens, batch.lengths)
            writer.end_documents(batch.sequences_per_document)
            totals.add(batch)
        if not totals.documents:
            raise PreprocessError(
                f"--inputs: expected documents with text in {', '.join(options.inputs)}, found none"
                f"{_skipped(totals)}. No output was changed."
            )
        sidecar = _sidecar(options, encoder, totals, writer)
        writer.add_file(sidecar_path(options.output), sidecar.to_json())
    _report(options, sidecar, totals, time.perf_counter() - started)


def _sidecar(options: PreprocessOptions, encoder: Encoder, totals: _Totals, writer: IndexedWriter) -> Sidecar:
    kind: Literal["sentences", "documents"] = "sentences" if encoder.split else "documents"
    return Sidecar(
        kind=kind,
        tokenizer=str(options.tokenizer),
        tokenizer_kind=encoder.tokenizer.kind,
        tokenizer_fingerprint=encoder.tokenizer.fingerprint,
        vocab_size=encoder.tokenizer.vocab_size,
        eod=encoder.eod,
        documents=totals.documents,
        sequences=totals.sequences,
        tokens=totals.tokens,
        unknown_tokens=totals.unknown_tokens,
        skipped=dict(sorted(totals.skipped.items())),
        files=writer.finish(),
    )


def _report(options: PreprocessOptions, sidecar: Sidecar, totals: _Totals, seconds: float) -> None:
    unknown = sidecar.unknown_tokens / sidecar.tokens
    print(
        f"{options.output}: {sidecar.documents:,} documents, {sidecar.sequences:,} {sidecar.kind}, {sidecar.tokens:,} tokens, "
        f"{sidecar.files['bin'].size:,} bytes in {data_path(options.output).name}"
    )
    if sidecar.tokenizer_kind == "wordpiece":
        doubt = "; does the vocabulary belong to this text?" if unknown > DOUBTFUL_UNKNOWN_FRACTION else ""
        print(f"  [UNK]: {sidecar.unknown_tokens:,} tokens, {unknown:.3%}{doubt}")
    print(f"  skipped{_skipped(totals) or ': nothing'}")
    print(
        f"  {totals.text_bytes / 1e6:,.1f} MB of text in {seconds:,.1f} s with {options.workers} worker"
        f"{'s' if options.workers > 1 else ''}: {totals.text_bytes / 1e6 / seconds:,.1f} MB/s, "
        f"{sidecar.documents / seconds:,.0f} documents/s"
    )


def _skipped(totals: _Totals) -> str:
    return ": " * bool(totals.skipped) + ", ".join(
        f"{count:,} × {reason}" for reason, count in sorted(totals.skipped.items())
    )
