"""Does packing pay? A small BERT trained on packed rows and on one sample per row, at equal real tokens and equal steps.

    python benchmarks/packing.py --documents abstracts.jsonl.xz --tokenizer bert-cased.txt --output build/packing

For each seed two models start with the same weights and take turns, step by step, in one process. A step of the one has --rows
rows of one sample each; a step of the other has as many packed rows as keep the real tokens seen equal to within half a row.
Learning rates, number of steps and validation rows (of both kinds, the same masks for all) are the same. Speed is real tokens
per CPU second of all threads, making the rows included. Every 20th document is for validation.
"""

import argparse
import json
import math
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from results_row import append_result
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.config.data import DataConfig
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.data.batch import BertBatch
from megatron_bio.data.build import build_datasets
from megatron_bio.data.dataset import Dataset
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.parallel.parameters import initialize
from megatron_bio.tokens.indexed import IndexedReader
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.batches import to_tensors
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.passes import Passes
from megatron_bio.training.schedule import learning_rate
from megatron_bio.training.step import evaluate, train_step

CPU = torch.device("cpu")
LENGTH, MICROBATCH, FIXED_SEED, EVERY = 512, 8, 1234, 20
LOSS = "masked-LM loss"
CLAIM = (
    "packed rows: final validation loss within one standard deviation of one sample per row at equal real tokens, 3 seeds; "
    "real tokens/s up by the share of padding removed"
)


def main() -> None:
    """Prepare, train each seed twice, compare, record."""
    options = _options()
    torch.set_num_threads(options.threads)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    prefixes = _token_data(options)
    tokenizer = Tokenizer.load(options.tokenizer)
    entropy = _unigram_entropy(prefixes["validation"])
    print(f"unigram entropy of the validation tokens: {entropy:.3f} nats", flush=True)
    start = time.perf_counter()
    found = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        found.append(_one_seed(options, prefixes, tokenizer, seed))
        print(f"  seed {seed} took {time.perf_counter() - start:.0f} s since the start", flush=True)
    dist.destroy_process_group()
    result = _summary(found, entropy)
    print(result)
    (options.output / "packing.json").write_text(json.dumps(found, indent=1) + "\n")
    if options.append:
        append_result("packing", CLAIM, result, time.perf_counter() - start)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--documents", type=Path, required=True, help="abstracts as JSONL, plain or compressed"
    )
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="tokenizer folder or WordPiece vocabulary"
    )
    parser.add_argument("--output", type=Path, default=Path("build/packing"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rows", type=int, default=16, help="rows of a step with one sample each")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first_seed", type=int, default=1)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--validation_rows", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--append", action="store_true", help="add a row to results.csv")
    return parser.parse_args()


def _token_data(options: argparse.Namespace) -> dict[str, Path]:
    """Make token data of train and validation documents, once."""
    options.output.mkdir(parents=True, exist_ok=True)
    prefixes = {part: options.output / part for part in ("train", "validation")}
    if not all(prefix.with_suffix(".json").exists() for prefix in prefixes.values()):
        with DecompressedFile(options.documents) as file:
            lines = file.readall().splitlines(keepends=True)
        parts = {
            "train": [line for number, line in enumerate(lines) if number % EVERY],
            "validation": lines[::EVERY],
        }
        for part, prefix in prefixes.items():
            documents = prefix.with_suffix(".jsonl")
            documents.write_bytes(b"".join(parts[part]))
            preprocess(PreprocessOptions(inputs=[str(documents)], tokenizer=options.tokenizer, output=prefix))
    return prefixes


def _unigram_entropy(prefix: Path) -> float:
    tokens = np.concatenate([IndexedReader(prefix).tokens])
    p = np.bincount(tokens) / len(tokens)
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _dataset(
    prefix: Path, tokenizer: Tokenizer, options: argparse.Namespace, packing: bool, seed: int
) -> Dataset:
    config = DataConfig(
        prefixes=[str(prefix)],
        tokenizer=str(options.tokenizer),
        sequence_length=LENGTH,
        split=(1.0, 0.0, 0.0),
        packing=packing,
        seed=seed,
    )
    return build_datasets(config, "bert", tokenizer)[0]


@dataclass
class Way:
    """One of the two models on its way: packed rows, or one sample per row."""

    name: str
    dataset: Dataset
    passes: Passes
    optimizer: torch.optim.Optimizer
    schedule: OptimizerConfig
    rows: int = 0
    real_tokens: int = 0
    samples: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    def step(self, number: int, steps: int, mesh: DeviceMesh, target: int | None, rows: int) -> None:
        """Train on `rows` rows, or on as many as bring the real tokens seen nearest to `target`; number counts from 1."""
        start = time.process_time()
        batches = []
        while len(batches) < rows if target is None else self._lacks_a_row(target):
            batches.append(self.dataset.batch(np.array([self.rows])))
            self.rows += 1
            self.real_tokens += batches[-1].real_tokens
            self.samples += int(batches[-1].segment_ids.max())
        result = train_step(
            self.passes,
            self.optimizer,
            _microbatches(batches, number),
            mesh,
            lr=learning_rate(number, steps, self.schedule),
            clip_grad=1.0,
        )
        self.seconds += time.process_time() - start
        self.losses.append((result.sums[0] / result.counts[0]).item())

    def _lacks_a_row(self, target: int) -> bool:
        mean = self.real_tokens / self.rows if self.rows else 0.97 * LENGTH
        return self.real_tokens + mean / 2 < target

    @property
    def fill(self) -> float:
        """Real tokens of all positions."""
        return self.real_tokens / (self.rows * LENGTH)


