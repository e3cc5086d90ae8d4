"""Times of an operation as torch runs it, as torch.compile does, as our kernel and as Liger's; bytes against what a copy moves.

Each candidate computes forward, and forward with backward, on the same tensors. Between two calls the caches are filled with
something else; the median of the calls counts. On a machine without CUDA the reference alone runs, on small shapes, and
the rest is reported as not run.
"""

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from megatron_bio.kernels.choice import obstacle

_FLUSH_BYTES = 256 << 20
_CALLS = 20
COLUMNS = (
    "operation",
    "shape",
    "dtype",
    "pass",
    "candidate",
    "microseconds",
    "gigabytes per second",
    "of copy",
)


@dataclass(frozen=True)
class Bench:
    """One shape of an operation."""

    operation: str
    shape: tuple[int, ...]
    inputs: Callable[[torch.device, tuple[int, ...]], tuple[Tensor, ...]]
    """Makes the tensors whose gradients are wanted, in bfloat16."""
    reference: Callable[..., Tensor | tuple[Tensor, ...]]
    kernel: Callable[..., Tensor | tuple[Tensor, ...]]
    forward_accesses: float
    """Reads and writes of one element of `shape` that the forward cannot avoid."""
    both_accesses: float
    """The same of forward and backward together."""
    other_kernels: Mapping[str, Callable[..., Tensor | tuple[Tensor, ...]]] = field(default_factory=dict)
    """What else our kernels could do in its place, by name."""
    liger: Callable[..., Tensor] | str = "it has no such operation"
    """The same by Liger (arXiv 2410.10989), imported inside; or why there is nothing to compare with."""


def _milliseconds(call: Callable[[], object], device: torch.device) -> float:
    """Return the median time of a call."""
    if device.type == "cpu":
        call()
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e3
    flush = torch.empty(_FLUSH_BYTES, dtype=torch.int8, device=device)
    for _ in range(3):
        call()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(_CALLS)]
    for start, end in events:
        flush.zero_()
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in events)


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes per second, read and written, of a large copy on the device."""
    source = torch.empty(1 << (30 if device.type == "cuda" else 24), dtype=torch.int8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / (_milliseconds(lambda: target.copy_(source), device) / 1e3)


def _obstacle_of_liger(bench: Bench, inputs: Sequence[Tensor]) -> str:
    """Return why Liger does not take part; empty if it gives what the reference does."""
    if isinstance(bench.liger, str):
        return bench.liger
    if inputs[0].device.type == "cpu":
        return "no CUDA device"
    try:
        torch.testing.assert_close(bench.liger(*inputs), bench.reference(*inputs), rtol=0.05, atol=0.05)
    except Exception as error:  # noqa: BLE001 - whatever another library does wrong must not end the measurement
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return ""


def _both(
    function: Callable[..., Tensor | tuple[Tensor, ...]],
    inputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
) -> Callable[[], object]:
    return lambda: torch.autograd.grad(_results(function(*inputs)), inputs, gradients)


def _results(of_call: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (of_call,) if isinstance(of_call, Tensor) else of_call


def _rows(bench: Bench, device: torch.device, copy: float, *, compiled: bool) -> Iterator[tuple[object, ...]]:
    shape = bench.shape
    if device.type == "cpu":
        shape = (*(min(size, 8) for size in shape[:-1]), min(shape[-1], 1024))
    inputs = bench.inputs(device, shape)
    gradients = [torch.ones_like(result) for result in _results(bench.reference(*inputs))]
    candidates = (
        {"torch.compile": torch.compile(bench.reference, dynamic=False)}
        if compiled
        else _plain_candidates(bench, inputs)
    )
    elements = torch.Size(shape).numel()
    for name, function in candidates.items():
        calls = {
            "forward": (lambda function=function: function(*inputs), bench.forward_accesses),
            "forward and backward": (_both(function, inputs, gradients), bench.both_accesses),
        }
        for way, (call, accesses) in calls.items():
            milliseconds = _milliseconds(call, device)
            rate = accesses * elements * inputs[0].element_size() / (milliseconds / 1e3)
            words = (bench.operation, "x".join(map(str, shape)), "bfloat16", way, name)
            yield *words, round(milliseconds * 1e3, 1), round(rate / 1e9, 1), round(rate / copy, 3)


def _plain_candidates(
    bench: Bench, inputs: Sequence[Tensor]
) -> dict[str, Callable[..., Tensor | tuple[Tensor, ...]]]:
    """Return what takes part without being compiled first."""
    candidates = {"torch": bench.reference}
    if not obstacle(inputs[0].device.type):
        candidates |= {"kernel": bench.kernel, **bench.other_kernels}
    if problem := _obstacle_of_liger(bench, inputs):
        print(f"liger, {bench.operation}: NOT RUN ({problem})")
    elif callable(bench.liger):
        candidates["liger"] = bench.liger
    return candidates


def append_row(table: Path, columns: Sequence[str], row: Sequence[object]) -> None:
    """Append a row to a CSV file, below the names of the columns if there is none yet."""
    new = not table.exists()
    with table.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, row] if new else [row])


def main(benches: Sequence[Bench]) -> None:
    """Run the benches on the best device here, print a table and append it to `--table`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", type=Path, help="CSV to append the rows to")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    copy = copy_bandwidth(device)
    print(f"{device}: a copy moves {copy / 1e9:,.0f} GB/s")
    on_cuda = device.type == "cuda"
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    # Compiling comes last and every row is written at once: who is cut off has measured the kernels.
    for compiled in (False, True) if on_cuda else (False,):
        for bench in benches if on_cuda else benches[:1]:
            for row in _rows(bench, device, copy, compiled=compiled):
                writer.writerow(row)
                sys.stdout.flush()
                if options.table and on_cuda:
                    append_row(options.table, COLUMNS, row)
    if problem := obstacle(device.type):
        print(f"kernel: NOT RUN ({problem})")
    if not on_cuda:
        print("torch.compile: NOT RUN (no CUDA device); the times above are of small shapes and mean nothing")
