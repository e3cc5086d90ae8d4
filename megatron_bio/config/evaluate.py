"""Options of `evaluate`, which fine-tunes a model on benchmarks and scores it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

Imbalance = Literal["none", "oversampling", "weighted", "dice"]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """A model and benchmarks in; fine-tuned, scored, with the protocol written down."""

    tasks: list[str]
    """Names of benchmarks (BC5CDR-chem, NCBI-disease, ChemProt, SQuAD2.0…; a wrong one gets the list), all: those whose data are
    there, or KIND:FOLDER for data of your own, such as entities:my-annotations."""
    data_dir: Path
    """Folder with the data, as `megatron-bio data check` reads it."""
    output: Path
    """Folder for results.json, predictions and learning curves. The same command goes on there after an interruption."""
    model: str | None = None
    """Folder of a Hugging Face model or its name, or a run or checkpoint of ours, which is converted first."""
    run: Path | None = None
    """Folder of a run, instead of --model: every checkpoint kept in it is evaluated."""
    name: str | None = None
    """What the tables call the model; the name of its folder when not given."""
    tokenizer: str | None = None
    """Folder or name of the tokenizer; the model's own when not given."""
    random_weights: bool = False
    """Take the model's shape and tokenizer, but not what it has learnt, for comparison."""

    seeds: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])
    """Seeds of the head, dropout and order of rows; results are mean and deviation over them."""
    learning_rates: list[float] = field(default_factory=list)
    """Highest learning rates to try; the task's own when not given. Of several, development data decide, with the first seed."""
    epochs: list[int] = field(default_factory=list)
    """Numbers of epochs to try; the task's own when not given."""
    batch_sizes: list[int] = field(default_factory=list)
    """Rows per step, over all ranks, to try; the task's own when not given."""
    train_on: Literal["train", "train+development"] = "train"
    """Data of the runs with all seeds; the grid is always decided by training on train and scoring development."""
    early_stopping: int | None = None
    """End after so many epochs without a better development score, and take the best epoch's weights; all epochs when not given."""

    max_length: int | None = None
    """Pieces per row; the task's own when not given."""
    warmup_fraction: float | None = None
    """Part of the steps in which the learning rate rises."""
    weight_decay: float | None = None
    """AdamW's weight decay; none on biases and layer norms."""
    head_layers: int | None = None
    """Linear layers of the head."""
    head_size: int | None = None
    """Width between the layers of the head."""
    head_dropout: float | None = None
    """Dropout before each layer of the head."""
    stride: int | None = None
    """Questions: pieces of text that neighbouring windows share."""
    label_pieces: Literal["all", "first"] | None = None
    """Named entities: every piece of a word has a label, or its first alone."""
    relation_form: Literal["marked", "anonymised"] | None = None
    """Relations: marks around the two mentions, or placeholders for them."""
    imbalance: Imbalance | None = None
    """What is done about rare labels (entities, relations, classes): nothing, repeating rows, weights of labels in the loss, or
    Dice loss."""
    first_task: str | None = None
    """Task to fine-tune on before, such as SQuAD1.1 for BioASQ's; none is direct fine-tuning. It has its own settings, but for
    --max_length, --stride and those of the head where they are given."""

    micro_batch_size: int | None = None
    """Rows that a rank computes at once; the batch divided by the ranks when not given. Less memory, the same batches."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the computation; weights and optimizer stay float32."""
    fsdp: bool = False
    """Share weights, gradients and optimizer state among the ranks (CUDA, torchrun), for models that fit on none. Not with
    --keep_models and --first_task, which would need the whole weights."""
    cpu: bool = False
    """Compute on the CPU although there is a GPU."""
    keep_models: bool = False
    """Keep the fine-tuned weights of every seed."""
    corpus: Path | None = None
    """Corpus that the model was pretrained on (folder of `corpus build`): what it shares with the test sets is reported."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run, before any file is opened."""
        if (self.model is None) == (self.run is None):
            raise ConfigurationError(
                "--model or --run: expected one of them, found " + ("both." if self.model else "none.")
            )
        if not self.tasks:
            raise ConfigurationError("--tasks: expected names of benchmarks or all, found none.")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ConfigurationError(
                f"--seeds: expected different whole numbers from 0 on, found {self.seeds}."
            )
        for name, least in _LEAST.items():
            values = getattr(self, name)
            for value in values if isinstance(values, list) else [values]:
                if value is not None and not value >= least:
                    raise ConfigurationError(f"--{name}: expected {least} or more, found {value}.")
        for name in ("warmup_fraction", "head_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigurationError(f"--{name}: expected a number from 0 to below 1, found {value}.")
        if self.fsdp and (self.keep_models or self.first_task):
            raise ConfigurationError(
                "--fsdp true: not together with --keep_models and --first_task, which need the whole weights on a rank."
            )
        if self.early_stopping is not None and self.train_on != "train":
            raise ConfigurationError(
                "--early_stopping: needs development data that are not trained on; leave it out with --train_on train+development."
            )


_LEAST: dict[str, float] = {
    "learning_rates": 1e-12,
    "epochs": 1,
    "batch_sizes": 1,
    "early_stopping": 1,
    "max_length": 8,
    "weight_decay": 0,
    "head_layers": 1,
    "head_size": 1,
    "stride": 0,
    "micro_batch_size": 1,
}
