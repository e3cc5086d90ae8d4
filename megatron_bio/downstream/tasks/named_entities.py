"""Named entities: every word has a label, every piece of a word is classified.

Settings: the BioMegatron paper (H.-C. Shin et al. 2020, caption of its Table 2): 128 pieces, lr 5e-5, 30 epochs, a head of one or
two layers of 512 or 1,024 with dropout 0.5. Batch, warm-up and decay, which it does not give, are those of NeMo's token
classification.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.readers.entity_forms import OUTSIDE, EntitySet, Sentence
from megatron_bio.downstream.readers.iob import read_iob
from megatron_bio.downstream.readers.pubtator import is_pubtator_line, read_pubtator_sentences
from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.scorers.named_entities import score_named_entities
from megatron_bio.downstream.tasks.form import (
    LOSS_IGNORES,
    Encoded,
    Examples,
    Logits,
    PartName,
    Row,
    Settings,
    Task,
    UsedFile,
)
from megatron_bio.downstream.tasks.windows import windows
from megatron_bio.downstream.tasks.word_pieces import WordPieces
from megatron_bio.tokens.data_file import DataFile

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ENTITY_SETTINGS: Final = Settings(
    learning_rate=5e-5,
    epochs=30,
    batch_size=64,
    max_length=128,
    warmup_fraction=0.1,
    weight_decay=0.0,
    head_layers=2,
    head_size=1024,
    head_dropout=0.5,
)
GOLD, PREDICTIONS = "gold.tsv", "predictions.tsv"
OF_TWO_SETS = "entity that overlaps one of the other set"


@dataclass(frozen=True, slots=True)
class RowWords:
    """Which words of a sentence a row decides on, and at which of its pieces."""

    sentence: int
    words: tuple[int, ...]
    first_pieces: tuple[int, ...]


class NamedEntityTask(Task[Sentence, RowWords, tuple[str, ...]]):
    """Entities of any types. A prediction is a sentence's labels, in IOB2."""

    kind = "named entities"
    head = "tokens"
    main_measure = ("overall", "f1")
    defaults = ENTITY_SETTINGS

    def __init__(self, name: str, *, together: bool = False) -> None:
        """`together`: the files of a part hold the same sentences with entities of different types, as BC5CDR's two sets."""
        self.name = self.benchmark = name
        self.together = together

    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[Sentence]]:
        """Read IOB or PubTator files. Raises DamagedFileError, and ConfigurationError for sets that do not go together."""
        return {part: self._part(paths) for part, paths in files.items()}

    def _part(self, paths: Sequence[Path]) -> Examples[Sentence]:
        opened = [DataFile(path) for path in paths]
        found = [_read(file) for file in opened]
        left_out = sum((each.left_out for each in found), Counter[str]())
        sentences = tuple(sentence for each in found for sentence in each.sentences)
        if self.together and len(found) > 1:
            sentences = _merged(opened, [each.sentences for each in found], left_out)
        return Examples(
            examples=sentences,
            files=tuple(UsedFile(path=file.path, sha256=file.sha256) for file in opened),
            left_out=left_out,
        )

    def labels(self, parts: Mapping[PartName, Examples[Sentence]]) -> tuple[str, ...]:
        """O, then B and I of each type of the training data. Raises ConfigurationError for types that only other parts have."""
        types = {part: _types(found.examples) for part, found in parts.items()}
        learnt = types.get("train", set())
        for part, there in types.items():
            if unknown := sorted(there - learnt):
                files = ", ".join(str(file.path) for file in parts[part].files)
                raise ConfigurationError(
                    f"{files}: expected entities of the types of the training data ({', '.join(sorted(learnt)) or 'none'}), found "
                    f"{', '.join(unknown)} too, which no model could learn. Train on data that have them, or take them out."
                )
        return (OUTSIDE, *(f"{mark}-{kind}" for kind in sorted(learnt) for mark in "BI"))

    def encode(
        self,
        examples: Sequence[Sentence],
        tokenizer: "PreTrainedTokenizerFast",
        settings: Settings,
        labels: Sequence[str],
        training: bool,
    ) -> Encoded[RowWords]:
        """Make a row of each sentence that fits, several of a longer one; a word longer than a row keeps its first pieces."""
        pieces = WordPieces(tokenizer)
        pieces.learn(sentence.words for sentence in examples)
        before, after = _special_pieces(tokenizer)
        room = settings.max_length - len(before) - len(after)
        if room < 1:
            raise ConfigurationError(
                f"--max_length: expected room for words beside special tokens, found {settings.max_length}."
            )
        numbers = {label: number for number, label in enumerate(labels)}
        types = "token_type_ids" in tokenizer.model_input_names
        features: list[Row] = []
        places: list[RowWords] = []
        for index, sentence in enumerate(examples):
            of_words = pieces.pieces(sentence.words)
            for window in windows([len(each) for each in of_words], room):
                ids = list(before)
                given = [LOSS_IGNORES] * len(before)
                firsts: list[int] = []
                for word in range(window.first, window.end):
                    found = of_words[word][:room]
                    is_own = window.own_first <= word < window.own_end
                    if is_own:
                        firsts.append(len(ids))
                    ids += found
                    if training:
                        own = numbers[sentence.tags[word]] if is_own else LOSS_IGNORES
                        given += _piece_labels(own, len(found), settings, labels, numbers)
                ids += after
                row: Row = {"input_ids": ids}
                if types:
                    row["token_type_ids"] = [0] * len(ids)
                if training:
                    row["labels"] = [*given, *[LOSS_IGNORES] * len(after)]
                features.append(row)
                places.append(RowWords(index, tuple(range(window.own_first, window.own_end)), tuple(firsts)))
        return Encoded(features=features, places=tuple(places))

    def predictions(
        self,
        examples: Sequence[Sentence],
        encoded: Encoded[RowWords],
        outputs: Sequence[Logits],
        labels: Sequence[str],
    ) -> tuple[tuple[str, ...], ...]:
        """The label with the largest logit at the first piece of each word."""
        found = [[OUTSIDE] * len(sentence.words) for sentence in examples]
        for place, logits in zip(encoded.places, outputs, strict=True):
            best = np.argmax(logits[list(place.first_pieces)], axis=-1)
            for word, number in zip(place.words, best.tolist(), strict=True):
                found[place.sentence][word] = labels[number]
        return tuple(tuple(sentence) for sentence in found)

    def score(self, examples: Sequence[Sentence], predictions: Sequence[tuple[str, ...]]) -> Scores:
        """Precision, recall and F1 of whole entities, as conlleval."""
        return score_named_entities([sentence.tags for sentence in examples], predictions)

    def write(
        self, examples: Sequence[Sentence], predictions: Sequence[tuple[str, ...]], folder: Path
    ) -> None:
        """Write gold.tsv and predictions.tsv, a word and its label on a line."""
        gold = [sentence.tags for sentence in examples]
        for name, tags in ((GOLD, gold), (PREDICTIONS, predictions)):
            blocks = (
                "".join(f"{word}\t{tag}\n" for word, tag in zip(sentence.words, given, strict=True))
                for sentence, given in zip(examples, tags, strict=True)
            )
            (folder / name).write_text("\n".join(blocks), encoding="utf-8")


