"""Logits of the checkpoint's model and of the exported folder in transformers, on the same rows.

Shapes: R rows, S sequence, V tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.models.bert import Bert
from megatron_bio.models.gpt import Gpt

TOLERANCE = 1e-5
"""Largest difference allowed between two logits, as a part of the largest |logit|; float32 rounds to 6e-8."""

_ROWS = 3
_LENGTH = 128


@dataclass(frozen=True)
class Difference:
    """How far two sets of logits are from each other."""

    absolute: float
    """Largest |a - b|."""
    largest_logit: float
    """Largest |a|."""

    @property
    def relative(self) -> float:
        """The first as a part of the second."""
        return self.absolute / self.largest_logit

    @property
    def is_allowed(self) -> bool:
        """Whether it is within `TOLERANCE`; NaN is not."""
        return self.absolute <= TOLERANCE * self.largest_logit

    def __str__(self) -> str:
        return (
            f"largest difference {self.absolute:.2e} at largest |logit| {self.largest_logit:.3g} "
            f"(relative {self.relative:.1e})"
        )


@dataclass(frozen=True)
class Probe:
    """Rows of random tokens of the vocabulary, the later ones shorter, padded to one length."""

    tokens: Tensor
    """int64 [R, S]."""
    segment_ids: Tensor
    """int64 [R, S]: 1 on tokens, 0 on padding."""
    tokentype_ids: Tensor
    """int64 [R, S]: 0, then 1 from half of the row on."""


def make_probe(config: ModelConfig) -> Probe:
    """Draw the rows; the same for the same sizes."""
    assert config.vocab_size is not None, "a checkpoint's configuration has the size of its vocabulary"
    length = min(_LENGTH, config.max_position_embeddings)
    generator = torch.Generator().manual_seed(1234)
    tokens = torch.randint(config.vocab_size, (_ROWS, length), generator=generator)
    column = torch.arange(length).expand(_ROWS, length)
    lengths = torch.tensor([max(1, length // (row + 1)) for row in range(_ROWS)])[:, None]
    return Probe(
        tokens=tokens, segment_ids=(column < lengths).long(), tokentype_ids=(column >= lengths // 2).long()
    )


@torch.no_grad()
def our_logits(model: Bert | Gpt, probe: Probe) -> Tensor:
    """Return the model's logits on the tokens of the probe, all outputs in one vector."""
    positions = torch.arange(probe.tokens.shape[1]).expand_as(probe.tokens)
    real = probe.segment_ids.bool()
    if isinstance(model, Bert):
        tokens, order = model.logits(probe.tokens, probe.segment_ids, positions, probe.tokentype_ids)
        return torch.cat((tokens[real][:, : model.vocab_size].flatten(), order.flatten()))
    return model.logits(probe.tokens, probe.segment_ids, positions)[real][:, : model.vocab_size].flatten()


@torch.no_grad()
def foreign_logits(
    transformers: ModuleType, folder: Path, config: ModelConfig, probe: Probe, dtype: torch.dtype
) -> Tensor:
    """Load the folder with transformers, compute in `dtype` and return the logits in the order of `our_logits`.

    Raises `ConvertError` if the file and the model of transformers do not have the same tensors.
    """
    bert = config.architecture == "bert"
    model_class = transformers.MegatronBertForPreTraining if bert else transformers.GPT2LMHeadModel
    with quiet(transformers):
        model, loaded = model_class.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, local_files_only=True
        )
    wrong = {kind: sorted(map(str, found)) for kind, found in loaded.items() if found}
    if wrong:
        raise ConvertError(
            f"transformers {transformers.__version__} does not fit the exported tensors: {wrong}."
        )
    model.eval()
    real = probe.segment_ids.bool()
    if bert:
        output = model(probe.tokens, attention_mask=real.long(), token_type_ids=probe.tokentype_ids)
        return torch.cat((output.prediction_logits[real].flatten(), output.seq_relationship_logits.flatten()))
    return model(probe.tokens, attention_mask=real.long()).logits[real].flatten()


def compare(ours: Tensor, theirs: Tensor) -> Difference:
    """Compare two vectors of logits."""
    return Difference((ours - theirs).abs().max().item(), ours.abs().max().item())


@contextmanager
def quiet(transformers: ModuleType) -> Iterator[None]:
    """Hide the progress bar and report of loading; what they say is checked."""
    logging = transformers.utils.logging
    verbosity, progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()
