"""Training steps of the published shapes with the kernels on and off: tokens per second, utilisation, memory per token.

    python benchmarks/kernels/steps.py

Random tokens in rows that are packed as real abstracts are: several samples, 2 % padding. Executed FLOPs over the dense peak, real
tokens only. Without CUDA a tiny model runs through on the reference, and the rest is reported as not run.
"""

import argparse
import csv
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.config.costs import masked_budget, training_flops_per_row
from megatron_bio.config.hardware import peak_tflops
from megatron_bio.config.model import PRESETS, ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.kernels.choice import chosen, obstacle
from megatron_bio.kernels.dropout import sample_keys
from megatron_bio.models.parts import ModelParts
from megatron_bio.parallel.world import open_world
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.compilation import compile_blocks
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import train_step

SAMPLES, PADDING = 3, 0.02
WARMUP, STEPS = 3, 6
GIB = 2**30
COLUMNS = (
    "model",
    "attention dropout",
    "kernels",
    "compiled",
    "rows",
    "tokens per second",
    "utilisation",
    "peak GiB",
    "bytes per token",
)


@dataclass(frozen=True)
class Run:
    """One model in one way."""

    name: str
    model: ModelConfig
    rows: int
    attention_dropout: float
    kernels: str
    compiled: bool = False


def runs(device: torch.device) -> Iterator[Run]:
    """Give what is measured on the device, the most important first: compiling takes minutes."""
    if device.type == "cpu":
        tiny = ModelConfig(num_layers=2, hidden_size=64, num_attention_heads=2, vocab_size=1000)
        yield Run("tiny", tiny, 2, 0.1, "reference")
        return
    kernels = ("reference",) if obstacle(device.type) else ("reference", "cuda")
    for compiled in (False, True):
        for name, rows in (("biomegatron-345m", 32), ("biomegatron-1.2b", 16), ("biomedlm-2.7b", 4)):
            model = ModelConfig(**{"vocab_size": 30592, **PRESETS[name]})
            for dropout, way in itertools.product((0.1, 0.0), kernels):
                yield Run(name, model, rows, dropout, way, compiled)


def microbatch(run: Run, length: int, device: torch.device) -> dict[str, Tensor]:
    """Return rows of SAMPLES samples and a little padding."""
    generator = torch.Generator().manual_seed(0)
    rows, real = run.rows, int(length * (1 - PADDING))

    def ids(end: int, count: int) -> Tensor:
        return torch.randint(0, end, (rows, count), generator=generator)

    column = torch.arange(length).expand(rows, -1)
    segments = torch.where(column < real, column * SAMPLES // real + 1, 0)
    starts = (segments - 1).clamp(min=0) * real // SAMPLES
    fields = {
        "tokens": ids(run.model.vocab_size, length),
        "segment_ids": segments,
        "position_ids": (column - starts).clamp(min=0),
        "dropout_keys": sample_keys(0, torch.arange(rows)),
    }
    if run.model.architecture == "gpt":
        fields |= {"labels": ids(run.model.vocab_size, length), "label_weights": (segments > 0).float()}
    else:
        slots = masked_budget(0.15, length)
        fields |= {
            "tokentype_ids": ids(2, length),
            "masked_positions": ids(real, slots),
            "masked_labels": ids(run.model.vocab_size, slots),
            "masked_weights": torch.ones(rows, slots),
            "cls_positions": torch.arange(SAMPLES).expand(rows, -1) * real // SAMPLES,
            "order_labels": ids(2, SAMPLES),
            "order_weights": torch.ones(rows, SAMPLES),
        }
    return {name: field.to(device) for name, field in fields.items()}


def fill(parts: ModelParts) -> None:
    """Give the weights values on the device; `initialize` would draw billions of numbers on the CPU."""
    with torch.no_grad():
        for name, parameter in parts.named_parameters():
            if name.endswith("bias"):
                parameter.to_local().zero_()
            elif name.endswith("layernorm.weight"):
                parameter.to_local().fill_(1.0)
            else:
                parameter.to_local().normal_(0.0, 0.02)


def measure(run: Run, mesh: DeviceMesh, device: torch.device) -> tuple[object, ...]:
    """Train for a few steps and return a row of the table."""
    model = replace(run.model, attention_dropout=run.attention_dropout, hidden_dropout=0.1)
    length = model.max_position_embeddings
    dtype = torch.bfloat16
    parts = build_model_parts(model, ParallelConfig(), mesh, device, dtype, chosen(run.kernels, device.type))
    fill(parts)
    if run.compiled:
        compile_blocks(parts.blocks)
    passes = distribute(parts, ParallelConfig(), mesh, compute_dtype=dtype, sequence_length=length)
    optimizer = build_optimizer(
        parts, OptimizerConfig(implementation="fused" if device.type == "cuda" else "foreach")
    )
    batch = microbatch(run, length, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for step in range(WARMUP + STEPS):
        if step == WARMUP:
            start = _now(device)
        train_step(passes, optimizer, [batch], mesh, lr=1e-4, clip_grad=1.0)
    seconds = (_now(device) - start) / STEPS
    real = int((batch["segment_ids"] > 0).sum())
    predictions = length if model.architecture == "gpt" else masked_budget(0.15, length)
    flops = training_flops_per_row(model, length, predictions) * run.rows * real / (run.rows * length)
    peak = peak_tflops(torch.cuda.get_device_name(), "bf16") if device.type == "cuda" else None
    used = round(flops / seconds / (peak * 1e12), 3) if peak else "peak not known"
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    words = (run.name, run.attention_dropout, run.kernels, run.compiled, run.rows)
    return *words, round(real / seconds), used, round(memory / GIB, 1), round(memory / real)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Measure every run that the device allows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", type=Path, help="CSV to append the rows to")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(",".join(COLUMNS))
    with open_world(ParallelConfig(), device.type) as world:
        _measure_all(world.mesh, device, options.table)
    if problem := obstacle(device.type):
        print(f"kernels cuda: NOT RUN ({problem})")
    if device.type == "cpu":
        print("published shapes and torch.compile: NOT RUN (no CUDA device)")


def _measure_all(mesh: DeviceMesh, device: torch.device, table: Path | None) -> None:
    for run in runs(device):
        try:
            row = measure(run, mesh, device)
        except torch.OutOfMemoryError:
            row = (run.name, run.attention_dropout, run.kernels, run.compiled, run.rows, "out of memory")
        torch._dynamo.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        print(",".join(map(str, row)), flush=True)
        if table and device.type == "cuda":
            with table.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerow(row)


if __name__ == "__main__":
    main()
