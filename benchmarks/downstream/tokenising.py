"""How fast are words tokenised and aligned with their labels, against the map of transformers' run_ner.py?

    python benchmarks/downstream/tokenising.py --data BC5CDR-chem --tokenizer bert-uncased/

Both sides make `input_ids` and `labels` of the training and development sentences, in turns, on one thread. The other side does
what the function of that script's `dataset.map` does: batches of 1,000 sentences through the tokenizer as words, cut at 128
pieces, then the label of each piece by its word. Rows are compared where neither side cut. Time is CPU time of the process.
"""

import argparse
import csv
import os
import platform
import subprocess
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from transformers import AutoTokenizer

from megatron_bio.downstream.readers.entity_forms import Sentence
from megatron_bio.downstream.tasks.form import LOSS_IGNORES
from megatron_bio.downstream.tasks.named_entities import ENTITY_SETTINGS, NamedEntityTask

HERE = Path(__file__).resolve().parent
CLAIM = "tokenising and aligning BC5CDR-chem at least 3 times as fast as the map of run_ner.py"
BATCH, MOST_PIECES, TURNS = 1000, 128, 5
Rows = list[tuple[list[int], list[int]]]


def main() -> None:
    """Time both sides in turns, compare their rows, record the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the IOB files")
    parser.add_argument("--tokenizer", required=True)
    options = parser.parse_args()
    files = sorted(path for path in options.data.iterdir() if path.is_file())
    task = NamedEntityTask("BC5CDR-chem")
    parts = task.read({"train": tuple(files)})
    sentences, labels = parts["train"].examples, task.labels(parts)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer, add_prefix_space=True)
    sides = {"ours": ours, "theirs": theirs}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    rows: dict[str, Rows] = {}
    for _ in range(TURNS):
        for name, side in sides.items():
            start = time.process_time()
            rows[name] = side(task, sentences, tokenizer, labels)
            seconds[name].append(time.process_time() - start)
    compared = check_equal(sentences, rows, tokenizer)
    ratio = median(seconds["theirs"]) / median(seconds["ours"])
    result = f"{ratio:.1f} times; {compared:,} of {len(sentences):,} sentences fit in a row and were compared, all equal"
    print(f"ours {median(seconds['ours']):.2f} s, theirs {median(seconds['theirs']):.2f} s of CPU: {result}")
    write_result(result, sum(map(sum, seconds.values())))


def ours(
    task: NamedEntityTask, sentences: tuple[Sentence, ...], tokenizer: Any, labels: tuple[str, ...]
) -> Rows:
    """The rows of `evaluate`, with an empty table of words each time."""
    settings = replace(ENTITY_SETTINGS, max_length=MOST_PIECES, label_pieces="first")
    features = task.encode(sentences, tokenizer, settings, labels, training=True).features
    return [(row["input_ids"], row["labels"]) for row in features]


def theirs(
    _: NamedEntityTask, sentences: tuple[Sentence, ...], tokenizer: Any, labels: tuple[str, ...]
) -> Rows:
    """What run_ner.py gives, the first piece of a word having its label."""
    numbers = {label: number for number, label in enumerate(labels)}
    rows: Rows = []
    for start in range(0, len(sentences), BATCH):
        batch = sentences[start : start + BATCH]
        encoded = tokenizer(
            [list(sentence.words) for sentence in batch],
            truncation=True,
            max_length=MOST_PIECES,
            is_split_into_words=True,
        )
        for place, sentence in enumerate(batch):
            previous, found = None, []
            for word in encoded.word_ids(batch_index=place):
                is_first = word is not None and word != previous
                found.append(numbers[sentence.tags[word]] if is_first else LOSS_IGNORES)
                previous = word
            rows.append((encoded["input_ids"][place], found))
    return rows


def check_equal(sentences: tuple[Sentence, ...], rows: dict[str, Rows], tokenizer: Any) -> int:
    """Compare the rows of sentences that both sides kept whole; returns how many. A word without pieces is `[UNK]` here only."""
    unknown = tokenizer.unk_token_id
    mine = iter(rows["ours"])
    compared = 0
    for sentence, (ids, labels) in zip(sentences, rows["theirs"], strict=True):
        if len(ids) == MOST_PIECES:
            covered = 0
            while covered < len(sentence.words):
                covered += sum(label != LOSS_IGNORES for label in next(mine)[1])
            continue
        found = next(mine)
        if found != (ids, labels):
            assert unknown in found[0], f"line {sentence.place}: {found} is not {(ids, labels)}"
            continue
        compared += 1
    return compared


def write_result(result: str, seconds: float) -> None:
    """Append a row to results.csv."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    machine = f"{os.cpu_count()} cores {platform.machine()}"
    with (HERE.parent / "results.csv").open("a", newline="") as file:
        row = [
            date.today().isoformat(),
            commit.stdout.strip(),
            machine,
            "downstream/tokenising",
            CLAIM,
            result,
            f"{seconds:.0f}",
        ]
        csv.writer(file).writerow(row)


if __name__ == "__main__":
    main()
