"""The verb `vocabulary train`: documents → a WordPiece or byte-level BPE vocabulary, the same one for the same documents.

The WordPiece trainer of the tokenizers library numbers the pieces "##x" in the order of a hash table, and lets these
numbers break ties between merges, so that two runs differ. Here the characters are counted first and given to it in a
fixed order.
"""

import json
from collections import Counter
from importlib.metadata import version
from typing import Any

from tokenizers import Tokenizer as Core
from tokenizers import models, normalizers, pre_tokenizers, trainers

from megatron_bio.config.tokens import TrainVocabularyOptions
from megatron_bio.tokens.alphabet import choose_alphabet, count_characters, stands_in_words
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.sentence_pieces import SegmentationDifference, compare_segmentations, learn_pieces
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import (
    BERT_SPECIAL_TOKENS,
    END_OF_TEXT,
    TRAINING_RECORD,
    build_byte_level,
    build_wordpiece,
)
from megatron_bio.tokens.tokenizer_folder import check_replaceable, write_tokenizer_folder
from megatron_bio.tokens.vocabulary_sample import TextReader
from megatron_bio.tokens.word_counts import WordCounts, count_words


def train_vocabulary(options: TrainVocabularyOptions) -> None:
    """Train, write the tokenizer folder, and print its size and how the words of `show_words` split.

    Raises TokenizerError if the output folder holds anything else, the documents are empty, or `size` is too small for
    the alphabet.
    """
    check_replaceable(options.output)
    reader = TextReader(options)
    difference = None
    if options.type == "bpe":
        core = _train_byte_level(options, reader)
    elif options.method == "direct":
        core = _train_wordpiece(options, reader)
    else:
        core, counted, difference = _train_by_sentencepiece(options, reader)
        _report_words(counted)
    record = _record(options, reader, difference)
    write_tokenizer_folder(options.output, core, {TRAINING_RECORD: json.dumps(record, indent=2) + "\n"})
    _report(options, reader, difference)


def _train_wordpiece(options: TrainVocabularyOptions, reader: TextReader) -> Core:
    blank = Core(models.WordPiece(unk_token="[UNK]"))
    blank.normalizer = normalizer = normalizers.BertNormalizer(lowercase=options.lowercase)
    blank.pre_tokenizer = pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    counts = count_characters(reader.texts("counting characters"))
    reader.check_words()
    alphabet = choose_alphabet(counts, normalizer, options.alphabet)
    inside = [character for character in alphabet if stands_in_words(character, normalizer, pre_tokenizer)]
    fixed = _fixed_tokens(options, alphabet, inside)
    trainer = trainers.WordPieceTrainer(
        vocab_size=options.tokens,
        min_frequency=options.minimum_frequency,
        show_progress=False,
        special_tokens=fixed,
        limit_alphabet=len(alphabet),
        initial_alphabet=alphabet,
    )
    blank.train_from_iterator(reader.texts("training"), trainer)
    return build_wordpiece(json.loads(blank.to_str())["model"]["vocab"], options.lowercase)


def _train_by_sentencepiece(
    options: TrainVocabularyOptions, reader: TextReader
) -> tuple[Core, WordCounts, SegmentationDifference]:
    normalizer = normalizers.BertNormalizer(lowercase=options.lowercase)
    counted = count_words(reader.texts("counting words"), normalizer, pre_tokenizers.BertPreTokenizer())
    reader.check_words()
    characters: Counter[str] = Counter()
    for word, count in counted.words.items():
        for character in word:
            characters[character] += count
    alphabet = choose_alphabet(characters, normalizer, options.alphabet)
    fixed = _fixed_tokens(options, alphabet, alphabet)
    learned = learn_pieces(counted.words, alphabet, options.tokens - len(fixed), options.minimum_frequency)
    vocabulary = {token: number for number, token in enumerate([*fixed, *learned.pieces])}
    core = build_wordpiece(vocabulary, options.lowercase)
    return core, counted, compare_segmentations(learned, core)


