"""What a fine-tuning task is: data to rows for a model, a model's outputs to predictions, predictions to scores.

Nothing here needs torch or transformers: a task can be read, encoded and scored without them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from megatron_bio.downstream.scorers.counts import Scores

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PartName = Literal["train", "development", "test"]
HeadKind = Literal["tokens", "sequence", "spans", "choices"]
"""What a model's head gives: logits of labels for each piece, logits of labels for the row, logits for each piece of being first
and last of the answer, one logit for each option."""
Row = dict[str, Any]
"""`input_ids` (pieces; with the head "choices" a list for each option), `token_type_ids` if the tokenizer makes them, and for
training `labels` (tokens: one for each piece; sequence, choices: one) or `start_positions` and `end_positions` (spans). No
padding."""
Logits = NDArray[np.float32]

LOSS_IGNORES = -100
"""The label of a piece that has no loss, as torch's cross entropy understands it."""

Example = TypeVar("Example")
Place = TypeVar("Place")
Predicted = TypeVar("Predicted")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One fine-tuning run: all that decides its result, apart from seed, model and data."""

    learning_rate: float
    epochs: int
    batch_size: int
    max_length: int
    """Pieces in a row, special ones too."""
    warmup_fraction: float
    """Part of the steps in which the learning rate rises; it falls linearly to 0 after."""
    weight_decay: float
    head_layers: int
    """Linear layers of the head, the last of which gives the logits."""
    head_size: int | None
    """Width between them; None: that of the model."""
    head_dropout: float
    imbalance: Literal["none", "oversampling", "weighted", "dice"] = "none"
    label_pieces: Literal["all", "first"] = "all"
    """Named entities: whether every piece of a word has a loss, or its first one."""
    relation_form: Literal["marked", "anonymised"] = "anonymised"
    stride: int = 128
    """Questions: pieces of the text that neighbouring windows share."""
    first_task: str = ""
    """Task whose fine-tuned weights this one starts with; empty: none."""


@dataclass(frozen=True, kw_only=True)
class UsedFile:
    """A file of which examples were read."""

    path: Path
    sha256: str
    """Of the content, decompressed."""


@dataclass(frozen=True, kw_only=True)
class Examples(Generic[Example]):
    """One part of a task's data; what its form cannot hold is in `left_out`, by reason."""

    examples: tuple[Example, ...]
    files: tuple[UsedFile, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Encoded(Generic[Place]):
    """Examples as rows for a model."""

    features: list[Row]
    places: tuple[Place, ...]
    """Per row what `Task.predictions` needs to find its way back."""
    shortened: Mapping[str, int] = field(default_factory=dict)
    """How many examples lost a part of their text because it did not fit, by reason."""


class Task(ABC, Generic[Example, Place, Predicted]):
    """A benchmark."""

    name: str
    benchmark: str
    """As `data check` names it."""
    kind: str
    head: HeadKind
    main_measure: tuple[str, ...]
    """Path into the scores. The grid is decided by it: greater is better."""
    defaults: Settings

    @abstractmethod
    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[Example]]:
        """Read the parts that are there. Raises DamagedFileError and ConfigurationError with file and place."""

    @abstractmethod
    def labels(self, parts: Mapping[PartName, Examples[Example]]) -> tuple[str, ...]:
        """The labels of the heads "tokens" and "sequence" in the order of their numbers; the others have none."""

    @abstractmethod
    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: "PreTrainedTokenizerFast",
        settings: Settings,
        labels: Sequence[str],
        training: bool,
    ) -> Encoded[Place]:
        """Make rows. For training all have labels, and rows that teach nothing may be left out; otherwise no example is."""

    @abstractmethod
    def predictions(
        self,
        examples: Sequence[Example],
        encoded: Encoded[Place],
        outputs: Sequence[Logits],
        labels: Sequence[str],
    ) -> tuple[Predicted, ...]:
        """One for each example. `outputs` has an array for each row, as long as the row: tokens [pieces, labels],
        sequence [labels], spans [2, pieces], choices [options].
        """

    @abstractmethod
    def score(self, examples: Sequence[Example], predictions: Sequence[Predicted]) -> Scores:
        """The measures of the official program."""

    def tuned(self, examples: Sequence[Example], predictions: Sequence[Predicted]) -> Self:
        """The task with what it decides by development data, such as a threshold, decided by these."""
        return self

    @abstractmethod
    def write(self, examples: Sequence[Example], predictions: Sequence[Predicted], folder: Path) -> None:
        """Write gold data and predictions as files that `megatron-bio score` takes, with the same result."""


def measure_of(scores: Scores, path: Sequence[str]) -> float:
    """The number at a path into scores, such as ("overall", "f1")."""
    value: Any = scores
    for name in path:
        value = value[name]
    return float(value)
