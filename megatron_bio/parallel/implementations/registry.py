"""What computes norms, linear products and AdamW, by name: ours, an installed library's, or a function of your own.

A name is one of `BUILT_IN`, or `MODULE:NAME` of anything that can be imported. Each option has one signature:

    training.norm             (x [..., H], weight [H], bias [H], epsilon) -> like x
    training.linear           (x [..., in], weight [out, in], bias [out] or None) -> [..., out]
    optimizer.implementation  (groups, *, lr, betas, eps) -> torch.optim.Optimizer, AdamW

All tensors of a norm or a linear product have one dtype, that of the computation, and autograd goes through the function.
An optimizer finds `exp_avg`, `exp_avg_sq` and `step` in its state for each parameter before its first step, which it updates, and
takes `lr` and `weight_decay` from its groups at each step. Parameters are DTensors.

A module may have a function `obstacle(name, device)` that returns why NAME cannot run on a device (cpu or cuda), or "".
Nothing is imported that was not chosen. Tests: tests/parallel/implementations.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from megatron_bio.config.errors import ConfigurationError

_HERE = "megatron_bio.parallel.implementations"
BUILT_IN = MappingProxyType(
    {
        "training.norm": {
            "torch": f"{_HERE}.torch_native:norm",
            "apex": f"{_HERE}.apex:norm",
            "transformer_engine": f"{_HERE}.transformer_engine:norm",
        },
        "training.linear": {
            "torch": f"{_HERE}.torch_native:linear",
            "transformer_engine": f"{_HERE}.transformer_engine:linear",
        },
        "optimizer.implementation": {
            "foreach": f"{_HERE}.torch_native:foreach",
            "fused": f"{_HERE}.torch_native:fused",
            "apex": f"{_HERE}.apex:adam",
        },
    }
)
"""Option to name to where it is."""


def implementation(option: str, name: str, device: str) -> Callable[..., Any]:
    """Return what `option: name` runs on `device` (cpu or cuda); `ConfigurationError` with the remedy if it cannot."""
    where = BUILT_IN[option].get(name, name)
    module_name, _, attribute = where.partition(":")
    # A dot in front would be relative to a package that nobody named.
    if not module_name or module_name.startswith(".") or not attribute:
        raise _refused(option, name, "there is nothing of this name")
    with _refusing(option, name, f"{module_name} cannot be imported"):
        module = importlib.import_module(module_name)
        found = getattr(module, attribute, None)
    if not callable(found):
        raise _refused(option, name, f"{module_name} has no function {attribute}")
    with _refusing(option, name, f"{module_name} cannot say whether it runs here"):
        problem = getattr(module, "obstacle", _none)(attribute, device)
    if problem:
        raise _refused(option, name, problem)
    return found


def foreign_lines(chosen: dict[str, str]) -> Iterator[str]:
    """Say of each option, to its name, that is computed by something else than torch."""
    for option, name in chosen.items():
        if not BUILT_IN[option].get(name, "").startswith(f"{_HERE}.torch_native:"):
            yield f"{option} {name}: experimental, see docs/implementations.md"


@contextmanager
def _refusing(option: str, name: str, problem: str) -> Iterator[None]:
    """Turn whatever a module does into one error: it may raise anything, and a program ends the process that imports it."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _refused(option, name, f"{problem} ({type(error).__name__}: {error})") from error


def _none(name: str, device: str) -> str:
    return ""


def _refused(option: str, name: str, problem: str) -> ConfigurationError:
    others = ", ".join(other for other in BUILT_IN[option] if other != name)
    return ConfigurationError(
        f"{option} {name}: {problem}. Choose {others}, or MODULE:NAME of your own (docs/implementations.md); "
        f"megatron-bio doctor says which libraries are there."
    )
