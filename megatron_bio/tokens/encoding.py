"""Documents → token ids: cutting them into batches, and what is done with one batch."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from megatron_bio.corpus.document import Document
from megatron_bio.tokens.indexed import Tokens, token_dtype
from megatron_bio.tokens.sentences import split_sentences
from megatron_bio.tokens.tokenizer import Tokenizer

EMPTY_DOCUMENT = "empty document"
NO_TOKENS = "document without tokens"
EMPTY_SENTENCE = "sentence without tokens"
BATCH_CHARACTERS = 1 << 20
BATCH_DOCUMENTS = 1 << 12


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Consecutive documents."""

    texts: list[tuple[str, str]]
    """Title and text of each."""
    place: str
    """Which documents these are, for messages."""


@dataclass(frozen=True, kw_only=True)
class EncodedBatch:
    """The tokens of a batch, with what is needed to cut and count them."""

    tokens: Tokens
    """Sequences back to back [sum of lengths], in the dtype of the files."""
    lengths: Tokens
    """[sequences], all above 0."""
    sequences_per_document: Tokens
    """[documents], all above 0."""
    unknown_tokens: int
    """Number of [UNK] in `tokens`."""
    text_bytes: int
    """UTF-8 bytes of title and text of all documents, skipped ones included."""
    skipped: Counter[str]
    """What was left out, by reason."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """How documents become sequences."""

    tokenizer: Tokenizer
    """Gives the ids."""
    split: bool
    """One sequence per sentence, instead of one per document."""
    eod: int | None
    """Id to put after the last sequence of each document."""

    def encode(self, batch: Batch) -> EncodedBatch:
        """Tokenise a batch. Each document is encoded by itself, so the batches make no difference."""
        sequences = [self._sequences(title, text) for title, text in batch.texts]
        kept = [document for document in sequences if document]
        tokens, lengths = self.tokenizer.encode_joined(list(chain.from_iterable(kept)))
        unknown = (
            int(np.count_nonzero(tokens == self.tokenizer.unk)) if self.tokenizer.kind == "wordpiece" else 0
        )
        owners = np.repeat(np.arange(len(kept)), [len(document) for document in kept])
        per_document = np.bincount(owners[lengths > 0], minlength=len(kept))
        without_tokens = per_document == 0
        empty_sentences = np.count_nonzero((lengths == 0) & ~without_tokens[owners])
        skipped = Counter(
            {
                EMPTY_DOCUMENT: len(sequences) - len(kept),
                NO_TOKENS: int(np.count_nonzero(without_tokens)),
                EMPTY_SENTENCE: int(empty_sentences),
            }
        )
        lengths, per_document = lengths[lengths > 0], per_document[~without_tokens]
        if self.eod is not None:
            last = np.cumsum(per_document) - 1
            tokens = np.insert(tokens, np.cumsum(lengths)[last], self.eod)
            lengths[last] += 1
        return EncodedBatch(
            tokens=tokens.astype(token_dtype(self.tokenizer.vocab_size)),
            lengths=lengths,
            sequences_per_document=per_document,
            unknown_tokens=unknown,
            text_bytes=sum(len(title.encode()) + len(text.encode()) for title, text in batch.texts),
            skipped=+skipped,
        )

    def _sequences(self, title: str, text: str) -> list[str]:
        """The texts to tokenise, none of them blank; the title is the first sentence, or the first line."""
        title = title.strip()
        if self.split:
            return ([title] if title else []) + split_sentences(text)
        whole = f"{title}\n{text}".strip()
        return [whole] if whole else []


def batches(documents: Iterable[Document]) -> Iterator[Batch]:
    """Cut a stream of documents into batches of about a million characters."""
    texts: list[tuple[str, str]] = []
    characters = 0
    first = ""
    for document in documents:
        first = first or document.id
        texts.append((document.title, document.text))
        characters += len(document.title) + len(document.text)
        if characters >= BATCH_CHARACTERS or len(texts) >= BATCH_DOCUMENTS:
            yield Batch(texts=texts, place=f"documents {first} to {document.id}")
            texts, characters, first = [], 0, ""
    if texts:
        yield Batch(texts=texts, place=f"documents {first} to {document.id}")
