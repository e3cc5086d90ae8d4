"""Adam's moments in Megatron-LM's optimizer state, which knows parameters by number only.

A rank's optimizer has two groups, of the parameters with weight decay and of those without (biases and everything with one
dimension), each in the order in which the modules register them: the numbers run through the first and then the second. Half
precision has float32 copies of the parameters in the same order. Source: Megatron-LM, optimizer/__init__.py
(`get_param_groups`) and optimizer.py (`FP32Optimizer`, `Float16OptimizerWithFloat16Params`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from megatron_bio.convert.megatron_lm.names import SECOND_EMBEDDING
from megatron_bio.convert.sources import TensorSource
from megatron_bio.convert.torch_file.stream import Later
from megatron_bio.convert.torch_file.tensors import LazyTensor

KINDS = ("exp_avg", "exp_avg_sq")
MASTER = "fp32_from_fp16_params"


@dataclass(frozen=True)
class ShardState:
    """What the optimizer of one shard holds for each parameter, by (chunk of the shard, name)."""

    moments: Mapping[str, Mapping[tuple[int, str], LazyTensor]]
    """By kind; empty if the format has none that we read."""
    master: Mapping[tuple[int, str], LazyTensor]
    """float32 copies of half-precision weights."""
    note: str | None = None
    """Why there are no moments, for people."""


NOTHING = ShardState({}, {})
_Groups = tuple[list[tuple[int, str]], list[tuple[int, str]]]


def numbered(chunks: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Return (chunk, name) of the parameters with weight decay and of those without, in the order of the optimizer."""
    decayed: list[tuple[int, str]] = []
    others: list[tuple[int, str]] = []
    for chunk, tensors in enumerate(chunks):
        for name in _registered(tensors):
            plain = name.endswith(".bias") or len(tensors[name].shape) == 1
            (others if plain else decayed).append((chunk, name))
    return decayed, others


def _registered(names: Iterable[str]) -> list[str]:
    """The second table of embeddings is registered before the heads, but stands behind them in the file."""
    ordered = list(names)
    if SECOND_EMBEDDING in ordered:
        ordered.remove(SECOND_EMBEDDING)
        heads = [place for place, name in enumerate(ordered) if name.startswith(("lm_head.", "binary_head."))]
        ordered.insert(heads[0] if heads else len(ordered), SECOND_EMBEDDING)
    return ordered


def read_state(optimizer: Any, chunks: Sequence[Mapping[str, LazyTensor]]) -> ShardState:
    """Return the state of a shard from its `optimizer` entry; `chunks` are the shard's tensors as the file has them."""
    if (
        isinstance(optimizer, list) and len(optimizer) == 1
    ):  # newer versions chain optimizers; a dense model has one
        optimizer = optimizer[0]
    if not isinstance(optimizer, dict):
        return (
            replace(NOTHING, note="its optimizer state is of a kind that is not read")
            if optimizer
            else NOTHING
        )
    inner = optimizer.get("optimizer", optimizer.get("optimizer_state_dict", optimizer))
    state = inner.get("state") if isinstance(inner, dict) else None
    groups, keys = _in_saved_order(inner, numbered(chunks))
    master = _master(optimizer.get(MASTER, optimizer.get("fp32_from_fp16")), groups, chunks)
    if not isinstance(state, dict) or not state:
        return ShardState({}, master, "its optimizer state is of a kind that is not read")
    order = [*groups[0], *groups[1]]
    if len(keys) != len(order):
        return ShardState({}, master, f"its optimizer has {len(keys)} parameters, its model {len(order)}")
    moments: dict[str, dict[tuple[int, str], LazyTensor]] = {kind: {} for kind in KINDS}
    for saved, key in zip(keys, order, strict=True):
        entry = state.get(saved)
        for kind in KINDS:
            value = entry.get(kind) if isinstance(entry, dict) else None
            if not isinstance(value, LazyTensor) or value.shape != chunks[key[0]][key[1]].shape:
                return ShardState(
                    {}, master, f"its optimizer has no {kind} for {key[1]} where Megatron-LM has it"
                )
            moments[kind][key] = value
    return ShardState(moments, master)


