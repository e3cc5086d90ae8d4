"""Any module computed with the parameters of one submodule in memory: they come before its forward and go after it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor


@contextmanager
def streamed_parameters(
    model: nn.Module, read: Callable[[str], Tensor], resident: Collection[str] = ()
) -> Iterator[None]:
    """Within it, `model`, whose parameters are on the meta device, computes with what `read` returns for their names.

    A parameter that is tied is read under its first name, each time. Those named in `resident` stay in memory all the time,
    because another module than their own uses them.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    with ExitStack() as stack:
        for module in model.modules():
            own = {
                key: (names[empty], empty) for key, empty in module._parameters.items() if empty is not None
            }
            kept = {key: value for key, value in own.items() if value[0] in resident}
            passing = {key: value for key, value in own.items() if key not in kept}
            if kept:
                _put(module, kept, read)
                stack.callback(_take, module, kept)
            if passing:
                before, after = _hooks(passing, read)
                stack.callback(module.register_forward_pre_hook(before).remove)
                stack.callback(module.register_forward_hook(after).remove)
        yield


_Own = Mapping[str, tuple[str, nn.Parameter]]


def _hooks(own: _Own, read: Callable[[str], Tensor]) -> tuple[Callable[..., None], Callable[..., None]]:
    def before(module: nn.Module, _: Any) -> None:
        _put(module, own, read)

    def after(module: nn.Module, _: Any, __: Any) -> None:
        _take(module, own)

    return before, after


def _put(module: nn.Module, own: _Own, read: Callable[[str], Tensor]) -> None:
    for key, (name, empty) in own.items():
        value = read(name)
        assert value.shape == empty.shape, f"{name}: {list(value.shape)} instead of {list(empty.shape)}"
        if isinstance(empty, DTensor):
            value = DTensor.from_local(value, empty.device_mesh, empty.placements, run_check=False)
        module._parameters[key] = nn.Parameter(value, requires_grad=False)


def _take(module: nn.Module, own: _Own) -> None:
    for key, (_, empty) in own.items():
        module._parameters[key] = empty


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Within it, modules are built with parameters that take no memory, and with real buffers.

    `torch.device("meta")` would leave the buffers without values, which no checkpoint has.
    """
    register = nn.Module.register_parameter

    def register_without_values(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None:
            module._parameters[name] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)

    nn.Module.register_parameter = register_without_values  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


@contextmanager
def captured_outputs(
    model: nn.Module, places: Mapping[str, str], arrange: Callable[[Tensor], Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Yield a mapping that gets the output of the submodules at `places`, `arrange`d, under the places' keys."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            found[name] = arrange(hidden).detach().clone()

        return hook

    with ExitStack() as stack:
        for name, place in places.items():
            handle = model.get_submodule(place).register_forward_hook(keep(name))
            stack.callback(handle.remove)
        yield found
