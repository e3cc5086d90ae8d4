"""Train a WordPiece or byte-level BPE vocabulary with the tokenizers library, the same one for the same documents.

Its WordPiece trainer numbers the pieces "##x" in the order of a hash table, and lets these numbers break ties between
merges, so that two runs differ. Here the characters are counted first and given to it in a fixed order.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer as Core
from tokenizers import models, normalizers, pre_tokenizers, trainers

from megatron_bio.config.tokens import TrainVocabularyOptions
from megatron_bio.corpus.document import Document
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.progress import read_with_progress
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import (
    BERT_SPECIAL_TOKENS,
    END_OF_TEXT,
    build_byte_level,
    build_wordpiece,
)
from megatron_bio.tokens.tokenizer_folder import check_replaceable, write_tokenizer_folder

CODE_POINTS = 0x110000
COUNTED_TOGETHER = 1 << 22
"""Characters counted in one go: enough that clearing the table of all code points costs little."""


def train_vocabulary(options: TrainVocabularyOptions) -> None:
    """Train, write the tokenizer folder, and print its size and how the words of `show_words` split.

    Raises TokenizerError if the output folder holds anything else, the documents are empty, or `size` is too small for
    the alphabet.
    """
    check_replaceable(options.output)
    reader = _TextReader(options)
    core = (
        _train_wordpiece(options, reader)
        if options.type == "wordpiece"
        else _train_byte_level(options, reader)
    )
    write_tokenizer_folder(options.output, core)
    _report(options, reader)


@dataclass
class _TextReader:
    """Reads title and text of each document, as often as needed, and counts documents and words of the last time."""

    options: TrainVocabularyOptions
    documents: int = 0
    words: int = 0

    def texts(self, title: str) -> Iterator[str]:
        self.documents = self.words = 0
        for document in read_with_progress(title, self.options.inputs, self.options.progress):
            text = _whole_text(document)
            self.documents += 1
            self.words += len(text.split())
            yield text

    def check_words(self) -> None:
        if not self.words:
            raise TokenizerError(
                f"--inputs: expected words to train on, found none in {self.documents} documents of "
                f"{', '.join(self.options.inputs)}. Nothing was written."
            )


def _whole_text(document: Document) -> str:
    return f"{document.title}\n{document.text}"


def _train_wordpiece(options: TrainVocabularyOptions, reader: _TextReader) -> Core:
    blank = Core(models.WordPiece(unk_token="[UNK]"))
    blank.normalizer = normalizer = normalizers.BertNormalizer(lowercase=options.lowercase)
    blank.pre_tokenizer = pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    counts = count_characters(reader.texts("counting characters"))
    reader.check_words()
    alphabet = choose_alphabet(counts, normalizer, options.alphabet)
    inner = [
        f"##{character}" for character in alphabet if _stands_in_words(character, normalizer, pre_tokenizer)
    ]
    fixed = [*BERT_SPECIAL_TOKENS, *alphabet, *inner]
    _check_size(
        options, len(fixed), f"{len(alphabet)} characters, alone and inside words, and 5 special tokens"
    )
    trainer = trainers.WordPieceTrainer(
        vocab_size=options.size,
        min_frequency=options.minimum_frequency,
        show_progress=False,
        special_tokens=fixed,
        limit_alphabet=len(alphabet),
        initial_alphabet=alphabet,
    )
    blank.train_from_iterator(reader.texts("training"), trainer)
    return build_wordpiece(json.loads(blank.to_str())["model"]["vocab"], options.lowercase)


def _train_byte_level(options: TrainVocabularyOptions, reader: _TextReader) -> Core:
    blank = Core(models.BPE())
    blank.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=options.size,
        min_frequency=options.minimum_frequency,
        show_progress=False,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    blank.train_from_iterator(reader.texts("training"), trainer)
    reader.check_words()
    model = json.loads(blank.to_str())["model"]
    merges = [(left, right) for left, right in model["merges"]]
    return build_byte_level(model["vocab"], merges, add_prefix_space=False)


def count_characters(texts: Iterable[str]) -> dict[str, int]:
    """How often each character occurs."""
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    waiting: list[str] = []
    size = 0
    for text in texts:
        waiting.append(text)
        size += len(text)
        if size >= COUNTED_TOGETHER:
            counts += _count_code_points("".join(waiting))
            waiting, size = [], 0
    counts += _count_code_points("".join(waiting))
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}


def _count_code_points(text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.bincount(np.frombuffer(text.encode("utf-32-le"), np.uint32), minlength=CODE_POINTS)


def choose_alphabet(counts: dict[str, int], normalizer: normalizers.Normalizer, limit: int) -> list[str]:
    """The `limit` most frequent characters after normalisation, equal ones by code point, in order of code points.

    The normaliser works character by character, so counts before it give the counts after it.
    """
    normalised: dict[str, int] = {}
    for character, count in counts.items():
        for result in normalizer.normalize_str(character):
            if not result.isspace():
                normalised[result] = normalised.get(result, 0) + count
    ordered = sorted(normalised, key=lambda character: (-normalised[character], character))
    return sorted(ordered[:limit])


def _stands_in_words(
    character: str, normalizer: normalizers.Normalizer, pre_tokenizer: pre_tokenizers.PreTokenizer
) -> bool:
    """Whether a character can stand inside a word; punctuation and Chinese characters are words of their own."""
    return len(pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(f"a{character}a"))) == 1


def _check_size(options: TrainVocabularyOptions, fixed: int, what: str) -> None:
    if options.size <= fixed:
        raise TokenizerError(
            f"--size: expected more than the {fixed} tokens that the documents need at least ({what}), found "
            f"{options.size}. Raise --size or lower --alphabet."
        )


def _report(options: TrainVocabularyOptions, reader: _TextReader) -> None:
    tokenizer = Tokenizer.load(options.output)
    print(
        f"{options.output}: {tokenizer.vocab_size:,} tokens from {reader.words:,} words, {reader.documents:,} documents"
    )
    if tokenizer.vocab_size < options.size:
        print(
            f"  fewer than the {options.size:,} asked for: no further two pieces stand together "
            f"{options.minimum_frequency} times in these documents"
        )
    for word in options.show_words:
        # Byte-level BPE knows most words by the space before them.
        text = f" {word}" if tokenizer.kind == "bpe" else word
        pieces = [
            tokenizer.id_to_token(number) or "" for number in tokenizer.encode_batch([text])[0].tolist()
        ]
        print(f"  {word}: {' '.join(pieces)}")
