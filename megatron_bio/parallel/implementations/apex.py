"""NVIDIA apex: its fused layer norm and its Adam, one kernel for many parameters. Not run on a GPU yet.

Signatures as in apex of July 2026: `apex.normalization.fused_layer_norm.fused_layer_norm_affine`, `apex.optimizers.FusedAdam`.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

_PARTS = {
    "norm": ("apex.normalization.fused_layer_norm", "fused_layer_norm_cuda"),
    "adam": ("apex.optimizers", "amp_C"),
}
"""Function to the module that it calls and the extension that this module needs."""


def obstacle(name: str, device: str) -> str:
    """Return why `name` cannot run; apex without its CUDA extensions can be imported and fails later."""
    if device != "cuda":
        return f"apex runs on CUDA devices, and this run is on {device}"
    for module in _PARTS[name]:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            return (
                f"the package apex with its CUDA extensions is not installed ({error}): build it from "
                f"github.com/NVIDIA/apex with nvcc, as its README says; the package index has another project under this name"
            )
    return ""


def norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Normalise the last dim of x [..., H]; weight and bias [H] have its dtype."""
    from apex.normalization.fused_layer_norm import fused_layer_norm_affine

    return fused_layer_norm_affine(x, weight, bias, [x.shape[-1]], epsilon)


def adam(
    groups: Sequence[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float
) -> torch.optim.Optimizer:
    """Return AdamW computed by FusedAdam."""
    return FusedAdamOnLocal(groups, lr=lr, betas=betas, eps=eps)


class FusedAdamOnLocal(torch.optim.Optimizer):
    """AdamW whose state is torch's, by parameter; at each step FusedAdam gets this rank's plain tensors of it.

    Its kernel takes addresses, which a DTensor has not, and it counts steps by group and not by parameter.
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float
    ) -> None:
        from apex.optimizers import FusedAdam

        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        copies = [{**group, "params": [_plain(p) for p in group["params"]]} for group in self.param_groups]
        self._fused = FusedAdam(copies, lr=lr, betas=betas, eps=eps, adam_w_mode=True)

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient, and their state."""
        self._fused.state.clear()
        for own, fused in zip(self.param_groups, self._fused.param_groups, strict=True):
            changed = [p for p in own["params"] if p.grad is not None]
            fused.update({name: own[name] for name in ("lr", "weight_decay")})
            fused["params"] = [self._lent(p) for p in changed]
            for p in changed:
                fused["step"] = int(self.state[p]["step"])
                self.state[p]["step"] += 1
        self._fused.step()
        self._fused.state.clear()  # else it would keep the gradients alive

    def _lent(self, parameter: Tensor) -> Tensor:
        """Return the plain tensor of a parameter, with gradient and moments: all share the memory of the real ones."""
        plain = _plain(parameter)
        plain.grad = _plain(parameter.grad).contiguous()
        state = self.state[parameter]
        self._fused.state[plain] = {name: _plain(state[name]) for name in ("exp_avg", "exp_avg_sq")}
        return plain


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
