"""Tables of sentences with two placeholders and a label: GAD's, EU-ADR's, or any other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.readers.relation_forms import AnonymisedPair
from megatron_bio.downstream.readers.relation_table import PLACEHOLDER, read_relation_table
from megatron_bio.downstream.scorers.choice import score_choices
from megatron_bio.downstream.scorers.counts import Counts, Scores
from megatron_bio.downstream.tasks.choice_files import write_labels
from megatron_bio.downstream.tasks.form import Encoded, Examples, Logits, PartName, Settings, Task
from megatron_bio.downstream.tasks.parts import opened, used, with_development
from megatron_bio.downstream.tasks.relations import Sentence, sentence_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NEGATIVE = ("false", "0")
"""The label of sentences without a relation, in any case of letters."""


class RelationTableTask(Task[AnonymisedPair, int, str]):
    """A table with tabs. A place is the number of the example, a prediction its label.

    Defaults are those of BioLinkBERT-base for GAD (M. Yasunaga et al., arXiv 2203.15827).
    """

    kind = "relations"
    head = "sequence"
    main_measure = ("positive", "f1")
    defaults = Settings(
        learning_rate=3e-5,
        epochs=10,
        batch_size=32,
        max_length=256,
        warmup_fraction=0.0,
        weight_decay=0.0,
        head_layers=1,
        head_size=None,
        head_dropout=0.1,
    )

    def __init__(self, name: str = "GAD") -> None:
        """`name` is that of the data set."""
        self.name = name
        self.benchmark = name

    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[AnonymisedPair]]:
        """Read the tables; labels that are not in the training part are damage.

        Without a development part a tenth of the training part is it, by the sha256 of the sentences.
        """
        parts: dict[PartName, Examples[AnonymisedPair]] = {}
        known: set[str] | None = None
        given = opened(files)
        for part in ("train", "development", "test"):
            if part not in given:
                continue
            tables = [read_relation_table(file, known) for file in given[part]]
            parts[part] = Examples(
                examples=tuple(pair for table in tables for pair in table.pairs),
                files=tuple(map(used, given[part])),
                left_out=sum((table.left_out for table in tables), Counter()),
            )
            if part == "train":
                known = {pair.label for pair in parts[part].examples}
                if not any(map(_is_negative, known)) or len(known) < 2:
                    raise ConfigurationError(
                        f"{given[part][0].path}: expected the label {' or '.join(NEGATIVE)} for sentences without a relation, "
                        f"and another one, found {', '.join(sorted(known))}."
                    )
        return with_development(parts, lambda pair: pair.text)

    def labels(self, parts: Mapping[PartName, Examples[AnonymisedPair]]) -> tuple[str, ...]:
        """Those of the training part, or of all if there is none; the negative one first."""
        chosen = [parts["train"]] if "train" in parts else list(parts.values())
        found = {pair.label for part in chosen for pair in part.examples}
        return tuple(sorted(found, key=lambda label: (not _is_negative(label), label)))

    def encode(
        self,
        examples: Sequence[AnonymisedPair],
        tokenizer: "PreTrainedTokenizerFast",
        settings: Settings,
        labels: Sequence[str],
        training: bool,
    ) -> Encoded[int]:
        """A row for each sentence. One whose placeholders do not fit into a row has none, in training too."""
        sentences = [_sentence(pair) for pair in examples]
        rows, shortened = sentence_rows(sentences, tokenizer, settings)
        made = [(number, row) for number, row in enumerate(rows) if row is not None]
        features = [
            row | {"labels": labels.index(examples[number].label)} if training else row
            for number, row in made
        ]
        return Encoded(features=features, places=tuple(number for number, _ in made), shortened=shortened)

    def predictions(
        self,
        examples: Sequence[AnonymisedPair],
        encoded: Encoded[int],
        outputs: Sequence[Logits],
        labels: Sequence[str],
    ) -> tuple[str, ...]:
        """The likeliest label, the negative one for a sentence without a row."""
        predicted = [labels[0]] * len(examples)
        for number, logits in zip(encoded.places, outputs, strict=True):
            predicted[number] = labels[int(logits.argmax())]
        return tuple(predicted)

    def score(self, examples: Sequence[AnonymisedPair], predictions: Sequence[str]) -> Scores:
        """`positive` has precision, recall and F1 of all labels but the negative one together; the rest is as for choices."""
        pairs = [(pair.label, label) for pair, label in zip(examples, predictions, strict=True)]
        positive = Counts(
            correct=sum(gold == label and not _is_negative(gold) for gold, label in pairs),
            predicted=sum(not _is_negative(label) for _, label in pairs),
            gold=sum(not _is_negative(gold) for gold, _ in pairs),
        )
        return {"positive": positive.row(), **score_choices(*_by_number(examples, predictions))}

    def write(self, examples: Sequence[AnonymisedPair], predictions: Sequence[str], folder: Path) -> None:
        """Write `gold.json` and `predictions.json` for `score --task choice`; ids are the examples' numbers from 1."""
        write_labels(*_by_number(examples, predictions), folder)


def _is_negative(label: str) -> bool:
    return label.casefold() in NEGATIVE


def _by_number(
    examples: Sequence[AnonymisedPair], predictions: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    gold = {str(number): pair.label for number, pair in enumerate(examples, start=1)}
    return gold, dict(zip(gold, predictions, strict=True))


def _sentence(pair: AnonymisedPair) -> Sentence:
    places = [match.span() for match in PLACEHOLDER.finditer(pair.text)]
    return Sentence(text=pair.text, start=places[0][0], end=places[-1][1])
