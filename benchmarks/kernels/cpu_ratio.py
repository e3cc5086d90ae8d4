"""CPU seconds of a training step in two checkouts, in turn, in one run: what the ways of the kernels cost where none runs.

    python benchmarks/kernels/cpu_ratio.py BEFORE AFTER

BEFORE and AFTER are folders of checkouts. A process of each makes the same steps of a small BERT with dropout on one thread; the
losses must be the same bits.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS, STEPS = 12, 3
WORKER = """
import sys, time, torch
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.parallel.parameters import initialize
from megatron_bio.parallel.mesh import single_process_mesh
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import train_step
from tests.distributed.batches import bert_batch
from megatron_bio.kernels.dropout import sample_keys
torch.set_num_threads(1)
mesh, cpu = single_process_mesh(), torch.device("cpu")
model = ModelConfig(num_layers=6, hidden_size=128, num_attention_heads=4, max_position_embeddings=16, vocab_size=250)
parts = build_model_parts(model, ParallelConfig(), mesh, cpu, torch.float32)
initialize(parts, 0)
passes = distribute(parts, ParallelConfig(), mesh, compute_dtype=torch.float32, sequence_length=16)
optimizer = build_optimizer(parts, OptimizerConfig())
for line in sys.stdin:
    start, losses = time.process_time(), []
    for step in range(int(line)):
        batch = bert_batch(step)
        batch["dropout_keys"] = sample_keys(0, batch.pop("sample_ids"))
        result = train_step(passes, optimizer, [batch], mesh, lr=1e-4, clip_grad=1.0)
        losses.append(result.sums[0].item().hex())
    print(time.process_time() - start, *losses, flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a process that makes as many steps as each line says."""
    pipe = subprocess.PIPE
    environment = {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=pipe, stdout=pipe, text=True, cwd=folder, env=environment
    )


def steps(process: subprocess.Popen[str]) -> tuple[float, list[str]]:
    """Return the CPU seconds of STEPS steps and their losses."""
    assert process.stdin and process.stdout
    print(STEPS, file=process.stdin, flush=True)
    seconds, *losses = process.stdout.readline().split()
    return float(seconds), losses


def main() -> None:
    """Alternate between the checkouts and print the ratio of the medians and of the least."""
    parser = argparse.ArgumentParser()
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    processes = [start(folder.resolve()) for folder in (options.before, options.after)]
    seconds: list[list[float]] = [[], []]
    for number in range(ROUNDS + 1):
        order = (0, 1) if number % 2 else (1, 0)
        done = {which: steps(processes[which]) for which in order}
        if done[0][1] != done[1][1]:
            raise SystemExit(f"the losses differ in round {number}: {done[0][1]} and {done[1][1]}")
        if number:  # the first round warms up
            for which in order:
                seconds[which].append(done[which][0] / STEPS)
    for process in processes:
        process.communicate("")
    before, after = seconds
    print(
        f"CPU seconds of a step: {statistics.median(before):.4f} before, {statistics.median(after):.4f} after; ratio "
        f"{statistics.median(after) / statistics.median(before):.3f} of the medians, {min(after) / min(before):.3f} of the least; "
        f"{ROUNDS} rounds of {STEPS} steps in turn, same losses bit for bit"
    )


if __name__ == "__main__":
    main()
