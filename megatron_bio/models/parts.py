"""The parts of a model that one rank holds: all of it, or its stages of a pipeline."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from megatron_bio.config.model import ModelConfig
from megatron_bio.config.stages import Stage
from megatron_bio.models.build import build_model
from megatron_bio.models.recompute import Recompute
from megatron_bio.models.transformer import Transformer
from megatron_bio.parallel.layers import TensorParallel


class ModelParts(nn.Module):
    """Stages of one model; parameters have the names that they have in the whole model.

    A rank that holds both the first and the last stage of several has the word table twice, under one name; both are the same
    bits at all times, because they get the same gradient.
    """

    def __init__(self, parts: Sequence[Transformer]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        whole = parts[0]
        self.metric_names, self.num_losses = whole.metric_names, whole.num_losses
        self.weight_fields = whole.weight_fields

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each parameter with its name in the whole model."""
        for part in self.parts:
            yield from part.named_parameters(prefix, recurse, remove_duplicate)

    @property
    def blocks(self) -> list[nn.Module]:
        """The transformer blocks of all parts."""
        return [block for part in self.parts for block in part.layers.values()]

    @property
    def word_table(self) -> nn.Parameter | None:
        """The word table of the first stage, if it is here."""
        first = self.parts[0]
        return first.embeddings.word_embeddings.weight if first.stage.first else None

    @property
    def tied_copy(self) -> nn.Parameter | None:
        """The last stage's copy of the word table, if it is here and the model is cut."""
        return self.parts[-1].tied_copy

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return next(self.parameters()).device


def build_parts(
    config: ModelConfig, tensor_parallel: TensorParallel, stages: Sequence[Stage], recompute: Recompute
) -> ModelParts:
    """Build the given stages on the default device with values still to be set."""
    return ModelParts([build_model(config, tensor_parallel, stage, recompute) for stage in stages])
