"""Is what pretraining gives real? A small BERT pretrained on real abstracts against the same model with random weights.

    python benchmarks/downstream/learning.py --documents abstracts.jsonl.xz --data benchmarks --output build/downstream

Trains a vocabulary of 8,000 and the model of learning.yaml on two ranks, then fine-tunes it and its random twin on NCBI-disease,
BC5CDR and ChemProt: the same grid over learning rate and epochs, decided by development data, then three seeds. Writes learning.csv
(every epoch of every run) beside this file and a row of results.csv for each task. It can be interrupted and continues.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from results_row import append_result

HERE = Path(__file__).resolve().parent
GRIDS = {
    ("NCBI-disease", "BC5CDR"): ["--learning_rates", "5e-4", "2e-3", "--epochs", "4", "8"],
    ("ChemProt",): ["--learning_rates", "5e-4", "2e-3", "--epochs", "2"],
}
FINE_TUNING = ["--seeds", "1", "2", "3", "--batch_sizes", "32", "--head_layers", "1", "--head_dropout", "0.1"]
CLAIM = "{task}: the pretrained model's development {measure} is above the random one's by more than the deviation over 3 seeds"


def main() -> None:
    """Pretrain, fine-tune both, compare, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", required=True, help="abstracts as JSONL, plain or compressed")
    parser.add_argument("--data", required=True, help="folder with the benchmarks")
    parser.add_argument("--output", type=Path, default=Path("build/downstream"))
    options = parser.parse_args()
    work: Path = options.output
    pretrain(options.documents, work)
    results = {}
    for name, flags in (("pretrained", []), ("random", ["--random_weights", "true"])):
        for tasks, grid in GRIDS.items():
            named = [
                "--model",
                work / "model",
                "--name",
                name,
                "--output",
                work / name,
                "--data_dir",
                options.data,
            ]
            run(["evaluate", *named, "--tasks", *tasks, *FINE_TUNING, *grid, *flags])
        results[name] = json.loads((work / name / "results.json").read_text())["tasks"]
    write_curves(results)
    for task in results["random"]:
        compare(task, results)


def pretrain(documents: str, work: Path) -> None:
    """Vocabulary, tokens, run, Hugging Face folder."""
    vocabulary, tokens = work / "vocabulary", work / "tokens"
    if not (work / "tokens.json").exists():
        run(
            [
                "vocabulary",
                "train",
                "--inputs",
                documents,
                "--output",
                vocabulary,
                "--size",
                "8000",
                "--lowercase",
                "true",
            ]
        )
        run(["preprocess", documents, "--tokenizer", vocabulary, "--output", tokens])
    flags = ["--data.prefixes", tokens, "--data.tokenizer", vocabulary, "--training.output", work / "run"]
    run(["pretrain", "--config", HERE / "learning.yaml", *flags], ranks=2)
    run(["convert", "--checkpoint", work / "run", "--output", work / "model"])


def run(words: list[Any], ranks: int = 0) -> None:
    """Run a verb of the command line, with torchrun where `ranks` says so."""
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks else []
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, *launcher, "-m", "megatron_bio", *map(str, words)], check=True, env=environment
    )


def write_curves(results: dict[str, dict[str, Any]]) -> None:
    """Every epoch of the repeated runs."""
    with (HERE / "learning.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["task", "model", "learning_rate", "seed", "epoch", "training_loss", "development_measure"]
        )
        for model, tasks in results.items():
            for task, result in tasks.items():
                rate = result["protocol"]["settings"]["learning_rate"]
                for one in result["runs"]:
                    for point in one["curve"]:
                        numbers = [f"{point['epoch']:g}", f"{point['loss']:.4f}", f"{point['measure']:.2f}"]
                        writer.writerow([task, model, rate, one["seed"], *numbers])


def compare(task: str, results: dict[str, dict[str, Any]]) -> None:
    """Print the two means and append a row to results.csv."""
    measure = "/".join(results["random"][task]["main_measure"])
    pretrained, random = (
        results[model][task]["summary"]["development"][measure] for model in ("pretrained", "random")
    )
    result = (
        f"{pretrained['mean']:.2f} ± {pretrained['deviation']:.2f} pretrained, "
        f"{random['mean']:.2f} ± {random['deviation']:.2f} random"
    )
    seconds = sum(one["seconds"] for model in results.values() for one in model[task]["runs"])
    print(f"{task}, {measure}: {result}")
    append_result("downstream/learning", CLAIM.format(task=task, measure=measure), result, seconds)


if __name__ == "__main__":
    main()
