"""BioMegatron's way to a WordPiece vocabulary: BPE by SentencePiece, whose pieces are then written as WordPiece does.

SentencePiece marks the start of a word, "▁acetyl", WordPiece its continuation, "##choline"; so "▁x" becomes "x" and any
other "x" becomes "##x". The pieces are the same but the cutting is not: SentencePiece repeats its merges in the order in
which they were learned, WordPiece takes the longest piece that fits, from left to right. `compare_segmentations` counts
how often the two cut a word differently.

SentencePiece is given BERT's words with their counts instead of lines of text: of text it also makes pieces such as
").", which BERT's pre-tokenizer never leaves together, and it keeps all of the text in memory.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer as Core

from megatron_bio.tokens.errors import TokenizerError

WORD_START = "▁"
LONGEST_PIECE = 64
"""Characters; SentencePiece's own 16 would cut every "immunohistochemistry"."""
UNKNOWN = "<unk>"
COMPARED_TOGETHER = 1 << 16


@dataclass(frozen=True, kw_only=True)
class LearnedPieces:
    """What SentencePiece learned."""

    model: bytes
    """Its model file, with no more pieces than `pieces` and the single characters."""
    pieces: list[str]
    """As WordPiece writes them, the most useful first, without those of a single character."""
    words: Counter[str]
    """The words it was trained on: those of the alphabet."""


@dataclass(frozen=True, kw_only=True)
class SegmentationDifference:
    """How often SentencePiece and WordPiece cut a word of the training text differently with the same pieces."""

    words: int
    """Occurrences of words compared."""
    different: int
    """Of these, cut differently."""
    distinct_words: int
    distinct_different: int
    examples: list[tuple[str, list[str], list[str]]]
    """Frequent words that are cut differently, with the pieces of SentencePiece and of WordPiece."""


def learn_pieces(
    words: Mapping[str, int], alphabet: Sequence[str], wanted: int, minimum_frequency: int
) -> LearnedPieces:
    """Learn up to `wanted` pieces of two characters and more from words with their counts.

    Words with a character outside the alphabet are left out, for WordPiece makes [UNK] of them. Raises TokenizerError if
    no word is left.
    """
    known = set(alphabet) - {WORD_START}
    usable = Counter({word: words[word] for word in sorted(words) if known.issuperset(word)})
    if not usable:
        raise TokenizerError(
            f"--inputs: expected words of the {len(alphabet)} most frequent characters to train on, found none. Raise "
            f"--alphabet or check the documents."
        )
    # Some merges only join the start of a word with a character, and are no new pieces of WordPiece.
    trained = _train(usable, wanted + 2 * len(alphabet) + 2)
    trained = _keep_pieces(trained, _last_frequent(trained, usable, minimum_frequency))
    model, pieces = _cut(trained, wanted)
    return LearnedPieces(model=model, pieces=pieces, words=usable)


def as_wordpiece(piece: str) -> str:
    """ "▁x" → "x", "x" → "##x"."""
    return piece.removeprefix(WORD_START) if piece.startswith(WORD_START) else f"##{piece}"


def compare_segmentations(learned: LearnedPieces, core: Core, examples: int = 5) -> SegmentationDifference:
    """Cut every word with both: SentencePiece's model, and `core`, the WordPiece tokenizer made of its pieces."""
    found: list[tuple[str, list[str], list[str]]] = []
    different = distinct_different = 0
    processor = sentencepiece.SentencePieceProcessor(model_proto=learned.model)
    token_of = {number: token for token, number in core.get_vocab().items()}
    for words in _portions(learned.words):
        theirs = processor.encode(words, out_type=str)
        ours = core.encode_batch_fast(words, add_special_tokens=False)
        for word, pieces, encoding in zip(words, theirs, ours, strict=True):
            written = _written_as_wordpiece(pieces)
            # encode_batch_fast gives ids only.
            tokens = [token_of[number] for number in encoding.ids]
            if written != tokens:
                different += learned.words[word]
                distinct_different += 1
                if len(found) < examples:
                    found.append((word, written, tokens))
    return SegmentationDifference(
        words=learned.words.total(),
        different=different,
        distinct_words=len(learned.words),
        distinct_different=distinct_different,
        examples=found,
    )


def _train(words: Mapping[str, int], size: int) -> sentencepiece_model_pb2.ModelProto:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(f"{word}\t{count}" for word, count in words.items()),
        input_format="tsv",
        model_writer=written,
        model_type="bpe",
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        max_sentencepiece_length=LONGEST_PIECE,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(written.getvalue())
    return model


def _last_frequent(
    model: sentencepiece_model_pb2.ModelProto, words: Mapping[str, int], minimum_frequency: int
) -> int:
    """The number of the last piece in use `minimum_frequency` times.

    Merges are learned in the order of their frequency, so all before it were at least as frequent. After it come those
    that are too rare, and where the words are exhausted pieces that never stand in any of them.
    """
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    uses = [0] * len(model.pieces)
    for portion in _portions(words):
        for word, numbers in zip(portion, processor.encode(portion), strict=True):
            for number in numbers:
                uses[number] += words[word]
    merged = (
        number
        for number, piece in enumerate(model.pieces)
        if len(piece.piece) > 1 and piece.piece != UNKNOWN and uses[number] >= minimum_frequency
    )
    return max(merged, default=0)


def _keep_pieces(model: sentencepiece_model_pb2.ModelProto, last: int) -> sentencepiece_model_pb2.ModelProto:
    """The model with its pieces up to number `last`, and all single characters."""
    kept = [piece for number, piece in enumerate(model.pieces) if number <= last or len(piece.piece) == 1]
    shorter = sentencepiece_model_pb2.ModelProto()
    shorter.CopyFrom(model)
    del shorter.pieces[:]
    shorter.pieces.extend(kept)
    return shorter


def _cut(model: sentencepiece_model_pb2.ModelProto, wanted: int) -> tuple[bytes, list[str]]:
    """The model up to the last of the first `wanted` pieces of WordPiece that are no single characters, and these."""
    pieces: list[str] = []
    last = 0
    for number, piece in enumerate(model.pieces):
        if piece.piece == UNKNOWN or len(piece.piece.removeprefix(WORD_START)) < 2:
            continue
        if len(pieces) == wanted:
            break
        pieces.append(as_wordpiece(piece.piece))
        last = number
    return _keep_pieces(model, last).SerializeToString(), pieces


def _written_as_wordpiece(pieces: Sequence[str]) -> list[str]:
    """The pieces of one word; a start of the word that stands alone goes with the piece after it."""
    first, rest = (pieces[0], pieces[1:]) if pieces[0] != WORD_START else (pieces[1], pieces[2:])
    return [first.removeprefix(WORD_START), *map(as_wordpiece, rest)]


def _portions(words: Mapping[str, int]) -> Iterator[list[str]]:
    """The words in portions, the most frequent first."""
    ordered = iter(sorted(words, key=lambda word: (-words[word], word)))
    while portion := list(islice(ordered, COMPARED_TOGETHER)):
        yield portion
