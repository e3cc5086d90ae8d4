"""Documents → token ids: what is done with one block of lines, in this process or in a worker."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from megatron_bio.tokens.document_lines import LineBlock
from megatron_bio.tokens.document_split import part_of
from megatron_bio.tokens.document_texts import TITLE_KEY, parse_texts
from megatron_bio.tokens.indexed import Tokens, token_dtype
from megatron_bio.tokens.sentences import split_sentences
from megatron_bio.tokens.tokenizer import Tokenizer

EMPTY_DOCUMENT = "empty document"
NO_KEY = "document without any of the keys"
NO_TOKENS = "document without tokens"
EMPTY_SENTENCE = "sentence without tokens"


@dataclass(frozen=True, kw_only=True)
class EncodedDocuments:
    """The tokens of consecutive documents of one output."""

    tokens: Tokens
    """Sequences back to back [sum of lengths], in the dtype of the files."""
    lengths: Tokens
    """[sequences], all above 0."""
    sequences_per_document: Tokens
    """[documents], all above 0."""
    unknown_tokens: int
    """Number of [UNK] in `tokens`."""
    skipped: Counter[str]
    """What was left out, by reason."""


@dataclass(frozen=True, kw_only=True)
class EncodedBlock:
    """What came of a block of lines."""

    block_file: int
    """Number of the file."""
    block_end: int
    """Number of the last line, from 1."""
    read_bytes: int
    """How much of the file on disk was read for it."""
    parts: dict[int, EncodedDocuments]
    """By number of the output, ascending."""
    text_bytes: int
    """UTF-8 bytes of the texts of all documents, skipped ones included."""
    keys_used: frozenset[str]
    """Which of the keys some document had."""
    keys_found: frozenset[str]
    """All keys of all documents."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """How documents become sequences."""

    tokenizer: Tokenizer
    """Gives the ids."""
    split: bool
    """One sequence per sentence, instead of one per document."""
    eod: int | None
    """Id to put after the last sequence of each document."""
    keys: tuple[str, ...] = ("title", "text")
    """Where the texts of a document stand."""
    fractions: tuple[float, ...] = ()
    """Shares of train, validation and test, drawn by id; empty for one output, or the one that the block names."""
    seed: int = 1
    """Of the draw."""

    def encode(self, block: LineBlock) -> EncodedBlock:
        """Parse and tokenise a block. Each document is encoded by itself, so the blocks make no difference."""
        by_part: dict[int, list[dict[str, str]]] = {}
        found: set[str] = set()
        used: set[str] = set()
        text_bytes = 0
        for number, line in enumerate(block.lines, start=block.first_line):
            if line.isspace():
                continue
            document = parse_texts(block.path, number, line, self.keys)
            found.update(document.keys)
            used.update(document.texts)
            text_bytes += sum(len(text.encode()) for text in document.texts.values())
            part = part_of(document.id, self.fractions, self.seed) if self.fractions else block.part
            by_part.setdefault(part, []).append(document.texts)
        return EncodedBlock(
            block_file=block.file,
            block_end=block.last_line,
            read_bytes=block.read_bytes,
            parts={part: self.encode_texts(by_part[part]) for part in sorted(by_part)},
            text_bytes=text_bytes,
            keys_used=frozenset(used),
            keys_found=frozenset(found),
        )

    def encode_texts(self, documents: Iterable[dict[str, str]]) -> EncodedDocuments:
        """Tokenise documents given by their texts by key."""
        documents = list(documents)
        sequences = [self._sequences(texts) for texts in documents]
        kept = [document for document in sequences if document]
        tokens, lengths = self.tokenizer.encode_joined(list(chain.from_iterable(kept)))
        unknown = (
            int(np.count_nonzero(tokens == self.tokenizer.unk)) if self.tokenizer.kind == "wordpiece" else 0
        )
        owners = np.repeat(np.arange(len(kept)), [len(document) for document in kept])
        per_document = np.bincount(owners[lengths > 0], minlength=len(kept))
        without_tokens = per_document == 0
        empty_sentences = np.count_nonzero((lengths == 0) & ~without_tokens[owners])
        without_key = sum(not texts for texts in documents)
        skipped = Counter(
            {
                f"{NO_KEY} {', '.join(self.keys)}": without_key,
                EMPTY_DOCUMENT: len(sequences) - len(kept) - without_key,
                NO_TOKENS: int(np.count_nonzero(without_tokens)),
                EMPTY_SENTENCE: int(empty_sentences),
            }
        )
        lengths, per_document = lengths[lengths > 0], per_document[~without_tokens]
        if self.eod is not None:
            last = np.cumsum(per_document) - 1
            tokens = np.insert(tokens, np.cumsum(lengths)[last], self.eod)
            lengths[last] += 1
        return EncodedDocuments(
            tokens=tokens.astype(token_dtype(self.tokenizer.vocab_size)),
            lengths=lengths,
            sequences_per_document=per_document,
            unknown_tokens=unknown,
            skipped=+skipped,
        )

    def _sequences(self, texts: dict[str, str]) -> list[str]:
        """The texts to tokenise, none of them blank; the title is the first sentence, or the first line."""
        if self.split:
            sentences: list[str] = []
            for key, text in texts.items():
                if key != TITLE_KEY:
                    sentences += split_sentences(text)
                elif title := text.strip():
                    sentences.append(title)
            return sentences
        whole = whole_text(texts)
        return [whole] if whole else []


def whole_text(texts: Mapping[str, str]) -> str:
    """A document as one text: what stands under its keys, one below the other; empty if nothing does."""
    parts = [text.strip() if key == TITLE_KEY else text for key, text in texts.items()]
    return "\n".join(part for part in parts if part).strip()
