"""Forward and backward over the microbatches of a step: one after another, or through a pipeline."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.models.parts import ModelParts
from megatron_bio.parallel.data_parallel import Zero, set_gradient_reduction
from megatron_bio.parallel.pipeline import Pipeline

Microbatch = dict[str, Tensor]


class Passes(Protocol):
    """How the parts of a model on this rank compute."""

    model: ModelParts

    def forward_backward(self, microbatches: Sequence[Microbatch], loss_weights: Tensor) -> Tensor:
        """Accumulate the gradients of the losses' sums times `loss_weights` [losses]; return the summed metrics [metrics].

        On ranks of a pipeline without the last stage the metrics are 0.
        """

    def forward(self, microbatches: Iterable[Microbatch]) -> Tensor:
        """Return the summed metrics [metrics] without gradients."""


class WholePasses:
    """The whole model on this rank: each microbatch forward and backward."""

    def __init__(self, model: ModelParts, zero: Zero) -> None:
        self.model, self._zero = model, zero
        (self._whole,) = model.parts

    def forward_backward(self, microbatches: Sequence[Microbatch], loss_weights: Tensor) -> Tensor:
        """See `Passes`."""
        totals = torch.zeros(len(self.model.metric_names), device=loss_weights.device)
        for index, batch in enumerate(microbatches):
            last = index == len(microbatches) - 1
            set_gradient_reduction(self._whole, zero=self._zero, last_microbatch=last)
            sums = self._whole(**batch)
            (sums[: self.model.num_losses] * loss_weights).sum().backward()
            totals += sums.detach()
        return totals

    def forward(self, microbatches: Iterable[Microbatch]) -> Tensor:
        """See `Passes`."""
        totals = torch.zeros(len(self.model.metric_names), device=self.model.device)
        for batch in microbatches:
            totals += self._whole(**batch)
        return totals


class PipelinePasses:
    """Stages of the model on this rank: microbatches flow through all ranks of the pp axis."""

    def __init__(self, model: ModelParts, layout: ParallelConfig, mesh: DeviceMesh, hidden: Tensor) -> None:
        """`hidden` [s, R, H] on the meta device is what one stage gives to the next."""
        self.model = model
        stages = [(part.stage, part) for part in model.parts]
        self._pipeline = Pipeline(stages, layout, mesh["pp"], hidden, len(model.metric_names), model.device)

    def forward_backward(self, microbatches: Sequence[Microbatch], loss_weights: Tensor) -> Tensor:
        """See `Passes`."""
        losses = self.model.num_losses
        return self._pipeline.forward_backward(
            microbatches, lambda sums: (sums[:losses] * loss_weights).sum()
        )

    def forward(self, microbatches: Iterable[Microbatch]) -> Tensor:
        """See `Passes`."""
        return self._pipeline.forward(microbatches)
