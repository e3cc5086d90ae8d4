"""Each kernel against its reference in float64, on random shapes, odd ones among them, with poisoned outputs.

`python -m megatron_bio.kernels` runs it on a CUDA device; the tests run it on the same sources compiled for the host.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from megatron_bio.kernels import (
    bias_dropout_add,
    bias_dropout_add_norm,
    bias_gelu,
    cross_entropy,
    embedding_sum,
    layer_norm,
    rows_at,
    softmax_dropout,
)
from megatron_bio.kernels.columns import MOST_STRIPS, TILE_ROWS
from megatron_bio.kernels.dropout import DropoutPlace, sample_keys
from megatron_bio.kernels.library import DTYPES, Library

_ROWS = (1, 2, 3, 5, 13, 33)
_COLUMNS = (1, 2, 7, 8, 24, 31, 33, 64, 100, 255, 256, 264, 520, 1000, 1024, 1032)
_FEW_COLUMNS = (1, 7, 8)
_FLOAT32_ERROR = 1e-5
"""Of the largest number in a tensor: what sums in float32 may be wrong by."""
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Comparison:
    """A tensor that a kernel wrote, and what it should be."""

    name: str
    found: Tensor
    expected: Tensor
    """float64 on the CPU."""
    scale: float
    """Size of the numbers that were added up to make it."""
    roundings: int = 1
    """How often numbers of this size were rounded to the dtype."""

    @property
    def error(self) -> float:
        """The largest difference, 1 being what rounding explains; infinite if anything is not finite."""
        found = self.found.detach().cpu().to(torch.float64)
        if found.shape != self.expected.shape or not bool(torch.isfinite(found).all()):
            return float("inf")
        rounding = torch.finfo(self.found.dtype).eps if self.found.is_floating_point() else 0.0
        sums = _FLOAT32_ERROR + (self.roundings - 1) * rounding
        allowed = rounding * self.expected.abs() + sums * self.scale + _SMALLEST
        return float(((found - self.expected).abs() / allowed).max()) if found.numel() else 0.0


class Draw:
    """Random shapes and numbers of one case; the same seed gives the same case."""

    def __init__(self, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._many_rows = seed % 8 == 0
        self.dtype, self.device = dtype, device

    def below(self, end: int) -> int:
        """Return a number from 0 to end - 1."""
        return int(torch.randint(end, (), generator=self._generator))

    def one_of(self, values: Sequence[int]) -> int:
        """Return one of the values."""
        return values[self.below(len(values))]

    def matrix(self, many_rows: int) -> tuple[int, int]:
        """Return rows and columns; in one case of eight `many_rows`, which are more than there are blocks for."""
        if self._many_rows:
            return many_rows, self.one_of(_FEW_COLUMNS)
        return self.one_of(_ROWS), self.one_of(_COLUMNS)

    def normal(self, *shape: int, deviation: float = 1.0) -> Tensor:
        """Return normal numbers in the dtype and on the device."""
        values = torch.randn(shape, generator=self._generator) * deviation
        return values.to(self.dtype).to(self.device)

    def numbers(self, end: int, *shape: int) -> Tensor:
        """Return int64 numbers from 0 to end - 1 on the device."""
        return torch.randint(end, shape, generator=self._generator).to(self.device)

    def place(self, rows: int) -> DropoutPlace:
        """Return a place of a dropout for so many samples; in one case of four nothing is dropped."""
        keys = sample_keys(self.below(1 << 30), torch.arange(rows) + self.below(1 << 30)).to(self.device)
        number = self.below(100)
        layer = torch.tensor(number, device=self.device) if self.below(2) else number
        return DropoutPlace((0.0, 0.1, 0.5, 0.9)[self.below(4)], keys, layer, self.below(4))


def exact(*tensors: Tensor) -> list[Tensor]:
    """Return the tensors in float64 on the CPU, as leaves."""
    return [tensor.detach().cpu().to(torch.float64).requires_grad_() for tensor in tensors]


def _compare(
    name: str, found: Tensor, expected: Tensor, scale: float = 0.0, roundings: int = 1
) -> Comparison:
    expected = expected.detach()
    largest = float(expected.abs().max()) if expected.numel() else 0.0
    return Comparison(name, found, expected, max(scale, largest), roundings)


def _on_cpu(place: DropoutPlace) -> DropoutPlace:
    layer = place.layer.cpu() if isinstance(place.layer, Tensor) else place.layer
    return DropoutPlace(place.probability, place.keys.cpu(), layer, place.site)


def _layer_norm(library: Library, draw: Draw) -> list[Comparison]:
    (rows, columns), epsilon = draw.matrix(MOST_STRIPS + 37), 1e-5
    x = draw.normal(rows, columns) + draw.normal(rows, 1, deviation=3.0)
    weight, bias, gradient = draw.normal(columns), draw.normal(columns), draw.normal(rows, columns)
    y, mean, inverse = layer_norm.launch_forward(library, x, weight, bias, epsilon)
    found = layer_norm.launch_backward(library, gradient, x, weight, mean, inverse)
    leaves = exact(x, weight, bias)
    expected = layer_norm.reference(*leaves, epsilon)
    expected.backward(gradient.cpu().double())
    # With few columns the parts of x's gradient nearly cancel, and x is far from 0 against its deviation.
    steepest = float(inverse.max()) * float(x.abs().max())
    scales = (steepest * float((gradient * weight).abs().max()), steepest * rows, 0.0)
    return [_compare("y", y, expected, steepest)] + [
        _compare(f"gradient of {name}", tensor, leaf.grad, scale)
        for name, tensor, leaf, scale in zip(("x", "weight", "bias"), found, leaves, scales, strict=True)
    ]


def _bias_gelu(library: Library, draw: Draw) -> list[Comparison]:
    (rows, columns), approximate = draw.matrix(MOST_STRIPS * TILE_ROWS + 9), bool(draw.below(2))
    x, bias, gradient = (
        draw.normal(rows, columns, deviation=2.0),
        draw.normal(columns),
        draw.normal(rows, columns),
    )
    y = bias_gelu.launch_forward(library, x, bias, approximate)
    found = bias_gelu.launch_backward(library, gradient, x, bias, approximate)
    leaves = exact(x, bias)
    expected = bias_gelu.reference(*leaves, approximate)
    expected.backward(gradient.cpu().double())
    of_x, of_bias = (leaf.grad for leaf in leaves)
    return [
        _compare("y", y, expected),
        _compare("gradient of x", found[0], of_x),
        _compare("of bias", found[1], of_bias),
    ]


def _bias_dropout_add(library: Library, draw: Draw) -> list[Comparison]:
    (positions, columns), samples = draw.matrix(MOST_STRIPS * TILE_ROWS + 9), draw.one_of((1, 2, 3))
    shape = positions, samples, columns
    x, residual, gradient = (draw.normal(*shape) for _ in range(3))
    bias, place, first = draw.normal(shape[-1]), draw.place(shape[1]), draw.below(500)
    y = bias_dropout_add.launch_forward(library, x, bias, residual, place, first)
    of_x, of_bias = bias_dropout_add.launch_backward(library, gradient, place, first)
    leaves = exact(x, bias, residual)
    expected = bias_dropout_add.reference(*leaves, _on_cpu(place), first)
    expected.backward(gradient.cpu().double())
    return [
        _compare("y", y, expected),
        _compare("gradient of x", of_x, leaves[0].grad),
        _compare("gradient of bias", of_bias, leaves[1].grad),
    ]


def _bias_dropout_add_norm(library: Library, draw: Draw) -> list[Comparison]:
    (positions, columns), samples = draw.matrix(MOST_STRIPS + 37), draw.one_of((1, 2, 3))
    shape, epsilon = (positions, samples, columns), 1e-5
    x, of_total, of_y = (draw.normal(*shape) for _ in range(3))
    residual = draw.normal(*shape) + draw.normal(*shape[:-1], 1, deviation=3.0)
    bias, weight, shift = (draw.normal(columns) for _ in range(3))
    place, first, uses_total = draw.place(samples), draw.below(500), bool(draw.below(2))
    total, y, mean, inverse = bias_dropout_add_norm.launch_forward(
        library, x, bias, residual, weight, shift, place, first, epsilon
    )
    found = bias_dropout_add_norm.launch_backward(
        library, of_total if uses_total else None, of_y, total, weight, mean, inverse, place, first
    )
    leaves = exact(x, bias, residual, weight, shift)
    # The norm is that of the total as it was rounded.
    [rounded], sums = exact(total), bias_dropout_add.reference(*leaves[:3], _on_cpu(place), first)
    normal = layer_norm.reference(rounded, *leaves[3:], epsilon)
    normal.backward(of_y.cpu().double())
    sums.backward(rounded.grad + of_total.cpu().double() * uses_total)
    steepest = float(inverse.max()) * float(total.abs().max())
    of_sum = steepest * float((of_y * weight).abs().max()) + uses_total
    of_x, rows = of_sum / (1.0 - place.probability), positions * samples
    scales = (of_x, of_x * rows**0.5, of_sum, steepest * rows, 0.0)
    names = ("x", "bias", "residual", "weight", "shift")
    return [_compare("total", total, sums), _compare("y", y, normal, steepest)] + [
        _compare(f"gradient of {name}", tensor, leaf.grad, scale)
        for name, tensor, leaf, scale in zip(names, found, leaves, scales, strict=True)
    ]


def _cross_entropy(library: Library, draw: Draw) -> list[Comparison]:
    rows, columns = draw.one_of(_ROWS), draw.one_of(_COLUMNS)
    first, real = draw.below(3) * columns, draw.one_of((0, 1, max(1, columns - 3), columns))
    real = min(real, columns)
    logits, gradient = draw.normal(rows, columns, deviation=6.0), draw.normal(rows).float()
    targets = torch.tensor([draw.below(3 * columns) for _ in range(rows)], device=draw.device)
    wide = logits.cpu().double()
    found = cross_entropy.launch_statistics(library, logits, targets, first, real)
    expected = cross_entropy.statistics_reference(wide, targets.cpu(), first, real)
    # As if other ranks had no larger logit, and as much again in sum.
    top = torch.where(expected[0].isinf(), 0.0, expected[0])
    total = expected[2] * 2.0 + 1.0
    arguments = (targets.cpu(), top, total, gradient.cpu().double(), first, real)
    of_logits = cross_entropy.gradient_reference(wide, *arguments)
    cross_entropy.launch_gradient(
        library,
        logits,
        targets,
        top.float().to(draw.device),
        total.float().to(draw.device),
        gradient,
        first,
        real,
    )
    names = ("maximum", "best", "sum", "target's logit")
    pairs = zip(names, found, expected, strict=True)
    # Minus infinity where a rank has no real column: compared as a number.
    return [_compare(name, a.clamp(min=-1e30), b.clamp(min=-1e30).double()) for name, a, b in pairs] + [
        _compare("gradient of logits", logits, of_logits)
    ]


def _softmax_dropout(library: Library, draw: Draw) -> list[Comparison]:
    rows, heads, queries, keys = (
        draw.one_of((1, 2)),
        draw.one_of((1, 3)),
        draw.one_of((1, 5)),
        draw.one_of(_COLUMNS),
    )
    scores, gradient = (draw.normal(rows, heads, queries, keys, deviation=d) for d in (8.0, 1.0))
    place, first, scale = draw.place(rows), draw.below(16), 1.0 / (1 + draw.below(8))
    mask = (draw.normal(rows, 1, queries, keys) > 0.0) | (
        torch.arange(keys, device=draw.device) == draw.below(keys)
    )
    probabilities, dropped = softmax_dropout.launch_forward(library, scores, mask, scale, place, first)
    of_scores = softmax_dropout.launch_backward(library, gradient, probabilities, scale, place, first)
    [leaf] = exact(scores)
    expected = softmax_dropout.reference(leaf, mask.cpu(), scale, _on_cpu(place), first)
    expected.backward(gradient.cpu().double())
    result = probabilities if place.probability == 0.0 else dropped
    kept = scale / (1.0 - place.probability) * float(gradient.abs().max())
    return [
        _compare("probabilities", probabilities, softmax_dropout.probabilities_of(leaf, mask.cpu(), scale)),
        _compare("dropped", result, expected, 0.0, 2),
        # The backward has the probabilities as they were rounded.
        _compare("gradient of scores", of_scores, leaf.grad, kept, 3),
    ]


def _rows_at(library: Library, draw: Draw) -> list[Comparison]:
    (positions, columns), samples = draw.matrix(MOST_STRIPS * TILE_ROWS + 9), draw.one_of((1, 2, 3))
    slots = draw.one_of((1, 2, 5, 31, 32, 33, 80))
    hidden, gradient = draw.normal(positions, samples, columns), draw.normal(samples, slots, columns)
    at = draw.numbers(positions, samples, slots)
    at[:, slots // 2 :] *= draw.below(2)  # empty slots point at position 0
    y = rows_at.launch_forward(library, hidden, at)
    of_hidden = rows_at.launch_backward(library, gradient, at, positions)
    [leaf] = exact(hidden)
    expected = rows_at.reference(leaf, at.cpu())
    expected.backward(gradient.cpu().double())
    scale = slots * float(gradient.abs().max())
    return [_compare("y", y, expected), _compare("gradient of hidden", of_hidden, leaf.grad, scale)]


def _embedding_sum(library: Library, draw: Draw) -> list[Comparison]:
    (positions, columns), samples = draw.matrix(MOST_STRIPS * TILE_ROWS + 9), draw.one_of((1, 2, 3))
    rows = [draw.one_of((1, 7, 300)), draw.one_of((2, 70)), 2][: 2 + draw.below(2)]
    ids = [draw.numbers(count, samples, positions) for count in rows]
    tables = [draw.normal(count, columns) for count in rows]
    if draw.below(2):
        tables = [table.float() * 1.001 for table in tables]  # with digits that the dtype does not have
    gradient, dtype = draw.normal(positions, samples, columns), tables[0].dtype
    y = embedding_sum.launch_forward(library, ids, tables, draw.dtype)
    found = embedding_sum.launch_backward(library, gradient, ids, rows, dtype)
    leaves = exact(*tables)
    expected = embedding_sum.reference([numbers.cpu() for numbers in ids], leaves, torch.float64)
    expected.backward(gradient.cpu().double())
    scale = positions * samples * float(gradient.abs().max())
    return [_compare("y", y, expected, len(rows) * float(tables[0].abs().max()))] + [
        _compare(f"gradient of table {table}", of_table, leaf.grad, scale / leaf.shape[0])
        for table, (of_table, leaf) in enumerate(zip(found, leaves, strict=True))
    ]


CASES: MappingProxyType[str, Callable[[Library, Draw], list[Comparison]]] = MappingProxyType(
    {
        "bias_dropout_add": _bias_dropout_add,
        "bias_dropout_add_norm": _bias_dropout_add_norm,
        "bias_gelu": _bias_gelu,
        "cross_entropy": _cross_entropy,
        "embedding_sum": _embedding_sum,
        "layer_norm": _layer_norm,
        "rows_at": _rows_at,
        "softmax_dropout": _softmax_dropout,
    }
)
"""Operation to the function that makes a case, runs forward and backward, and compares."""


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fill new tensors with NaN, so that what a kernel does not write shows."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def run_case(
    operation: str, library: Library, seed: int, dtype: torch.dtype, device: str
) -> list[Comparison]:
    """Run one case of an operation."""
    with poisoned_memory():
        return CASES[operation](library, Draw(seed, dtype, torch.device(device)))


def largest_error(operation: str, library: Library, cases: int, device: str) -> tuple[float, str]:
    """Return the largest error of so many cases per dtype, 1 being what rounding explains, and of what.

    Each case runs twice; other bits the second time count as infinite.
    """
    worst = (0.0, "nothing")
    for dtype in DTYPES:
        for seed in range(cases):
            first, second = (run_case(operation, library, seed, dtype, device) for _ in range(2))
            for one, other in zip(first, second, strict=True):
                same = torch.equal(one.found, other.found)
                where = f"{one.name} {tuple(one.found.shape)} {dtype} in case {seed}"
                worst = max(
                    worst, (one.error, where) if same else (float("inf"), f"{where}, not the same bits twice")
                )
    return worst
