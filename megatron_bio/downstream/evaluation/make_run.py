"""Makes one run with torch: rows, model, training, predictions, scores, files."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoTokenizer, PreTrainedTokenizerFast, set_seed

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.evaluate import EvaluateOptions
from megatron_bio.downstream.evaluation.provenance import provenance
from megatron_bio.downstream.evaluation.store import RESULT, WEIGHTS, finished
from megatron_bio.downstream.evaluation.task_run import DEVELOPMENT, Job
from megatron_bio.downstream.fine_tuning.classifier import Classifier, load_backbone
from megatron_bio.downstream.fine_tuning.limits import require_rows_fit
from megatron_bio.downstream.fine_tuning.losses import (
    Loss,
    balanced_weights,
    cross_entropy,
    dice_loss,
    weighted_cross_entropy,
)
from megatron_bio.downstream.fine_tuning.row_order import label_counts, oversampled
from megatron_bio.downstream.fine_tuning.run import Development, FineTuned, fine_tune
from megatron_bio.downstream.tasks.form import Encoded, Logits, PartName, Row, Settings, Task, measure_of
from megatron_bio.downstream.whole_file import write_json

_OUTPUTS = {"spans": 2, "choices": 1}
_OUTSIDE = ("O", "false", "0")
"""Labels of what is none of what is sought, for oversampling."""


@dataclass
class RunMaker:
    """A model, its tokenizer and the rows that were made with it."""

    model: Path
    tokenizer: PreTrainedTokenizerFast
    options: EvaluateOptions
    is_main: bool
    """Whether this process writes; of several ranks the first does."""
    _rows: dict[tuple[Any, ...], Encoded[Any]] = field(default_factory=dict)

    def __call__(self, job: Job) -> dict[str, Any]:
        """Make the run, write its files and last its result.json, and give that."""
        task, parts = job.data.task, job.data.parts
        labels = task.labels(parts)
        examples = [example for part in job.trained_on for example in parts[part].examples]
        encoded = task.encode(examples, self.tokenizer, job.settings, labels, training=True)
        if not encoded.features:
            raise ConfigurationError(
                f"{task.name}: expected rows to train on, found none in {len(examples):,} examples."
            )
        set_seed(job.seed)
        classifier = self._classifier(job, labels, encoded.features)
        for rows in (encoded, *(self._encoded(job, part, labels) for part in job.scored)):
            require_rows_fit(classifier.backbone, rows.features)
        tuned = fine_tune(
            classifier,
            encoded.features,
            self._order(job, labels, encoded.features),
            job.settings,
            job.seed,
            self.options,
            self.tokenizer.pad_token_id or 0,
            self._development(job, labels),
        )
        content: dict[str, Any] = {"seed": job.seed, "parts": self._scored(job, labels, tuned)}
        content |= {
            "curve": list(tuned.curve),
            "seconds": tuned.seconds,
            "peak_memory_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
            "rows": len(encoded.features),
            "shortened": dict(encoded.shortened),
            "folder": f"{job.folder.parent.name}/{job.folder.name}",
            "made": provenance(self.options.cpu),
        }
        if self.is_main:
            if self.options.keep_models:
                tuned.save(job.folder / WEIGHTS)
            write_json(job.folder / RESULT, content)
        # The grid's best run is asked for again: a rank that came first would find it unfinished and train alone.
        _wait_for_all()
        return content

    def _scored(self, job: Job, labels: Sequence[str], tuned: FineTuned) -> dict[str, Any]:
        """Predict, write and score each part. What a task decides by development data holds for the test part alone: on the data
        that decided it, it would be better than it is, and not be what the learning curve and early stopping have.
        """
        task = job.data.task
        result: dict[str, Any] = {}
        for part in sorted(job.scored, key=lambda part: part != DEVELOPMENT):
            examples = job.data.parts[part].examples
            encoded = self._encoded(job, part, labels)
            predictions = task.predictions(examples, encoded, tuned.outputs(encoded.features), labels)
            scores = task.score(examples, predictions)
            if self.is_main:
                folder = job.folder / part
                folder.mkdir(parents=True, exist_ok=True)
                task.write(examples, predictions, folder)
            result[part] = {"scores": scores, "shortened": dict(encoded.shortened)}
            if part == DEVELOPMENT:
                task = task.tuned(examples, predictions)
        return result

    def _encoded(self, job: Job, part: PartName, labels: Sequence[str]) -> Encoded[Any]:
        settings = job.settings
        key = (job.data.task.name, part, settings.max_length, settings.stride, settings.relation_form)
        if key not in self._rows:
            self._rows[key] = job.data.task.encode(
                job.data.parts[part].examples, self.tokenizer, settings, labels, training=False
            )
        return self._rows[key]

    def _development(self, job: Job, labels: Sequence[str]) -> Development | None:
        if DEVELOPMENT not in job.scored:
            return None
        task, examples = job.data.task, job.data.parts["development"].examples
        encoded = self._encoded(job, "development", labels)

        def measure(outputs: Sequence[Logits]) -> float:
            return measure_of(
                task.score(examples, task.predictions(examples, encoded, outputs, labels)), task.main_measure
            )

        return Development(features=encoded.features, measure=measure)

    def _classifier(self, job: Job, labels: Sequence[str], features: Sequence[Row]) -> Classifier:
        task = job.data.task
        backbone = load_backbone(str(self.model), self.options.random_weights)
        outputs = _OUTPUTS.get(task.head) or len(labels)
        classifier = Classifier(
            backbone, task.head, outputs, job.settings, _loss(job.settings, task, features, outputs)
        )
        if job.first is not None:
            self._start_from(classifier, job.first)
        return classifier

    def _start_from(self, classifier: Classifier, first: Job) -> None:
        """Take the weights of an earlier task's run, which is made if it is not there; a head of other shape stays new."""
        file = first.folder / WEIGHTS
        if finished(first.folder) is None or not file.is_file():
            replace(self, options=replace(self.options, keep_models=True))(first)
        _wait_for_all()
        state = load_file(file)
        own = classifier.state_dict()
        fitting = {
            name: value for name, value in state.items() if name in own and own[name].shape == value.shape
        }
        classifier.load_state_dict(fitting, strict=False)

    def _order(self, job: Job, labels: Sequence[str], features: Sequence[Row]) -> list[int]:
        if job.settings.imbalance != "oversampling":
            return list(range(len(features)))
        outside = next((number for number, label in enumerate(labels) if label in _OUTSIDE), -1)
        return oversampled(features, job.data.task.head, outside)


def _loss(settings: Settings, task: Task[Any, Any, Any], features: Sequence[Row], outputs: int) -> Loss:
    if settings.imbalance in ("none", "oversampling"):
        return cross_entropy
    if task.head not in ("tokens", "sequence"):
        raise ConfigurationError(
            f"--imbalance {settings.imbalance}: is for named entities, relations and classes; {task.name} has no labels to weigh."
        )
    return (
        dice_loss
        if settings.imbalance == "dice"
        else weighted_cross_entropy(balanced_weights(label_counts(features), outputs))
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a model, which knows where its pieces are. Raises ConfigurationError for another one."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{folder}: expected a tokenizer that transformers loads, found: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ConfigurationError(
            f"{folder}: expected a fast tokenizer (tokenizer.json), which knows the places of its pieces in the text; found "
            f"{type(tokenizer).__name__}. Save it again with a fast class."
        )
    step = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(step, ByteLevel) and not step.add_prefix_space:
        # Transformers 5 does not pass the argument on to a tokenizer that was saved without a class of its own.
        step.add_prefix_space = True
        tokenizer.backend_tokenizer.pre_tokenizer = step
    return tokenizer


def _wait_for_all() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