def _read(file: DataFile) -> EntitySet:
    is_pubtator = any(is_pubtator_line(line) for _, line in file.filled_lines()[:1])
    return read_pubtator_sentences(file) if is_pubtator else read_iob(file)


def _types(sentences: Sequence[Sentence]) -> set[str]:
    return {tag.partition("-")[2] for sentence in sentences for tag in sentence.tags if tag != OUTSIDE}


def _piece_labels(
    own: int, count: int, settings: Settings, labels: Sequence[str], numbers: Mapping[str, int]
) -> list[int]:
    """The labels of a word's pieces: its own on the first; on the others I of its type, or none that has a loss."""
    if own == LOSS_IGNORES or settings.label_pieces == "first":
        return [own, *[LOSS_IGNORES] * (count - 1)]
    label = labels[own]
    return [own, *[numbers[f"I-{label[2:]}"] if label.startswith("B-") else own] * (count - 1)]


def _merged(
    files: Sequence[DataFile], sets: Sequence[tuple[Sentence, ...]], left_out: Counter[str]
) -> tuple[Sentence, ...]:
    """The sentences with the entities of all sets; of two that overlap the first set's is kept."""
    for file, other in zip(files[1:], sets[1:], strict=True):
        if [each.words for each in other] != [each.words for each in sets[0]]:
            raise ConfigurationError(
                f"{file.path}: expected the sentences of {files[0].path}, found others. The two sets must be of the same release."
            )
    return tuple(_with_entities(same, left_out) for same in zip(*sets, strict=True))


def _with_entities(same: Sequence[Sentence], left_out: Counter[str]) -> Sentence:
    tags = list(same[0].tags)
    for other in same[1:]:
        for span in other.spans():
            words = slice(span.first, span.last + 1)
            if any(tag != OUTSIDE for tag in tags[words]):
                left_out[OF_TWO_SETS] += 1
            else:
                tags[words] = other.tags[words]
    return replace(same[0], tags=tuple(tags))


def _special_pieces(tokenizer: "PreTrainedTokenizerFast") -> tuple[list[int], list[int]]:
    """What the tokenizer sets before and behind a text."""
    encoded = tokenizer(["a"], is_split_into_words=True, return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    inside = [place for place, is_special in enumerate(special) if not is_special]
    return ids[: inside[0]], ids[inside[-1] + 1 :]
