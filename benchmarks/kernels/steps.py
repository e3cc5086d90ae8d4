"""Training steps of the published shapes with the kernels on and off: tokens per second, utilisation, memory per token.

    python benchmarks/kernels/steps.py

Rows as real abstracts fill them (`sample_lengths`) for BERT, whole rows of one text for GPT, random tokens. Utilisation is
executed operations of the real tokens over the dense peak: under a mask attention is computed over the whole row, with variable
length inside the samples alone, causal or not, and recomputation is none. Hidden dropout is 0.1 everywhere. Without CUDA a tiny
model runs through on the reference, and the rest is reported as not run.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch
from measure import append_row
from sample_lengths import packed_rows
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.config.costs import attention_core_flops, masked_budget, training_flops_per_row
from megatron_bio.config.hardware import peak_tflops
from megatron_bio.config.model import PRESETS, ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.kernels.choice import chosen, obstacle
from megatron_bio.kernels.dropout import sample_keys
from megatron_bio.kernels.variable_length import obstacle_of_machine, obstacle_of_model
from megatron_bio.models.parts import ModelParts
from megatron_bio.parallel.computation import Computation
from megatron_bio.parallel.world import open_world
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.compilation import compile_blocks
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import train_step

WARMUP, STEPS = 3, 6
DTYPE = torch.bfloat16
WAYS = ((0.0, "variable_length"), (0.0, "mask"), (0.1, "mask"))
"""Attention dropout, and how attention keeps samples apart."""
GIB = 2**30
MOST_SAMPLES = 16
"""The default of data.max_samples_per_row."""
AIMS = MappingProxyType({"biomegatron-345m": 0.45, "biomegatron-1.2b": 0.5, "biomedlm-2.7b": 0.5})
"""Utilisation to reach on one GPU."""
COLUMNS = (
    "model",
    "attention dropout",
    "attention",
    "kernels",
    "compiled",
    "rows",
    "fill",
    "executed FLOP per token",
    "tokens per second",
    "utilisation",
    "aim",
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
    attention: str
    """mask or variable_length."""
    kernels: str
    compiled: bool = False

    @property
    def words(self) -> tuple[object, ...]:
        """What a row of the table begins with."""
        return (
            self.name,
            self.attention_dropout,
            self.attention,
            self.kernels,
            self.compiled,
            self.rows,
        )

    @property
    def sequences_per_row(self) -> int:
        """What `build_model_parts` takes."""
        if self.attention == "mask":
            return 0
        return 1 if self.model.architecture == "gpt" else MOST_SAMPLES + 1

    @property
    def obstacle(self) -> str:
        """Why it cannot run here; empty if it can."""
        if self.attention == "mask":
            return ""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        head = self.model.hidden_size // self.model.num_attention_heads
        return obstacle_of_machine(device) or obstacle_of_model(DTYPE, head, self.attention_dropout)


def runs(device: torch.device) -> Iterator[Run]:
    """Give what is measured on the device, the most important first: compiling takes minutes."""
    if device.type == "cpu":
        tiny = ModelConfig(num_layers=2, hidden_size=64, num_attention_heads=2, vocab_size=1000)
        for dropout, attention in WAYS:
            yield Run("tiny", tiny, 2, dropout, attention, "reference")
        return
    kernels = ("reference",) if obstacle(device.type) else ("reference", "cuda")
    for compiled in (False, True):
        for name, rows in (("biomegatron-345m", 32), ("biomegatron-1.2b", 16), ("biomedlm-2.7b", 4)):
            model = ModelConfig(**{"vocab_size": 30592, **PRESETS[name]})
            for (dropout, attention), way in itertools.product(WAYS, kernels):
                yield Run(name, model, rows, dropout, attention, way, compiled)


def lengths_of_samples(run: Run, length: int) -> list[list[int]]:
    """Return the tokens of each sample of each row."""
    if run.model.architecture == "gpt":
        return [[length]] * run.rows
    return packed_rows(run.rows, MOST_SAMPLES)


def microbatch(run: Run, samples: list[list[int]], length: int, device: torch.device) -> dict[str, Tensor]:
    """Return rows with samples of these lengths and padding behind them."""
    generator = torch.Generator().manual_seed(0)
    rows = run.rows

    def ids(end: int, count: int) -> Tensor:
        return torch.randint(0, end, (rows, count), generator=generator)

    segments, positions = (torch.zeros(rows, length, dtype=torch.int64) for _ in range(2))
    firsts, counted = (torch.zeros(rows, MOST_SAMPLES) for _ in range(2))
    for row, lengths in enumerate(samples):
        ends = list(itertools.accumulate(lengths, initial=0))
        for number, (start, end) in enumerate(itertools.pairwise(ends)):
            segments[row, start:end] = number + 1
            positions[row, start:end] = torch.arange(end - start)
            firsts[row, number], counted[row, number] = start, 1.0
    fields = {
        "tokens": ids(run.model.vocab_size, length),
        "segment_ids": segments,
        "position_ids": positions,
        "dropout_keys": sample_keys(0, torch.arange(rows)),
    }
    if run.model.architecture == "gpt":
        fields |= {"labels": ids(run.model.vocab_size, length), "label_weights": (segments > 0).float()}
    else:
        slots = masked_budget(0.15, length)
        fields |= {
            "tokentype_ids": ids(2, length),
            "masked_positions": ids(min(map(sum, samples)), slots),
            "masked_labels": ids(run.model.vocab_size, slots),
            "masked_weights": torch.ones(rows, slots),
            "cls_positions": firsts.long(),
            "order_labels": ids(2, MOST_SAMPLES),
            "order_weights": counted,
        }
    return {name: field.to(device) for name, field in fields.items()}


def executed_flops(model: ModelConfig, attention: str, samples: list[list[int]], length: int) -> float:
    """Return the operations of forward and backward that the real tokens of the rows cost."""
    rows, real = len(samples), sum(map(sum, samples))
    share = real / (rows * length)
    predictions = length if model.architecture == "gpt" else masked_budget(0.15, length)
    if attention == "mask":
        return training_flops_per_row(model, length, predictions) * rows * share
    # Of a causal sample a query sees itself and what is before.
    causal = model.architecture == "gpt"
    pairs = sum(n * (n + 1) // 2 if causal else n * n for row in samples for n in row)
    attended = 3.0 * model.num_layers * attention_core_flops(model, length, pairs)
    return training_flops_per_row(model, length, predictions, 0) * rows * share + attended


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
    layout, kernels = ParallelConfig(), chosen(run.kernels, device.type)
    parts = build_model_parts(model, layout, mesh, device, DTYPE, Computation(kernels, run.sequences_per_row))
    fill(parts)
    if run.compiled:
        compile_blocks(parts.blocks)
    passes = distribute(parts, layout, mesh, compute_dtype=DTYPE, sequence_length=length)
    optimizer = build_optimizer(
        parts, OptimizerConfig(implementation="fused" if device.type == "cuda" else "foreach")
    )
    samples = lengths_of_samples(run, length)
    batch = microbatch(run, samples, length, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for step in range(WARMUP + STEPS):
        if step == WARMUP:
            start = _now(device)
        train_step(passes, optimizer, [batch], mesh, lr=1e-4, clip_grad=1.0)
    seconds = (_now(device) - start) / STEPS
    real = sum(map(sum, samples))
    flops = executed_flops(model, run.attention, samples, length)
    peak = peak_tflops(torch.cuda.get_device_name(), "bf16") if device.type == "cuda" else None
    used = round(flops / seconds / (peak * 1e12), 3) if peak else "peak not known"
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return (
        *run.words,
        round(real / (run.rows * length), 4),
        f"{flops / real:.4g}",
        round(real / seconds),
        used,
        AIMS.get(run.name, "none"),
        round(memory / GIB, 1),
        round(memory / real),
    )


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
        if problem := run.obstacle:
            print(f"{run.name}, attention {run.attention}: NOT RUN ({problem})")
            continue
        try:
            row = measure(run, mesh, device)
        except torch.OutOfMemoryError:
            row = (*run.words, "out of memory", "", "", "", AIMS.get(run.name, "none"), "", "")
        torch._dynamo.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        print(",".join(map(str, row)), flush=True)
        if table and device.type == "cuda":
            append_row(table, COLUMNS, row)


if __name__ == "__main__":
    main()
