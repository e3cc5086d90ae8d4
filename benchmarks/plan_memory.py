"""Does a real run need the memory that `megatron-bio plan` says? biomegatron-345m on two CPU ranks that share every layer.

    python benchmarks/plan_memory.py --output build/plan-memory

Writes synthetic documents, trains a vocabulary of 29,056 and the published shape for a few steps through torchrun and the command
line, and compares the peak of each process, over what it had before the model was built, with the plan. Needs about 10 GB and ten
minutes on two cores. The result is one row of results.csv.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from results_row import append_result

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VOCABULARY, LENGTH, ROWS, BATCH, STEPS, RANKS = 29_056, 128, 8, 16, 2, 2
CLAIM = "peak memory of biomegatron-345m at tensor_parallel 2 within 15 % of the plan"
LARGEST_DEVIATION = 0.15


def main() -> None:
    """Prepare, train, compare, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("build/plan-memory"))
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options = parser.parse_args()
    work: Path = options.output
    prepare(work)
    start = time.perf_counter()
    run_folder = work / f"run-{options.precision}"
    train(work, run_folder, options.precision)
    seconds = time.perf_counter() - start
    predicted = planned(options.precision)
    measured = [
        json.loads((run_folder / f"memory-{rank}.json").read_text(encoding="utf-8")) for rank in range(RANKS)
    ]
    peak = max(one["peak"] - one["before"] for one in measured)
    ratio = predicted["total"] / peak
    for name, size in predicted.items():
        print(f"plan      {name:12} {size / 2**30:6.2f} GiB")
    for rank, one in enumerate(measured):
        print(
            f"rank {rank}    {one['steps']} steps, {(one['peak'] - one['before']) / 2**30:.2f} GiB over {one['before'] / 2**30:.2f}"
        )
    append_result(
        "plan_memory",
        CLAIM,
        f"plan {predicted['total'] / 2**30:.2f} GiB, measured {peak / 2**30:.2f} GiB ({options.precision})",
        seconds,
    )
    if abs(ratio - 1) > LARGEST_DEVIATION:
        sys.exit(f"plan / measured = {ratio:.2f}, more than {LARGEST_DEVIATION:.0%} off")


def prepare(work: Path) -> None:
    """Write documents of made-up words, the vocabulary and the token data, unless they are there."""
    work.mkdir(parents=True, exist_ok=True)
    documents, vocabulary, tokens = work / "documents.jsonl", work / "vocabulary", work / "tokens"
    if tokens.with_name("tokens.json").exists():
        return
    draw = random.Random(0)
    syllables = [
        first + second for first in "bcdfghklmnprstvz" for second in ("a", "e", "i", "o", "u", "an", "ol")
    ]
    words = ["".join(draw.choices(syllables, k=draw.randint(2, 4))) for _ in range(40_000)]
    with documents.open("w", encoding="utf-8") as file:
        for number in range(4_000):
            text = " ".join(
                " ".join(draw.choices(words, k=draw.randint(6, 14))).capitalize() + "." for _ in range(8)
            )
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")
    given = ["--inputs", str(documents)]
    verb(["vocabulary", "train", *given, "--output", str(vocabulary), "--size", str(VOCABULARY)])
    verb(["preprocess", *given, "--tokenizer", str(vocabulary), "--output", str(tokens)])


def train(work: Path, run_folder: Path, precision: str) -> None:
    """Run `megatron-bio pretrain` on two ranks, each with the watch below."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)),
        *(str(HERE / "plan_memory_rank.py"), str(run_folder), "pretrain"),
        *("--model.preset", "biomegatron-345m", "--data.prefixes", str(work / "tokens")),
        *("--data.tokenizer", str(work / "vocabulary"), "--data.sequence_length", str(LENGTH)),
        *("--parallel.tensor_parallel", str(RANKS), "--training.output", str(run_folder)),
        *("--training.train_steps", str(STEPS), "--training.global_batch_size", str(BATCH)),
        *("--training.micro_batch_size", str(ROWS), "--training.precision", precision),
        *("--training.log_interval", "1", "--training.evaluation_rows", str(ROWS)),
        *("--training.device", "cpu"),
    ]
    subprocess.run(command, check=True, env=environment())


def planned(precision: str) -> dict[str, int]:
    """Return what `megatron-bio plan` says of this layout, in bytes."""
    words = [
        *("plan", "--json", "--model.preset", "biomegatron-345m", "--model.vocab_size", str(VOCABULARY)),
        *("--sequence_length", str(LENGTH), "--global_batch_size", str(BATCH), "--precision", precision),
        *("--tensor_parallel", str(RANKS), "--pipeline_parallel", "1", "--micro_batch_size", str(ROWS)),
        *("--recompute", "none", "--cluster.gpu", "A100-80GB", "--cluster.gpus", str(RANKS)),
    ]
    found = json.loads(verb(words))
    memory: dict[str, int] = found["layouts"][0]["memory"]
    return memory


def verb(words: list[str]) -> str:
    """Run a verb and return what it printed."""
    command = [sys.executable, "-m", "megatron_bio", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment()).stdout


def environment() -> dict[str, str]:
    """Return the environment with this checkout first.

    glibc keeps what is freed below its growing threshold; tensors are to be returned, or the peak would count the gaps between
    them.
    """
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    return os.environ | own


if __name__ == "__main__":
    main()
