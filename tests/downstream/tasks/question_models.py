"""Tokenizers and logits for questions: what a model would give that knows the answers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from megatron_bio.downstream.readers.question_forms import Answer
from megatron_bio.downstream.tasks.form import Encoded, Logits
from megatron_bio.downstream.tasks.span_windows import WindowPlace, pieces_of

TEXTS = [
    "aspirin inhibits cyclooxygenase in human platelets and lowers fever",
    "tumour necrosis factor alpha",
] * 20
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
DATA = Path(__file__).parents[4] / "shared" / "data"


def bert() -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece, with [CLS] and [SEP], of characters and a few words."""
    characters = [chr(number) for number in range(33, 127)]
    words = sorted({word for text in TEXTS for word in text.split()})
    return _word_piece([*SPECIAL, *characters, *(f"##{letter}" for letter in characters), *words])


def real_bert(vocabulary: Path) -> PreTrainedTokenizerFast:
    """BERT's uncased WordPiece of a vocabulary file."""
    return _word_piece(vocabulary.read_text(encoding="utf-8").splitlines())


def _word_piece(pieces: Sequence[str]) -> PreTrainedTokenizerFast:
    numbers = {piece: number for number, piece in enumerate(pieces)}
    core = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, core.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def gpt(**names: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE without special pieces around a text."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=350, initial_alphabet=alphabet, special_tokens=["<|endoftext|>", "<s>", "</s>"]
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_input_names=["input_ids", "attention_mask"],
        **(names or {"eos_token": "<|endoftext|>"}),
    )


def roberta() -> PreTrainedTokenizerFast:
    """A byte-level BPE with RoBERTa's pair, <s> first </s></s> second </s>."""
    tokenizer = gpt(cls_token="<s>", sep_token="</s>", eos_token="</s>")
    core = tokenizer.backend_tokenizer
    core.post_processor = processors.RobertaProcessing(
        ("</s>", core.token_to_id("</s>")), ("<s>", core.token_to_id("<s>")), trim_offsets=True
    )
    return tokenizer


def knowing_logits(
    encoded: Encoded[WindowPlace],
    answers: Mapping[tuple[int, int], Iterable[tuple[str, Answer]]],
    tokenizer: Any,
    knows_nothing: float = 15.0,
) -> list[Logits]:
    """Logits of 10 at the first and last piece of each answer; without one in the window, `knows_nothing` at "no answer".

    `answers` has the context and an answer by example and text.
    """
    found: dict[tuple[int, int], list[tuple[str, Answer]]] = defaultdict(list)
    for key, pairs in answers.items():
        found[key] += pairs
    pieces = pieces_of([context for pairs in found.values() for context, _ in pairs], tokenizer)
    outputs = []
    for row, place in zip(encoded.features, encoded.places, strict=True):
        logits = np.zeros((2, len(row["input_ids"])), dtype=np.float32)
        end = place.begin + len(place.starts)
        for context, answer in found[place.example, place.text]:
            covering = pieces[context].covering(answer)
            if covering is not None and place.begin <= covering[0] and covering[1] < end:
                logits[0, place.first + covering[0] - place.begin] = 10
                logits[1, place.first + covering[1] - place.begin] = 10
        if not logits.any():
            logits[:, place.no_answer] = knows_nothing
        outputs.append(logits)
    return outputs


def answer(text: str, context: str, occurrence: int = 1) -> Answer:
    """An answer at the first, second… place of its text."""
    start = -1
    for _ in range(occurrence):
        start = context.index(text, start + 1)
    return Answer(text=text, start=start)


def texts(encoded: Encoded[WindowPlace], contexts: Sequence[str]) -> list[str]:
    """The part of its text that each row's window has."""
    return [
        contexts[place.example][place.starts[0] : place.ends[-1]] if len(place.starts) else ""
        for place in encoded.places
    ]