def _microbatches(rows: list[BertBatch], seed: int) -> list[dict[str, Tensor]]:
    tensors = [to_tensors(row, seed, CPU) for row in rows]
    return [
        {name: torch.cat([row[name] for row in tensors[at : at + MICROBATCH]]) for name in tensors[0]}
        for at in range(0, len(tensors), MICROBATCH)
    ]


def _build(options: argparse.Namespace, tokenizer: Tokenizer, dataset: Dataset, name: str, seed: int) -> Way:
    mesh = build_mesh(MeshShape(), "cpu")
    model = ModelConfig(
        architecture="bert",
        num_layers=options.layers,
        hidden_size=options.hidden,
        num_attention_heads=max(1, options.hidden // 64),
        max_position_embeddings=LENGTH,
        vocab_size=tokenizer.vocab_size,
        hidden_dropout=0.0,
        attention_dropout=0.0,
    )
    parts = build_model_parts(model, ParallelConfig(), mesh, CPU, torch.float32)
    initialize(parts, seed)
    schedule = OptimizerConfig(lr=options.lr, beta2=0.98, warmup_fraction=0.1)
    passes = distribute(parts, ParallelConfig(), mesh, compute_dtype=torch.float32, sequence_length=LENGTH)
    return Way(name, dataset, passes, build_optimizer(parts, schedule), schedule)


def _one_seed(
    options: argparse.Namespace, prefixes: dict[str, Path], tokenizer: Tokenizer, seed: int
) -> dict[str, dict[str, float]]:
    mesh = build_mesh(MeshShape(), "cpu")
    packed, single = (
        _build(options, tokenizer, _dataset(prefixes["train"], tokenizer, options, packing, seed), name, seed)
        for name, packing in (("packed", True), ("one sample per row", False))
    )
    for number in range(1, options.steps + 1):
        single.step(number, options.steps, mesh, None, options.rows)
        packed.step(number, options.steps, mesh, single.real_tokens, options.rows)
        if number % 50 == 0:
            shown = ", ".join(
                f"{way.name} {statistics.mean(way.losses[-50:]):.3f}" for way in (packed, single)
            )
            print(f"  seed {seed} step {number}: training loss {shown}", flush=True)
    validations = {
        name: _dataset(prefixes["validation"], tokenizer, options, packing, FIXED_SEED)
        for name, packing in (("one sample per row", False), ("packed rows", True))
    }
    found = {way.name: _measured(way, validations, options, mesh) for way in (packed, single)}
    for name, values in found.items():
        print(f"seed {seed}, {name}: " + ", ".join(f"{key} {value:,.4g}" for key, value in values.items()))
    return found


def _measured(
    way: Way, validations: dict[str, Dataset], options: argparse.Namespace, mesh: DeviceMesh
) -> dict[str, float]:
    losses = {
        f"{LOSS} on {name}": _loss(way, dataset, options, mesh) for name, dataset in validations.items()
    }
    return losses | {
        "real tokens": way.real_tokens,
        "rows of a step": way.rows / options.steps,
        "samples of a row": way.samples / way.rows,
        "fill": way.fill,
        "real tokens per CPU second": way.real_tokens / way.seconds,
    }


def _loss(way: Way, validation: Dataset, options: argparse.Namespace, mesh: DeviceMesh) -> float:
    rows = min(options.validation_rows, len(validation))
    numbers = np.array_split(np.arange(rows), math.ceil(rows / MICROBATCH))
    batches = (to_tensors(validation.evaluation_batch(part), 0, CPU) for part in numbers)
    result = evaluate(way.passes, batches, mesh)
    return (result.sums[0] / result.counts[0]).item()


def _summary(found: list[dict[str, dict[str, float]]], entropy: float) -> str:
    """Say in one line how losses and speeds compare."""

    def of(name: str, key: str) -> list[float]:
        return [seed[name][key] for seed in found]

    parts = [
        _compared(rows, of("packed", f"{LOSS} on {rows}"), of("one sample per row", f"{LOSS} on {rows}"))
        for rows in ("one sample per row", "packed rows")
    ]
    ratios = {
        key: statistics.mean(
            a / b for a, b in zip(of("packed", key), of("one sample per row", key), strict=True)
        )
        for key in ("fill", "real tokens per CPU second", "real tokens")
    }
    return (
        f"{'; '.join(parts)}; {len(found)} seeds, unigram entropy {entropy:.3f}; real tokens {ratios['real tokens']:.4f}; real "
        f"tokens per CPU second x {ratios['real tokens per CPU second']:.3f}, fill x {ratios['fill']:.3f}"
    )


def _compared(rows: str, packed: list[float], single: list[float]) -> str:
    """Say how the losses on one kind of validation rows compare: means and standard deviations over the seeds."""
    difference = statistics.mean(packed) - statistics.mean(single)
    spreads = [statistics.stdev(values) if len(values) > 1 else math.nan for values in (packed, single)]
    spread = math.sqrt(statistics.mean(value**2 for value in spreads))
    return (
        f"validated on {rows}: trained on packed {statistics.mean(packed):.4f} +- {spreads[0]:.4f}, on one sample per row "
        f"{statistics.mean(single):.4f} +- {spreads[1]:.4f}, difference {difference:+.4f} = {difference / spread:+.2f} deviations"
    )


if __name__ == "__main__":
    main()
