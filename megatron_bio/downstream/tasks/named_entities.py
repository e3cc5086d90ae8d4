"""Named entities: every word has a label, every piece of a word is classified.

Settings: the BioMegatron paper (H.-C. Shin et al. 2020, caption of its Table 2): 128 pieces, lr 5e-5, 30 epochs, a head of one or
two layers of 512 or 1,024 with dropout 0.5. Batch, warm-up and decay, which it does not give, are those of NeMo's token
classification.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.readers.entity_forms import OUTSIDE, EntitySet, Sentence
from megatron_bio.downstream.readers.iob import read_iob
from megatron_bio.downstream.readers.pubtator import is_pubtator_line, read_pubtator_sentences
from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.scorers.named_entities import BOUNDARY, score_named_entities
from megatron_bio.downstream.tasks.collection import no_collection
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
from megatron_bio.downstream.tasks.windows import Window, windows
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
LONGER_THAN_A_ROW = "sentence with a word longer than a row, of which the first pieces are kept"


@dataclass(frozen=True, slots=True)
class RowWords:
    """Which words of a sentence a row decides on, and at which of its pieces."""

    sentence: int
    words: range
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
        else:
            _require_different(opened, [each.sentences for each in found])
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
                place = _place_of(set(unknown), parts[part].files)
                raise ConfigurationError(
                    f"{place}: expected entities of the types of the training data ({', '.join(sorted(learnt)) or 'none'}), found "
                    f"{', '.join(unknown)}, which no model could learn. Train on data that have them, or take them out."
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
        before, after = _special_pieces(tokenizer)
        room = settings.max_length - len(before) - len(after)
        if room < 1:
            raise ConfigurationError(
                f"--max_length: expected room for words beside special tokens, found {settings.max_length}."
            )
        maker = _RowMaker(
            before, after, _PieceLabels(labels, settings.label_pieces == "all") if training else None
        )
        types = "token_type_ids" in tokenizer.model_input_names
        features: list[Row] = []
        places: list[RowWords] = []
        shortened: Counter[str] = Counter()
        with no_collection():
            pieces.learn(sentence.words for sentence in examples)
            for index, sentence in enumerate(examples):
                of_words = pieces.pieces(sentence.words)
                lengths = list(map(len, of_words))
                if max(lengths, default=0) > room:
                    of_words = [each[:room] for each in of_words]
                    lengths = list(map(len, of_words))
                    shortened[LONGER_THAN_A_ROW] += 1
                for window in windows(lengths, room):
                    row, firsts = maker.row(of_words, lengths, sentence.tags, window)
                    if types:
                        row["token_type_ids"] = [0] * len(row["input_ids"])
                    features.append(row)
                    places.append(RowWords(index, range(window.own_first, window.own_end), firsts))
        return Encoded(features=features, places=tuple(places), shortened=shortened)

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
                "".join(
                    f"{'- X -' if word == BOUNDARY else word}\t{tag}\n"
                    for word, tag in zip(sentence.words, given, strict=True)
                )
                for sentence, given in zip(examples, tags, strict=True)
            )
            (folder / name).write_text("\n".join(blocks), encoding="utf-8")


def _written(word: str) -> str:
    """A word, but the one that would end a sentence with a space in it."""
    return "- X -" if word == BOUNDARY else word


def _read(file: DataFile) -> EntitySet:
    return read_pubtator_sentences(file) if _is_pubtator(file) else read_iob(file)


def _is_pubtator(file: DataFile) -> bool:
    return any(is_pubtator_line(line) for _, line in file.filled_lines()[:1])


def _place_of(types: Collection[str], files: Sequence[UsedFile]) -> str:
    """Where the first entity of these types is: file and line, of a PubTator file the document."""
    for used in files:
        file = DataFile(used.path)
        for sentence in _read(file).sentences:
            for number, tag in enumerate(sentence.tags):
                if tag.partition("-")[2] in types:
                    is_document = _is_pubtator(file)
                    place = (
                        f"document {sentence.document}" if is_document else f"line {sentence.place + number}"
                    )
                    return f"{file.path}: {place}"
    return ", ".join(str(used.path) for used in files)


def _types(sentences: Sequence[Sentence]) -> set[str]:
    return {tag.partition("-")[2] for sentence in sentences for tag in sentence.tags if tag != OUTSIDE}


class _PieceLabels(dict[tuple[str, int], tuple[int, ...]]):
    """Tag and number of pieces of a word to their labels: its own on the first; on the others I of its type, or none."""

    def __init__(self, labels: Sequence[str], every_piece: bool) -> None:
        super().__init__()
        self._numbers = {label: number for number, label in enumerate(labels)}
        self._every_piece = every_piece

    def __missing__(self, key: tuple[str, int]) -> tuple[int, ...]:
        tag, count = key
        own, rest = self._numbers[tag], LOSS_IGNORES
        if self._every_piece:
            rest = self._numbers[f"I-{tag[2:]}"] if tag.startswith("B-") else own
        self[key] = (own, *[rest] * (count - 1))
        return self[key]


@dataclass(frozen=True, slots=True)
class _RowMaker:
    before: list[int]
    after: list[int]
    labels: _PieceLabels | None
    """For training."""

    def row(
        self, of_words: Sequence[tuple[int, ...]], lengths: Sequence[int], tags: Sequence[str], window: Window
    ) -> tuple[Row, tuple[int, ...]]:
        """The row of a window, and where in it the words that it decides on begin."""
        inside = slice(window.first, window.end)
        own = slice(window.own_first, window.own_end)
        row: Row = {"input_ids": [*self.before, *chain.from_iterable(of_words[inside]), *self.after]}
        begins = list(accumulate(lengths[inside], initial=len(self.before)))
        firsts = tuple(begins[window.own_first - window.first : window.own_end - window.first])
        if self.labels is not None:
            left = firsts[0] if firsts else len(self.before)
            given = [LOSS_IGNORES] * left
            given += chain.from_iterable(
                map(self.labels.__getitem__, zip(tags[own], lengths[own], strict=True))
            )
            row["labels"] = given + [LOSS_IGNORES] * (len(row["input_ids"]) - len(given))
        return row, firsts


def _require_different(files: Sequence[DataFile], sets: Sequence[tuple[Sentence, ...]]) -> None:
    """Data sets are passed on in several schemes of tags, whose folders lie beside one another."""
    earlier: dict[tuple[str, ...], Path] = {}
    for file, sentences in zip(files, sets, strict=True):
        again = [earlier[sentence.words] for sentence in sentences if sentence.words in earlier]
        if 2 * len(again) > len(sentences):
            raise ConfigurationError(
                f"{file.path}: expected other sentences than those of {again[0]}, found {len(again):,} of its "
                f"{len(sentences):,} again. Keep one form of the data set, or name its folder, as entities:FOLDER."
            )
        earlier.update((sentence.words, file.path) for sentence in sentences)


def _merged(
    files: Sequence[DataFile], sets: Sequence[tuple[Sentence, ...]], left_out: Counter[str]
) -> tuple[Sentence, ...]:
    """The sentences with the entities of both sets; of two that overlap the first set's is kept."""
    if len(files) > 2:
        raise ConfigurationError(
            f"{files[2].path}: expected a file of each of two sets, found {len(files)}. Keep one form of the data sets."
        )
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
