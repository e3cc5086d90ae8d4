"""NVIDIA transformer-engine 2.9 or newer: its layer norm, and its FP8 matrix product. Not run on a GPU yet.

Modules of transformer-engine own their parameters. Ours stay where they are: a module without memory stands for each shape, and a
call lends it this rank's weights. So checkpoints, layouts, collectives and export do not know of it.

The product scales each tensor by its present maximum (per-tensor current scaling: E4M3 forward, E5M2 for gradients), which has no
state. Delayed scaling has one that is not a parameter, and would want one context around a whole step.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from megatron_bio.config.errors import ConfigurationError

MULTIPLE = 16
"""Of which FP8 products want the sizes of all three dims."""


def obstacle(name: str, device: str) -> str:
    """Return why `name` cannot run: package, version, device, or a GPU without FP8."""
    if device != "cuda":
        return f"transformer-engine runs on CUDA devices, and this run is on {device}"
    install = "pip install --no-build-isolation 'megatron-bio[te]', where nvcc and cuDNN are"
    try:
        import transformer_engine.pytorch as te
    except (ImportError, OSError) as error:
        return f"the package transformer-engine is not installed ({error}): {install}"
    if not hasattr(te, "autocast") or not hasattr(te, "is_fp8_available"):
        return f"the package transformer-engine is too old, 2.9 is needed: {install}"
    if name == "norm":
        return ""
    available, reason = te.is_fp8_available(return_reason=True)
    return "" if available else f"no FP8 on this device: {reason}"


@torch.compiler.disable  # torch.compile would look through the caches below and make modules in its graph
def norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Normalise the last dim of x [..., H]; weight and bias [H] have its dtype."""
    module = _norm(x.shape[-1], epsilon, x.dtype)
    return functional_call(module, {"weight": weight, "bias": bias}, (x,))


@torch.compiler.disable
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply in FP8: x [..., in], weight [out, in] -> [..., out] in the dtype of x; the bias is added in that."""
    import transformer_engine.pytorch as te

    rows = x.shape[:-1].numel()
    if any(size % MULTIPLE for size in (rows, *weight.shape)):
        raise ConfigurationError(
            f"training.linear transformer_engine: FP8 products take sizes that are multiples of {MULTIPLE}; found {rows} "
            f"positions (data.sequence_length times training.micro_batch_size) and a matrix of {weight.shape[0]} by "
            f"{weight.shape[1]} on each rank. Change the sizes or set training.linear to torch."
        )
    module = _linear(weight.shape[1], weight.shape[0], x.dtype)
    with te.autocast(enabled=True, recipe=_recipe()):
        product = functional_call(module, {"weight": weight}, (x,))
    return product if bias is None else product + bias


@functools.cache
def _recipe() -> Any:
    from transformer_engine.common.recipe import Float8CurrentScaling

    return Float8CurrentScaling()


@functools.cache
def _norm(hidden_size: int, epsilon: float, dtype: torch.dtype) -> torch.nn.Module:
    import transformer_engine.pytorch as te

    return te.LayerNorm(hidden_size, eps=epsilon, dtype=dtype, device="meta")


@functools.cache
def _linear(in_features: int, out_features: int, dtype: torch.dtype) -> torch.nn.Module:
    import transformer_engine.pytorch as te

    return te.Linear(in_features, out_features, bias=False, params_dtype=dtype, device="meta")
