"""Options of the verb that turns a checkpoint of one format into one of another."""

from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.schema import FLAG

FORMATS = ("megatron_bio", "hugging_face", "megatron_lm", "megatron_core", "nemo")
WRITTEN_FORMATS = FORMATS[:-1]
_PRECISIONS = ("fp32", "bf16", "fp16")
_LAYOUT = MappingProxyType(
    {
        "tensor_parallel": "megatron_lm",
        "pipeline_parallel": "megatron_lm",
        "virtual_pipeline": "megatron_lm",
        "megatron_checkpoint_version": "megatron_lm",
        "vocabulary_multiple": "megatron_core",
    }
)
"""Options of how a format lays out its files, with the only format that has them."""


NewPositions = Literal["interpolate", "copy"]


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """A checkpoint in, a checkpoint of another format out."""

    checkpoint: Path
    """Checkpoint to convert: a run's folder, of which the newest checkpoint is taken, one of its checkpoints, or a folder
    or file of another format."""
    output: Path
    """Folder to write; what an earlier conversion wrote there is replaced once the new one is complete, anything else is
    refused."""
    to_format: Literal["megatron_bio", "hugging_face", "megatron_lm", "megatron_core"] | None = field(
        default=None, metadata={FLAG: "to"}
    )
    """Format to write; hugging_face for checkpoints of megatron_bio when not given."""
    from_format: Literal["megatron_bio", "hugging_face", "megatron_lm", "megatron_core", "nemo"] | None = (
        field(default=None, metadata={FLAG: "from"})
    )
    """Format of the checkpoint; recognised by its content when not given."""
    tokenizer: Path | None = None
    """Folder of the tokenizer that the model was trained with, or its vocab.txt; the one that came with the checkpoint or
    that the run named when not given."""
    check: bool = True
    """Compute both checkpoints on the same tokens, layer by layer, and write nothing if they differ."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the stored weights; bf16 and fp16 round them and halve the size. megatron_bio always stores fp32."""
    vocabulary_multiple: int = 128
    """megatron_core: the vocabulary is padded to a multiple of this, --make-vocab-size-divisible-by times the tensor-parallel
    size of the training that will load it."""
    approximate: bool = False
    """Write a model that the other format computes differently (bert with activation megatron) and print the
    difference, instead of refusing."""
    new_heads: bool = False
    """Give a bert that has no masked-LM head a new one, drawn as training would, instead of refusing."""
    num_attention_heads: int | None = None
    """Attention heads of a checkpoint that does not say how many it has: a file of Megatron-LM without its arguments."""
    activation: Literal["gelu", "gelu_tanh", "megatron"] | None = None
    """Activation of such a checkpoint, as model.activation: megatron for BERT of v1.1 and on, gelu for v1.0 or with
    --no-bias-gelu-fusion; gelu_tanh for GPT."""
    tensor_parallel: int = 1
    """megatron_lm: tensor-parallel ranks to write for."""
    pipeline_parallel: int = 1
    """megatron_lm: pipeline stages to write for."""
    virtual_pipeline: int = 1
    """megatron_lm: parts of the model that each pipeline stage holds (virtual stages)."""
    megatron_checkpoint_version: Literal[0, 1, 2, 3] = 3
    """megatron_lm: version of the format to write: 0 for v1.0, 1 and 2 for those up to v2.4, 3 for v2.5 and on."""
    new_tokenizer: Path | None = None
    """Tokenizer with more tokens, for further training: it begins with all tokens of the old one, and each new one starts as
    the mean of these."""
    max_position_embeddings: int | None = None
    """More positions than the model has, for further training on longer sequences; see --new_positions."""
    new_positions: NewPositions | None = None
    """Where more positions come from: all of them read between the old ones, or the old ones repeated behind each other."""
    license: str | None = None
    """Licence of the weights for the model card, as the hub spells it (apache-2.0, cc-by-nc-4.0 …); without it the card says
    that it is not given."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        for flag, value, known in (
            ("precision", self.precision, _PRECISIONS),
            ("to", self.to_format, (None, *WRITTEN_FORMATS)),
            ("from", self.from_format, (None, *FORMATS)),
        ):
            if value not in known:
                raise ConfigurationError(
                    f"--{flag}: expected one of {', '.join(filter(None, known))}; found {value!r}."
                )
        for name in {*_LAYOUT, "num_attention_heads"} - {"megatron_checkpoint_version"}:
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigurationError(f"--{name}: expected at least 1, found {value}.")
        self._refuse_layout_elsewhere()
        if self.new_positions is not None and self.max_position_embeddings is None:
            raise ConfigurationError("--new_positions: say how many with --max_position_embeddings N.")
        if self.approximate and not self.check:
            raise ConfigurationError(
                "--approximate prints how far the export is from the checkpoint, which only the check can tell; "
                "leave out --check false."
            )

    def _refuse_layout_elsewhere(self) -> None:
        """Refuse options of a layout for formats whose files do not depend on one."""
        for name, known in _LAYOUT.items():
            default = type(self).__dataclass_fields__[name].default
            if getattr(self, name) != default and self.to_format != known:
                raise ConfigurationError(
                    f"--{name} belongs to --to {known}; files of other formats are the same for every layout."
                )
