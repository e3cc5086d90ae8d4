"""Counting what a step sends, where torch hands it to the process groups."""

from collections import Counter
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.utils._python_dispatch import TorchDispatchMode

from megatron_bio.config.training import OptimizerConfig
from megatron_bio.parallel.mesh import AXES
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import train_step
from tests.distributed.training_case import Case, build, mesh_of, microbatches

# c10d operator -> its name here, and which argument is as large as the whole tensor.
_OPERATORS = {
    "allreduce_": ("all_reduce", 0),
    "_allgather_base_": ("all_gather", 0),
    "_reduce_scatter_base_": ("reduce_scatter", 1),
    "send": ("send", 0),
}
_UNCOUNTED = {"recv_"}


class MessageCounter(TorchDispatchMode):
    """Adds up bytes by (axis, operation): of the whole tensor that is reduced, gathered, scattered or sent."""

    def __init__(self, mesh: DeviceMesh) -> None:
        super().__init__()
        self.bytes: Counter[tuple[str, str]] = Counter()
        self._axes = {mesh[axis].get_group().group_name: axis for axis in AXES}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.namespace == "c10d":
            name = function._schema.name.removeprefix("c10d::")
            if name not in _UNCOUNTED:
                operation, place = _OPERATORS[name]
                tensors = args[place] if isinstance(args[place], list) else [args[place]]
                boxed = next(arg for arg in args if isinstance(arg, torch.ScriptObject))
                axis = self._axes[dist.ProcessGroup.unbox(boxed).group_name]
                self.bytes[axis, operation] += sum(t.numel() * t.element_size() for t in tensors)
        return function(*args, **(kwargs or {}))


def messages_of_a_step(case: Case, dtype: torch.dtype) -> dict[tuple[str, str], int]:
    """Return the bytes of this rank's second step; the first makes connections."""
    mesh = mesh_of(case)
    passes = build(case, mesh, dtype)
    optimizer = build_optimizer(passes.model, OptimizerConfig())
    for step in range(2):
        batches = microbatches(case, mesh, step)
        with MessageCounter(mesh) as counter:
            train_step(passes, optimizer, batches, mesh, lr=1e-3, clip_grad=1.0)
    return dict(counter.bytes)
