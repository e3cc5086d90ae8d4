"""One fine-tuning run: a model, rows of a task, settings and a seed in; outputs and a learning curve out."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.utils.data import Sampler
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments, set_seed

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.evaluate import EvaluateOptions
from megatron_bio.downstream.fine_tuning.classifier import Classifier
from megatron_bio.downstream.fine_tuning.collation import Collator, row_length
from megatron_bio.downstream.fine_tuning.outputs import SortedRows, outputs_of
from megatron_bio.downstream.fine_tuning.row_order import RowOrder
from megatron_bio.downstream.tasks.form import Logits, Row, Settings

_MEASURE = "measure"
_LABELS = ("labels", "start_positions", "end_positions")


@dataclass(frozen=True, kw_only=True)
class Development:
    """What a run is watched with after every epoch."""

    features: Sequence[Row]
    measure: Callable[[Sequence[Logits]], float]
    """Outputs of all rows to the task's main measure."""


class _Trainer(Trainer):
    """Trainer with our order of rows and our measure of development data."""

    def __init__(
        self, model: Classifier, order: Sampler[int], development: Development | None, **arguments: Any
    ) -> None:
        self._order, self._development = order, development
        self._kind = model.kind
        super().__init__(model=model, **arguments)

    def _get_train_sampler(self, *_: Any, **__: Any) -> Sampler[int]:
        return self._order

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the development data; transformers' own would want a label in every row."""
        assert self._development is not None
        metrics = {f"eval_{_MEASURE}": self._development.measure(self.outputs(self._development.features))}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def outputs(self, features: Sequence[Row]) -> list[Logits]:
        """The logits of every row, in its order, as long as the row."""
        rows = SortedRows(features)
        return outputs_of(self.predict(rows).predictions, rows, self._kind)  # type: ignore[arg-type] # any sequence does


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """A trained model that answers, and how it came to be."""

    model: Classifier
    trainer: _Trainer
    curve: tuple[dict[str, float], ...]
    """Per epoch: `epoch`, `loss` (mean training loss) and `measure` on development data where there are some."""
    seconds: float

    def outputs(self, features: Sequence[Row]) -> list[Logits]:
        """The logits of every row, in its order, as long as the row."""
        return self.trainer.outputs(features)

    def save(self, file: Path) -> None:
        """Write the weights, model and head, whole or not at all. Raises ConfigurationError where the disk refuses."""
        state = {name: value.contiguous().cpu() for name, value in self.model.state_dict().items()}
        temporary = file.with_name(f".{file.name}.tmp")
        with _writing_weights(file.parent):
            save_file(state, temporary)
            temporary.replace(file)


@contextmanager
def _writing_weights(folder: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise ConfigurationError(
            f"{folder}: weights cannot be written: {error}. Free space there."
        ) from error


def fine_tune(
    model: Classifier,
    features: Sequence[Row],
    rows: Sequence[int],
    settings: Settings,
    seed: int,
    options: EvaluateOptions,
    pad: int,
    development: Development | None,
) -> FineTuned:
    """Train `model` on rows of `features`. `rows` are their numbers, repeated for oversampling."""
    set_seed(seed)
    with tempfile.TemporaryDirectory(prefix="megatron-bio-") as folder:
        arguments = training_arguments(
            Path(folder), settings, seed, options, len(rows), development is not None
        )
        order = RowOrder(rows, [row_length(row) for row in features], settings.batch_size, seed)
        trainer = _Trainer(
            model,
            order,
            development,
            args=arguments,
            data_collator=Collator(pad),
            train_dataset=list(features),
            eval_dataset=development.features if development else None,
            callbacks=[EarlyStoppingCallback(options.early_stopping)]
            if options.early_stopping and development
            else [],
        )
        trainer.remove_callback(PrinterCallback)
        with _writing_weights(Path(folder)):
            trained = trainer.train()
    return FineTuned(
        model=model,
        trainer=trainer,
        curve=_curve(trainer.state.log_history),
        seconds=float(trained.metrics["train_runtime"]),
    )


def training_arguments(
    folder: Path, settings: Settings, seed: int, options: EvaluateOptions, rows: int, watched: bool
) -> TrainingArguments:
    """What transformers calls the settings. Batches and steps are those of one process, on any number of ranks."""
    ranks = world_size()
    per_rank, accumulated = batches(settings.batch_size, ranks, options.micro_batch_size)
    steps = -(-rows // settings.batch_size) * settings.epochs
    stopping = watched and options.early_stopping is not None
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=per_rank,
        per_device_eval_batch_size=max(per_rank, 8),
        gradient_accumulation_steps=accumulated,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        warmup_steps=round(steps * settings.warmup_fraction),
        weight_decay=settings.weight_decay,
        lr_scheduler_type="linear",
        optim="adamw_torch",
        seed=seed,
        bf16=options.precision == "bf16",
        fp16=options.precision == "fp16",
        fsdp=_fully_sharded(options, ranks) if options.fsdp else "",
        use_cpu=options.cpu or not torch.cuda.is_available(),
        eval_strategy="epoch" if watched else "no",
        save_strategy="epoch" if stopping else "no",
        save_total_limit=1 if stopping else None,
        save_only_model=stopping,
        load_best_model_at_end=stopping,
        metric_for_best_model=f"eval_{_MEASURE}" if stopping else None,
        greater_is_better=True if stopping else None,
        logging_strategy="epoch",
        log_level="error",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=list(_LABELS),
        dataloader_pin_memory=torch.cuda.is_available() and not options.cpu,
    )


def _fully_sharded(options: EvaluateOptions, ranks: int) -> Any:
    """What transformers wants to hear, by its version. accelerate would leave the sharding out elsewhere, and say nothing."""
    if ranks == 1 or options.cpu or not torch.cuda.is_available():
        found = "CPUs" if options.cpu or not torch.cuda.is_available() else "one CUDA device"
        raise ConfigurationError(
            f"--fsdp true: expected several ranks with a CUDA device each, started by torchrun; found {ranks} on {found}. "
            f"Leave it out there."
        )
    return True if int(transformers.__version__.split(".")[0]) >= 5 else "full_shard auto_wrap"


def batches(batch_size: int, ranks: int, micro_batch_size: int | None) -> tuple[int, int]:
    """Rows that a rank computes at once, and how many times a step.

    Raises ConfigurationError if ranks and micro batches do not fill the batch exactly.
    """
    at_once = micro_batch_size or batch_size // ranks
    if not at_once or batch_size % (at_once * ranks):
        raise ConfigurationError(
            f"--batch_sizes: expected a multiple of {ranks} ranks x {at_once or 1} rows (--micro_batch_size), found {batch_size}."
        )
    return at_once, batch_size // (at_once * ranks)


def world_size() -> int:
    """How many ranks torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _curve(history: Sequence[dict[str, Any]]) -> tuple[dict[str, float], ...]:
    epochs: dict[float, dict[str, float]] = {}
    for entry in history:
        names = {"loss": "loss", f"eval_{_MEASURE}": "measure"}
        found = {ours: float(entry[theirs]) for theirs, ours in names.items() if theirs in entry}
        if found:
            epochs.setdefault(round(float(entry["epoch"]), 6), {}).update(found)
    return tuple({"epoch": epoch, **values} for epoch, values in sorted(epochs.items()))
