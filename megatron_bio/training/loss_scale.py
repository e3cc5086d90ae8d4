"""Dynamic loss scaling for fp16 (Micikevicius et al., arXiv 1710.03740, section 3.2).

Gradients below 6e-8 vanish in float16. The losses are therefore multiplied by a scale before the backward and the float32
gradients divided by it afterwards. The scale is a power of 2, so both are exact: it changes nothing but what underflows and
what overflows. Weights, gradient reductions and optimizer state are float32.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from megatron_bio.config.training import OptimizerConfig

_FLOOR = 1.0
_CEILING = 2.0**64


@dataclass
class LossScale:
    """The scale of the next step, the same on every rank because it follows from the global gradient norm alone.

    An overflow (a norm that is not finite) skips the step. `hysteresis` of them since the scale was last doubled halve it, and each
    further one does too; after `window` steps in a row without one it is doubled, as in Megatron-LM. Not dynamic, it stays 1.
    """

    dynamic: bool
    value: float
    window: int
    hysteresis: int
    good_steps: int = 0
    """Steps without overflow since the last one or the last doubling."""
    overflows_left: int = 0
    """Overflows, the next included, until the scale is halved."""

    def update(self, made: bool) -> bool:
        """Take note of a step; return whether the scale explains that it was not made.

        It does not once the scale has come down to 1: then the gradients overflow by themselves.
        """
        if not self.dynamic:
            return False
        if made:
            self._grow()
            return False
        explained = self.value > _FLOOR
        self.good_steps = 0
        self.overflows_left = max(0, self.overflows_left - 1)
        if not self.overflows_left:
            self.value = max(_FLOOR, self.value / 2)
        return explained

    def _grow(self) -> None:
        self.good_steps += 1
        if self.good_steps == self.window:
            self.good_steps, self.overflows_left = 0, self.hysteresis
            self.value = min(_CEILING, self.value * 2)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "value": self.value,
            "good_steps": self.good_steps,
            "overflows_left": self.overflows_left,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.value = float(state["value"])
        self.good_steps, self.overflows_left = int(state["good_steps"]), int(state["overflows_left"])


def build_loss_scale(precision: str, config: OptimizerConfig) -> LossScale:
    """Return the scale that a run starts with: 1 for good unless the precision is fp16."""
    dynamic = precision == "fp16"
    return LossScale(
        dynamic=dynamic,
        value=config.initial_loss_scale if dynamic else 1.0,
        window=config.loss_scale_window,
        hysteresis=config.loss_scale_hysteresis,
        overflows_left=config.loss_scale_hysteresis,
    )


def unscale_gradients(model: nn.Module, scale: float) -> None:
    """Divide all gradients by the scale of the loss; what is not finite stays so."""
    if scale == 1.0:
        return
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if gradients:
        torch._foreach_mul_([g.to_local() if isinstance(g, DTensor) else g for g in gradients], 1.0 / scale)