def _in_saved_order(inner: Any, groups: _Groups) -> tuple[_Groups, list[Any]]:
    """Return the groups in the order of the file and the keys of their parameters.

    Newer versions make a group when they meet its first parameter, so that of a stage that begins with a norm is without weight
    decay; old versions of torch count parameters by addresses.
    """
    saved = inner.get("param_groups") if isinstance(inner, dict) else None
    if not isinstance(saved, list) or not all(
        isinstance(group, dict) and isinstance(group.get("params"), list) for group in saved
    ):
        return groups, []
    keys = [key for group in saved for key in group["params"]]
    decay = saved[0].get("wd_mult", saved[0].get("weight_decay")) if saved else None
    others = saved[1].get("wd_mult", saved[1].get("weight_decay")) if len(saved) > 1 else None
    swapped = decay == 0 and others != 0
    return ((groups[1], groups[0]) if swapped else groups), keys


def _master(
    groups: Any, names: _Groups, chunks: Sequence[Mapping[str, LazyTensor]]
) -> dict[tuple[int, str], LazyTensor]:
    """Return the float32 weights by name, nothing unless there is one of the right shape for each parameter."""
    if not isinstance(groups, list | tuple) or not all(isinstance(group, list | tuple) for group in groups):
        return {}
    flat = [value for group in groups for value in group]
    order = [*names[0], *names[1]]
    fits = len(flat) == len(order) and all(
        isinstance(value, LazyTensor)
        and value.dtype is torch.float32
        and value.shape == chunks[chunk][name].shape
        for value, (chunk, name) in zip(flat, order, strict=True)
    )
    return dict(zip(order, flat, strict=True)) if fits else {}


class MomentTensors(TensorSource):
    """Moments under our names: NAME.exp_avg and NAME.exp_avg_sq, from one source for each kind."""

    def __init__(self, sources: Mapping[str, TensorSource]) -> None:
        self._sources = sources

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes under our names."""
        kinds = {kind: source.described() for kind, source in self._sources.items()}
        return {f"{name}.{kind}": value for kind, tensors in kinds.items() for name, value in tensors.items()}

    def read(self, name: str) -> Tensor:
        """Return one moment."""
        name, _, kind = name.rpartition(".")
        return self._sources[kind].read(name)


class OneKind(TensorSource):
    """The moments of one kind under the parameters' own names."""

    def __init__(self, moments: TensorSource, kind: str) -> None:
        self._moments, self._suffix = moments, f".{kind}"

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes."""
        found = self._moments.described()
        return {
            name.removesuffix(self._suffix): value
            for name, value in found.items()
            if name.endswith(self._suffix)
        }

    def read(self, name: str) -> Tensor:
        """Return the moment of one parameter."""
        return self._moments.read(name + self._suffix)


def written_state(
    moments: Mapping[str, Sequence[Mapping[str, Later]]],
    master: Sequence[Mapping[str, Later]] | None,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a shard's `optimizer` entry: that of half precision if there are float32 `master` weights, else of float32."""
    decayed, others = numbered(moments[KINDS[0]])
    order = [*decayed, *others]
    state = {
        number: {kind: moments[kind][chunk][name] for kind in KINDS}
        for number, (chunk, name) in enumerate(order)
    }
    groups = []
    for first, count, decay in ((0, len(decayed), 1.0), (len(decayed), len(others), 0.0)):
        numbers = list(range(first, first + count))
        groups.append(
            {
                **settings,
                "weight_decay": settings["weight_decay"] * decay,
                "wd_mult": decay,
                "lr_mult": 1.0,
                "params": numbers,
            }
        )
    adam = {"state": state, "param_groups": groups}
    if master is None:
        return adam
    copies = [[master[chunk][name] for chunk, name in group] for group in (decayed, others)]
    return {"optimizer": adam, MASTER: copies}
