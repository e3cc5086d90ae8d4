"""One pretraining run: its parts, the checks between them, and what a resumed run may change."""

from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig, stored_model_options
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.stages import all_stages
from megatron_bio.config.training import OptimizerConfig, TrainingConfig

CHANGEABLE_ON_RESUME = {
    "model": {"preset"},
    "data": {"prefixes", "tokenizer", "index_cache"},
    "optimizer": {"implementation"},
    "training": {
        "output",
        "micro_batch_size",
        "stop_at_step",
        "log_interval",
        "evaluation_interval",
        "evaluation_rows",
        "checkpoint_interval",
        "keep_checkpoints",
        "keep_every",
        "asynchronous_checkpoints",
        "watchdog",
        "device",
        "max_skipped_steps",
        "compile",
        "kernels",
        "attention",
        "norm",
        "deterministic",
        "profile_steps",
        "profile_all_ranks",
        "wandb_project",
        "peak_tflops",
    },
}
"""What does not change the mathematics of a run; the whole of `parallel` belongs to it. Paths of the data may move:
their content is compared by fingerprint."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Pretrain a model on token data with tensor, pipeline and data parallelism; start it with torchrun."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """Shape of the model."""
    data: DataConfig
    """Token data and how samples are made of it."""
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    """Layout over ranks."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and schedule."""
    training: TrainingConfig
    """Length, batch, precision, evaluation and output."""

    def __post_init__(self) -> None:
        """Check what concerns two parts at once."""
        self.optimizer.check_schedule(self.training.train_steps)
        tp, heads = self.parallel.tensor_parallel, self.model.num_attention_heads
        if heads % tp:
            raise ConfigurationError(
                f"parallel.tensor_parallel {tp} does not divide model.num_attention_heads {heads}; "
                f"each rank needs a whole number of heads. Choose a divisor of {heads}."
            )
        if self.model.ffn_size % tp:
            raise ConfigurationError(
                f"parallel.tensor_parallel {tp} does not divide the MLP's width {self.model.ffn_size} "
                f"(model.ffn_hidden_size); choose a width that it divides."
            )
        length = self.data.sequence_length
        if length > self.model.max_position_embeddings:
            raise ConfigurationError(
                f"data.sequence_length {length} is longer than model.max_position_embeddings "
                f"{self.model.max_position_embeddings}; lower the first or raise the second."
            )
        if not self.model.order_head and self.data.sentence_order != "none":
            raise ConfigurationError(
                f"model.order_head is false, so nothing learns the order of sentences, but data.sentence_order is "
                f"{self.data.sentence_order}; set data.sentence_order to none or leave model.order_head true."
            )
        if self.parallel.sequence_parallel and length % tp:
            raise ConfigurationError(
                f"parallel.sequence_parallel splits data.sequence_length {length} over parallel.tensor_parallel {tp} "
                f"ranks, which does not divide it; choose a length that it divides or set "
                f"parallel.sequence_parallel to false."
            )
        if self.parallel.splits_backward and "transformer_engine" in (
            self.training.norm,
            self.training.linear,
        ):
            raise ConfigurationError(
                f"parallel.pipeline_schedule {self.parallel.pipeline_schedule} runs the backward of inputs and of weights apart, "
                f"and transformer_engine (training.norm, training.linear) frees what it kept after the first. Choose 1f1b or "
                f"interleaved, or torch."
            )
        all_stages(self.model.num_layers, self.parallel)

    def with_vocab_size(self, vocab_size: int) -> "PretrainConfig":
        """Return the configuration with the tokenizer's size in `model.vocab_size`; another size given is an error."""
        if self.model.vocab_size not in (None, vocab_size):
            raise ConfigurationError(
                f"model.vocab_size is {self.model.vocab_size}, but the tokenizer {self.data.tokenizer} has {vocab_size} "
                f"tokens; leave model.vocab_size out to take the tokenizer's."
            )
        return replace(self, model=replace(self.model, vocab_size=vocab_size))


def differences_on_resume(stored: dict[str, Any], config: PretrainConfig) -> list[str]:
    """Return what `config` changes of a checkpoint's configuration although it may not, one line each."""
    lines = []
    now, defaults = asdict(config), _defaults(config)
    for part, free in CHANGEABLE_ON_RESUME.items():
        before = stored.get(part)
        if not isinstance(before, dict):
            lines.append(f"{part}: the checkpoint's configuration lacks it")
            continue
        if part == "model":
            before = stored_model_options(before)
        # An option that the checkpoint does not know came later; its default is what the run did until then.
        before = defaults[part] | before
        for name in sorted((set(now[part]) | set(before)) - free):
            old, new = before.get(name), now[part].get(name)
            old, new = (list(v) if isinstance(v, tuple) else v for v in (old, new))
            if old != new:
                lines.append(f"{part}.{name}: the checkpoint has {old}, the command gives {new}")
    return lines


def _defaults(config: PretrainConfig) -> dict[str, dict[str, Any]]:
    """Return what a run did that did not know an option: the plain defaults, by part, but for packing, which is newer."""
    defaults = {
        part.name: {
            option.name: option.default
            for option in fields(getattr(config, part.name))
            if option.default is not MISSING
        }
        for part in fields(config)
    }
    if config.model.architecture == "bert":
        defaults["data"]["packing"] = False
    return defaults
