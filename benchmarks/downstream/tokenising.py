"""How fast are words tokenised and aligned with their labels, against the map of transformers' run_ner.py?

    python benchmarks/downstream/tokenising.py --data BC5CDR-chem --tokenizer bert-uncased/

Both sides make `input_ids` and `labels` of the training and development sentences, in turns, on one thread. The other side does
what the function of that script's `dataset.map` does: batches of 1,000 sentences through the tokenizer as words, cut at 128
pieces, then the label of each piece by its word. As in `map`, a batch is let go before the next; the files that `map` writes are
not counted. Ours keeps all rows and turns Python's collector of cycles off, as `evaluate` does; how much of the ratio that is, a
second measurement says, without the collector on either side. Nothing is held from one measurement to the next, since the
collector would go through it. Rows are compared where neither side cut. Time is CPU time of the process.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from results_row import append_result
from transformers import AutoTokenizer

from megatron_bio.downstream.readers.entity_forms import Sentence
from megatron_bio.downstream.tasks.collection import no_collection
from megatron_bio.downstream.tasks.form import LOSS_IGNORES
from megatron_bio.downstream.tasks.named_entities import ENTITY_SETTINGS, NamedEntityTask

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
    measurements = {
        "ours": lambda: ours(task, sentences, tokenizer, labels),
        "theirs": lambda: last_of(theirs(sentences, tokenizer, labels)),
        "theirs without collector": lambda: without_collector(sentences, tokenizer, labels),
    }
    seconds: dict[str, list[float]] = {name: [] for name in measurements}
    for _ in range(TURNS):
        for name, work in measurements.items():
            gc.collect()
            start = time.process_time()
            rows = work()
            seconds[name].append(time.process_time() - start)
            del rows
    expected = [row for batch in theirs(sentences, tokenizer, labels) for row in batch]
    compared = check_equal(sentences, ours(task, sentences, tokenizer, labels), expected)
    own, other, strict = (median(seconds[name]) for name in measurements)
    result = (
        f"{Path(options.tokenizer).name}: {other / own:.1f} times ({own:.2f} / {other:.2f} s of CPU), "
        f"{strict / own:.1f} without the collector on either side; "
        f"{compared:,} of {len(sentences):,} sentences fit in a row and were compared, all equal"
    )
    print(result)
    append_result("downstream/tokenising", CLAIM, result, sum(map(sum, seconds.values())))


def last_of(batches: Iterator[Rows]) -> Rows:
    """Go through all, holding one."""
    rows: Rows = []
    for batch in batches:
        rows = batch
    return rows


def without_collector(sentences: tuple[Sentence, ...], tokenizer: Any, labels: tuple[str, ...]) -> Rows:
    """The other side with what ours has."""
    with no_collection():
        return last_of(theirs(sentences, tokenizer, labels))


def ours(
    task: NamedEntityTask, sentences: tuple[Sentence, ...], tokenizer: Any, labels: tuple[str, ...]
) -> Rows:
    """The rows of `evaluate`, with an empty table of words each time."""
    settings = replace(ENTITY_SETTINGS, max_length=MOST_PIECES, label_pieces="first")
    features = task.encode(sentences, tokenizer, settings, labels, training=True).features
    return [(row["input_ids"], row["labels"]) for row in features]


def theirs(sentences: tuple[Sentence, ...], tokenizer: Any, labels: tuple[str, ...]) -> Iterator[Rows]:
    """What run_ner.py gives, batch by batch, the first piece of a word having its label."""
    numbers = {label: number for number, label in enumerate(labels)}
    for start in range(0, len(sentences), BATCH):
        batch = sentences[start : start + BATCH]
        encoded = tokenizer(
            [list(sentence.words) for sentence in batch],
            truncation=True,
            max_length=MOST_PIECES,
            is_split_into_words=True,
        )
        rows: Rows = []
        for place, sentence in enumerate(batch):
            previous, found = None, []
            for word in encoded.word_ids(batch_index=place):
                is_first = word is not None and word != previous
                found.append(numbers[sentence.tags[word]] if is_first else LOSS_IGNORES)
                previous = word
            rows.append((encoded["input_ids"][place], found))
        yield rows


def check_equal(sentences: tuple[Sentence, ...], rows: Rows, expected: Rows) -> int:
    """Compare the rows of sentences that both sides kept whole; returns how many."""
    mine = iter(rows)
    compared = 0
    for sentence, (ids, labels) in zip(sentences, expected, strict=True):
        if len(ids) == MOST_PIECES:
            covered = 0
            while covered < len(sentence.words):
                covered += sum(label != LOSS_IGNORES for label in next(mine)[1])
            continue
        found = next(mine)
        if found != (ids, labels):
            raise ValueError(f"line {sentence.place}: {found} is not {(ids, labels)}")
        compared += 1
    if next(mine, None) is not None:
        raise ValueError("more rows than sentences and their windows")
    return compared


if __name__ == "__main__":
    main()
