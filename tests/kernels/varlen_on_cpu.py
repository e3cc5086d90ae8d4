"""torch's variable-length attention on the CPU, where it has no kernel: its operators, computed sequence by sequence.

Only the two operators below `varlen_attn` are replaced. Its arguments, its autograd, and what it tells the compiler of shapes
stay torch's.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import varlen


@contextmanager
def varlen_on_cpu() -> Iterator[list[int]]:
    """Inside, `varlen_attn` runs on the CPU in any dtype; what comes is the length of the boundaries in each call."""
    calls: list[int] = []

    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bounds: Tensor,
        key_bounds: Tensor,
        longest: int,
        longest_key: int,
        causal: bool,
        *_: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        calls.append(len(bounds))
        assert torch.equal(bounds, key_bounds) and bounds.dtype == torch.int32 and longest == longest_key
        context = _unwritten(query)
        for one in _sequences(bounds, longest):
            context[one] = (_probabilities(query[one], key[one], causal) @ _by_head(value[one])).transpose(
                0, 1
            )
        total, heads, _size = query.shape
        random_state = torch.zeros(2, dtype=torch.uint64)
        return context, query.new_zeros(heads, total, dtype=torch.float32), random_state

    def backward(
        gradient: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        context: Tensor,
        sums: Tensor,
        bounds: Tensor,
        key_bounds: Tensor,
        longest: int,
        longest_key: int,
        causal: bool,
        *_: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        of_query, of_key, of_value = (_unwritten(tensor) for tensor in (query, key, value))
        for one in _sequences(bounds, longest):
            q, k, v, g = (_by_head(tensor[one]) for tensor in (query, key, value, gradient))
            shares = _probabilities(query[one], key[one], causal)
            of_shares = g @ v.mT
            of_scores = (
                shares * (of_shares - (of_shares * shares).sum(-1, keepdim=True)) * q.shape[-1] ** -0.5
            )
            of_query[one] = (of_scores @ k).transpose(0, 1)
            of_key[one] = (of_scores.mT @ q).transpose(0, 1)
            of_value[one] = (shares.mT @ g).transpose(0, 1)
        return of_query, of_key, of_value

    with _replaced(varlen._varlen_attn, forward), _replaced(varlen._varlen_attn_backward, backward):
        yield calls


@contextmanager
def _replaced(operator: torch.library.CustomOpDef, function: Callable[..., Any]) -> Iterator[None]:
    functions = operator._backend_fns
    (before,) = functions.items()
    functions[before[0]] = function
    try:
        yield
    finally:
        functions[before[0]] = before[1]


def _sequences(bounds: Tensor, longest: int) -> Iterator[slice]:
    for start, end in itertools.pairwise(bounds.tolist()):
        assert 0 <= end - start <= longest
        yield slice(start, end)


def _unwritten(like: Tensor) -> Tensor:
    """What lies in no sequence the kernel does not write."""
    return torch.full_like(like, float("nan"), memory_format=torch.contiguous_format)


def _by_head(tensor: Tensor) -> Tensor:
    return tensor.transpose(0, 1)


def _probabilities(query: Tensor, key: Tensor, causal: bool) -> Tensor:
    """Tokens of one sequence [T, n, D] -> [n, T, T]."""
    scores = _by_head(query) @ _by_head(key).mT * query.shape[-1] ** -0.5
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return (scores.masked_fill(hidden, float("-inf")) if causal else scores).softmax(-1)
