"""Is learning real? A small BERT against the unigram entropy of its validation tokens, split by document.

    python benchmarks/learning.py --documents abstracts.jsonl.xz --output build/learning

Trains a WordPiece vocabulary of 8,000 and the model of learning.yaml on two data-parallel ranks, then writes learning-curve.csv
beside this file and a row of results.csv. It can be interrupted and continues.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
from results_row import append_result

from megatron_bio.config.data import DataConfig
from megatron_bio.data.split import split_documents
from megatron_bio.tokens.indexed import IndexedReader

HERE = Path(__file__).resolve().parent
CLAIM = "validation masked-LM loss at least 1.8 nats under the unigram entropy within 12M tokens"


def main() -> None:
    """Prepare, train, compare, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", required=True, help="abstracts as JSONL, plain or compressed")
    parser.add_argument("--output", type=Path, default=Path("build/learning"))
    options = parser.parse_args()
    work = options.output
    vocabulary, tokens = work / "vocabulary", work / "tokens"
    if not tokens.with_name("tokens.json").exists():
        run(
            [
                "vocabulary",
                "train",
                "--inputs",
                options.documents,
                "--output",
                vocabulary,
                "--size",
                "8000",
                "--lowercase",
                "true",
            ]
        )
        run(["preprocess", "--inputs", options.documents, "--tokenizer", vocabulary, "--output", tokens])
    start = time.perf_counter()
    flags = ["--data.prefixes", tokens, "--data.tokenizer", vocabulary, "--training.output", work / "run"]
    run(["pretrain", "--config", HERE / "learning.yaml", *flags], ranks=2)
    seconds = time.perf_counter() - start
    entropy = unigram_entropy(work / "run", tokens)
    records = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()]
    seen = newest_info(work / "run")["tokens"]
    best = write_curve(records, entropy)
    print(
        f"{seen:,} tokens seen; unigram entropy {entropy:.3f}, loss {best:.3f}: {entropy - best:.3f} nats under it; "
        f"{seconds:.0f} s."
    )
    append_result(
        "learning",
        CLAIM,
        f"{entropy - best:.3f} nats under {entropy:.3f} after {seen / 1e6:.1f}M tokens",
        seconds,
    )


def run(words: list[str | Path], ranks: int = 0) -> None:
    """Run a verb of the command line, with torchrun where `ranks` says so."""
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks else []
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"} if ranks else None
    subprocess.run(
        [sys.executable, *launcher, "-m", "megatron_bio", *map(str, words)], check=True, env=environment
    )


def unigram_entropy(run_folder: Path, prefix: Path) -> float:
    """Return the entropy in nats of the tokens of the validation documents."""
    stored = yaml.safe_load((run_folder / "config.yaml").read_text())["data"]
    config = DataConfig(**stored | {"split": tuple(stored["split"])})
    reader = IndexedReader(prefix)
    bounds = reader.document_indices
    documents = split_documents(len(bounds) - 1, config.split, config.seed).validation
    tokens = np.concatenate([reader.sequences(int(bounds[d]), int(bounds[d + 1])) for d in documents])
    p = np.bincount(tokens) / len(tokens)
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def newest_info(run_folder: Path) -> dict[str, int]:
    """Return what the last checkpoint says of the run."""
    return json.loads((sorted((run_folder / "checkpoints").glob("step-*"))[-1] / "info.json").read_text())


def write_curve(records: list[dict[str, float]], entropy: float) -> float:
    """Write the curve and return the last validation loss."""
    with (HERE / "learning-curve.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["kind", "step", "masked_lm_loss", "nats_under_unigram_entropy", "masked_lm_accuracy"]
        )
        for r in records:
            loss = r["masked_lm_loss"]
            accuracy = f"{r['masked_lm_accuracy']:.4f}"
            writer.writerow([r["kind"], r["step"], f"{loss:.4f}", f"{entropy - loss:.4f}", accuracy])
    return [r["masked_lm_loss"] for r in records if r["kind"] == "validation"][-1]


if __name__ == "__main__":
    main()
