"""The whole way in minutes on a CPU: PubMed XML -> corpus -> token data -> parallel pretraining -> Hugging Face model.

    make quickstart                                     BERT on the bundled sample of fictional records
    make quickstart MODEL=gpt                           GPT-2 instead
    make quickstart PUBMED="pubmed26n0001.xml.gz …"     your own PubMed files

Every step is a command that you could type yourself; it is printed before it runs. Steps that are done are not run again;
interrupted, the same command continues.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import yaml
from report import write_report
from steps import Step, StepFailedError, run_steps

HERE = Path(__file__).resolve().parent
SAMPLE = HERE / "sample" / "pubmed-sample.xml.gz"
VOCABULARY = {"bert": "--type wordpiece --size 4000 --lowercase true", "gpt": "--type bpe --size 4000"}
# The run itself sets documents aside for validation, so the corpus is not split.
NOT_SPLIT = "--split 1 0 0"
# The bundled texts are made from patterns, so many share sentences; in real ones that is a sign of a copy.
KEEP_COPIES = "--near_duplicate_similarity 0 --copied_sentence_fraction 0"
STOP_AFTER = 0.2  # of the steps on the first layout, the rest on the second


def main() -> int:
    """Run the steps and write the report; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=("bert", "gpt"), default="bert", help="architecture to train")
    parser.add_argument(
        "--pubmed", nargs="+", default=[str(SAMPLE)], help="PubMed XML files, .xml or .xml.gz"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("build/quickstart"), help="folder for all results"
    )
    parser.add_argument(
        "--recipe", type=Path, help="YAML of the training run (default: the model's, beside this file)"
    )
    options = parser.parse_args()
    # `make` passes PUBMED through a shell, which has expanded patterns already.
    files = sorted(set(options.pubmed))
    if missing := [name for name in files if not Path(name).is_file()]:
        print(
            f"quickstart: error: no such file: {', '.join(missing)}; set PUBMED to PubMed XML files.",
            file=sys.stderr,
        )
        return 1
    recipe = options.recipe or HERE / f"{options.model}.yaml"
    work = options.output / f"{options.model}-{_fingerprint([*files, str(recipe)])}"
    work.mkdir(parents=True, exist_ok=True)
    print(f"Everything is written to {work}.", flush=True)
    try:
        records = run_steps(_steps(options.model, files, recipe, work), work)
    except StepFailedError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return error.status
    report = write_report(work, options.model, files, records)
    print(
        f"\nDone. Open {report} for the loss curve and the numbers; the model is in {work / 'hugging_face'}."
    )
    return 0


def _steps(model: str, files: list[str], recipe: Path, work: Path) -> list[Step]:
    documents, corpus = work / "documents.jsonl.zst", work / "corpus"
    shards = corpus / "train" / "documents-*.jsonl.zst"
    vocabulary, tokens = work / "vocabulary", work / "tokens" / "pubmed"
    build = NOT_SPLIT if files != [str(SAMPLE)] else f"{NOT_SPLIT} {KEEP_COPIES}"
    run, exported, numbers = work / "run", work / "hugging_face", work / "numbers.json"
    train_steps = yaml.safe_load(recipe.read_text(encoding="utf-8"))["training"]["train_steps"]
    stop = str(max(1, round(STOP_AFTER * train_steps)))
    pretrain = [
        *words("torchrun --standalone --nproc-per-node 2 -m megatron_bio pretrain --config"),
        *(recipe, "--data.prefixes", tokens, "--data.tokenizer", vocabulary, "--training.output", run),
    ]
    return [
        Step(
            "read PubMed XML",
            [*words("megatron-bio extract pubmed"), *map(Path, files), "--output", documents],
            documents,
        ),
        Step(
            "clean, filter and deduplicate",
            [*words("megatron-bio corpus build"), documents, "--output", corpus, *words(build)],
            corpus / "manifest.json",
        ),
        Step(
            "train a vocabulary",
            [
                *words("megatron-bio vocabulary train --inputs"),
                *(shards, "--output", vocabulary, *words(VOCABULARY[model])),
            ],
            vocabulary / "tokenizer.json",
        ),
        Step(
            "write Megatron-format .bin and .idx",
            [
                *words("megatron-bio preprocess --inputs"),
                *(shards, "--tokenizer", vocabulary, "--output", tokens),
            ],
            tokens.with_suffix(".json"),
        ),
        Step(
            "pretrain on two ranks that share every layer",
            [*pretrain, *words("--parallel.tensor_parallel 2 --training.stop_at_step"), stop],
            run / "checkpoints",
        ),
        Step(
            "resume the same run on two data-parallel ranks",
            [*pretrain, *words("--parallel.tensor_parallel 1")],
            run / "checkpoints",
        ),
        Step(
            "export to Hugging Face and compare the logits",
            [*words("megatron-bio convert --checkpoint"), run, "--output", exported],
            exported / "config.json",
        ),
        Step(
            "try the exported model with plain transformers",
            ["python", HERE / "try_model.py", "--run", run, "--model", exported, "--output", numbers],
            numbers,
        ),
    ]


def words(text: str) -> list[str]:
    """Split the fixed part of a command."""
    return text.split()


def _fingerprint(files: list[str]) -> str:
    """Name the inputs by path, size and time, so that other files get another folder."""
    digest = hashlib.sha256()
    for name in files:
        status = Path(name).stat()
        digest.update(f"{Path(name).resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:8]


if __name__ == "__main__":
    sys.exit(main())
