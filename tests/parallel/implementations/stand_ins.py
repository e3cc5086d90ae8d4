"""Modules with the names and signatures of apex and transformer-engine, which compute on the CPU and record their calls.

They are written from the signatures of apex (July 2026) and transformer-engine 2.20. What the libraries compute is simulated: FP8
by torch's float8 dtypes with a scale per tensor, Adam by its formula over plain tensors.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from megatron_bio.parallel.implementations import apex, transformer_engine


@dataclass
class Calls:
    """What the stand-ins were called with."""

    norms: list[tuple[int, ...]] = field(default_factory=list)
    """Shapes of the inputs of layer norms."""
    products: list[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    """Shapes of inputs and weights of linear products."""
    adam: list[dict[str, Any]] = field(default_factory=list)
    """Groups that Adam made a step of, without the tensors."""
    recipes: list[str] = field(default_factory=list)
    """Recipes of the contexts that were entered."""


@contextlib.contextmanager
def installed(fp8: bool = True, without: tuple[str, ...] = ()) -> Iterator[Calls]:
    """Put the stand-ins where an import finds them, and let the adapters take the CPU for a CUDA device.

    `fp8` false: products are exact. `without`: modules that are absent.
    """
    calls = Calls()
    modules: dict[str, ModuleType | None] = _apex(calls) | _transformer_engine(calls, fp8)
    modules |= dict.fromkeys(without, None)
    _forget()
    with contextlib.ExitStack() as stack:
        # By name: mock.patch.dict would also take away what is imported meanwhile, and a later case would get a second copy.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        for adapter in (apex, transformer_engine):
            stack.enter_context(mock.patch.object(adapter, "obstacle", _on_cuda(adapter.obstacle)))
        stack.callback(_forget)
        yield calls


def _on_cuda(obstacle: Callable[[str, str], str]) -> Callable[[str, str], str]:
    return lambda name, device: obstacle(name, "cuda")


def _forget() -> None:
    for made_once in (transformer_engine._norm, transformer_engine._linear, transformer_engine._recipe):
        made_once.cache_clear()


def _module(name: str, **content: Any) -> dict[str, ModuleType]:
    module = ModuleType(name)
    vars(module).update(content)
    return {name: module}


def _apex(calls: Calls) -> dict[str, ModuleType | None]:
    def fused_layer_norm_affine(
        input: Tensor, weight: Tensor, bias: Tensor, normalized_shape: list[int], eps: float = 1e-6,
        memory_efficient: bool = False,
    ) -> Tensor:  # fmt: skip
        _need_plain(input, weight, bias)
        assert tuple(weight.shape) == tuple(bias.shape) == tuple(normalized_shape)
        calls.norms.append(tuple(input.shape))
        return F.layer_norm(input, normalized_shape, weight, bias, eps)

    class FusedAdam(torch.optim.Optimizer):
        def __init__(
            self, params: Any, lr: float = 1e-3, bias_correction: bool = True,
            betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, adam_w_mode: bool = True,
            weight_decay: float = 0.0, amsgrad: bool = False, set_grad_none: bool = True,
            capturable: bool = False, master_weights: bool = False,
        ) -> None:  # fmt: skip
            assert adam_w_mode and bias_correction and not amsgrad and not capturable and not master_weights
            defaults = {"lr": lr, "bias_correction": bias_correction, "betas": betas, "eps": eps}
            super().__init__(params, defaults | {"weight_decay": weight_decay})

        def step(self, closure: None = None, grads: None = None, output_params: None = None, scale: None = None,
                 grad_norms: None = None, grad_scaler: None = None) -> None:  # fmt: skip
            for group in self.param_groups:
                if not group["params"]:
                    continue
                group["step"] = group.get("step", 0) + 1
                calls.adam.append({name: value for name, value in group.items() if name != "params"})
                for p in group["params"]:
                    if p.grad is not None:
                        self._update(p, group)

        def _update(self, p: Tensor, group: dict[str, Any]) -> None:
            state = self.state[p]
            if not state:
                state |= {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            first, second = state["exp_avg"], state["exp_avg_sq"]
            _need_plain(p, p.grad, first, second)
            assert p.dtype == first.dtype == second.dtype == torch.float32, "FusedAdam takes no float64"
            assert all(t.is_contiguous() for t in (p, p.grad, first, second)), "its kernel knows no strides"
            with torch.no_grad():
                b1, b2 = group["betas"]
                first.mul_(b1).add_(p.grad, alpha=1 - b1)
                second.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
                k = group["step"]
                update = (first / (1 - b1**k)) / ((second / (1 - b2**k)).sqrt() + group["eps"])
                p.sub_(update + group["weight_decay"] * p, alpha=group["lr"])

    return {
        **_module("apex"),
        **_module("apex.normalization"),
        **_module("apex.normalization.fused_layer_norm", fused_layer_norm_affine=fused_layer_norm_affine),
        **_module("apex.optimizers", FusedAdam=FusedAdam),
        **_module("amp_C"),
        **_module("fused_layer_norm_cuda"),
    }


def _transformer_engine(calls: Calls, fp8: bool) -> dict[str, ModuleType | None]:
    entered: list[str] = []

    class LayerNorm(nn.Module):
        def __init__(self, normalized_shape: int, eps: float = 1e-5, **kwargs: Any) -> None:
            super().__init__()
            assert kwargs.keys() <= {"device", "dtype", "zero_centered_gamma", "sm_margin"}
            self.eps = eps
            self.weight, self.bias = (nn.Parameter(torch.empty(normalized_shape, **kwargs)) for _ in range(2))

        def forward(self, input: Tensor) -> Tensor:
            assert self.weight.device.type != "meta" and input.dtype == self.weight.dtype
            _need_plain(input, self.weight, self.bias)
            calls.norms.append(tuple(input.shape))
            return F.layer_norm(input, self.weight.shape, self.weight, self.bias, self.eps)

    class Linear(nn.Module):
        def __init__(
            self, in_features: int, out_features: int, sequence_parallel: bool = False, bias: bool = True,
            params_dtype: torch.dtype | None = None, device: str = "cuda",
        ) -> None:  # fmt: skip
            super().__init__()
            assert not bias and not sequence_parallel
            shape = (out_features, in_features)
            self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=params_dtype))

        def forward(self, inp: Tensor, is_first_microbatch: bool | None = None) -> Tensor:
            assert self.weight.device.type != "meta" and inp.dtype == self.weight.dtype
            assert entered, "a product outside autocast is not FP8"
            assert is_first_microbatch is None, "a cached FP8 weight would be another layer's"
            rows = inp.shape[:-1].numel()
            assert not rows % 8 and not any(size % 16 for size in self.weight.shape)
            _need_plain(inp, self.weight)
            calls.products.append((tuple(inp.shape), tuple(self.weight.shape)))
            return _Fp8Product.apply(inp, self.weight) if fp8 else F.linear(inp, self.weight)

    @contextlib.contextmanager
    def autocast(
        enabled: bool = True, calibrating: bool = False, recipe: Any = None, amax_reduction_group: Any = None
    ) -> Iterator[None]:
        assert enabled and not calibrating
        entered.append(type(recipe).__name__)
        calls.recipes.append(entered[-1])
        try:
            yield
        finally:
            entered.pop()

    class Float8CurrentScaling:
        pass

    def is_fp8_available(return_reason: bool = False) -> bool | tuple[bool, str]:
        return (True, "") if return_reason else True

    pytorch = _module(
        "transformer_engine.pytorch",
        **{
            "LayerNorm": LayerNorm,
            "Linear": Linear,
            "autocast": autocast,
            "is_fp8_available": is_fp8_available,
        },
    )
    return {
        **_module("transformer_engine", pytorch=pytorch["transformer_engine.pytorch"]),
        **pytorch,
        **_module("transformer_engine.common"),
        **_module("transformer_engine.common.recipe", Float8CurrentScaling=Float8CurrentScaling),
    }


def _need_plain(*tensors: Tensor) -> None:
    assert not any(isinstance(tensor, DTensor) for tensor in tensors), "a kernel wants addresses"


def _rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    scale = torch.finfo(dtype).max / x.float().abs().max().clamp(min=1e-12)
    return (x.float() * scale).to(dtype).float() / scale


class _Fp8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        rounded = _rounded(x, torch.float8_e4m3fn), _rounded(weight, torch.float8_e4m3fn)
        ctx.save_for_backward(*rounded)
        return F.linear(*rounded).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        rounded = _rounded(gradient, torch.float8_e5m2)
        of_weight = rounded.flatten(0, -2).T @ x.flatten(0, -2)
        return (rounded @ weight).to(gradient.dtype), of_weight.to(gradient.dtype)