def _fixed_tokens(options: TrainVocabularyOptions, alphabet: list[str], inside: list[str]) -> list[str]:
    """The tokens that a vocabulary has whatever else is learned: special, unused, characters alone and inside words."""
    if not alphabet:
        raise TokenizerError(
            f"--inputs: expected text in {', '.join(options.inputs)}, found no character that a word can hold. Give other "
            f"documents."
        )
    unused = [f"[unused{number}]" for number in range(options.unused)]
    fixed = [*BERT_SPECIAL_TOKENS, *unused, *alphabet, *(f"##{character}" for character in inside)]
    if options.tokens <= len(fixed):
        slots = f", {options.unused} unused ones" if options.unused else ""
        raise TokenizerError(
            f"--size: expected more than the {len(fixed)} tokens that the documents need at least ({len(alphabet)} "
            f"characters, alone and inside words, {len(BERT_SPECIAL_TOKENS)} special tokens{slots}), found "
            f"{options.tokens}. Raise --size or lower --alphabet."
        )
    return fixed


def _train_byte_level(options: TrainVocabularyOptions, reader: TextReader) -> Core:
    blank = Core(models.BPE())
    blank.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=options.tokens,
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


def _record(
    options: TrainVocabularyOptions, reader: TextReader, difference: SegmentationDifference | None
) -> dict[str, Any]:
    """What the folder says of its origin; nothing in it depends on where and when it was made."""
    library = "sentencepiece" if options.method == "sentencepiece" else "tokenizers"
    record: dict[str, Any] = {
        "type": options.type,
        "method": options.method,
        "library": f"{library} {version(library)}",
        "size_asked_for": options.tokens,
        "lowercase": options.lowercase,
        "minimum_frequency": options.minimum_frequency,
        "alphabet": options.alphabet,
        "unused": options.unused,
        "sample": options.sample,
        "sample_unit": options.sample_unit,
        "seed": options.seed,
        "documents_read": reader.documents_read,
        "documents": reader.documents,
        "words": reader.words,
        "characters": reader.characters,
    }
    if difference is not None:
        record["cut_differently_by_sentencepiece"] = {
            "words": difference.words,
            "different": difference.different,
            "distinct_words": difference.distinct_words,
            "distinct_different": difference.distinct_different,
        }
    return record


def _report_words(counted: WordCounts) -> None:
    if counted.forgotten:
        print(
            f"  {counted.forgotten:,} occurrences of rare words were not counted, for there were too many different ones"
        )
    if counted.too_long:
        print(
            f"  {counted.too_long:,} words of more than 100 characters were left out; BERT makes [UNK] of them"
        )


def _report(
    options: TrainVocabularyOptions, reader: TextReader, difference: SegmentationDifference | None
) -> None:
    tokenizer = Tokenizer.load(options.output)
    print(
        f"{options.output}: {tokenizer.vocab_size:,} tokens from {reader.words:,} words, {reader.documents:,} documents"
        + (f" (a sample of {reader.documents_read:,})" if options.sample else "")
    )
    if tokenizer.vocab_size < options.tokens:
        print(
            f"  fewer than the {options.tokens:,} asked for: no further two pieces stand together "
            f"{options.minimum_frequency} times in these documents"
        )
    if difference is not None:
        _report_difference(difference)
    for word in options.show_words:
        # Byte-level BPE knows most words by the space before them.
        text = f" {word}" if tokenizer.kind == "bpe" else word
        pieces = [
            tokenizer.id_to_token(number) or "" for number in tokenizer.encode_batch([text])[0].tolist()
        ]
        print(f"  {word}: {' '.join(pieces)}")


def _report_difference(difference: SegmentationDifference) -> None:
    print(
        f"  SentencePiece and WordPiece cut {difference.different:,} of {difference.words:,} words differently "
        f"({100 * difference.different / difference.words:.2f} %), {difference.distinct_different:,} of "
        f"{difference.distinct_words:,} different ones"
    )
    for word, theirs, ours in difference.examples:
        print(f"    {word}: {' '.join(theirs)} | {' '.join(ours)}")
