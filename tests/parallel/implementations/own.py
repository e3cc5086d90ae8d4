"""A third party's norm, product and optimizer."""

import torch
from torch import Tensor


def norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * (centred.pow(2).mean(-1, keepdim=True) + epsilon).rsqrt() * weight + bias


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = x @ weight.T
    return product if bias is None else product + bias


class LoopAdam(torch.optim.AdamW):
    """One parameter after the other."""

    def __init__(self, groups, *, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, lr=lr, betas=betas, eps=eps, foreach=False)


def obstacle(name: str, device: str) -> str:
    return "it is for nobody" if name == "refused" else ""


def refused() -> None:
    raise AssertionError("obstacle says no")
