"""`megatron-bio score`: predictions beside gold data, as a table and as JSON."""

import json
import platform
from collections.abc import Iterator
from itertools import groupby

import megatron_bio
from megatron_bio.config.score import ScoreOptions
from megatron_bio.downstream.scorers import bioasq, chemprot, choice, named_entities, squad
from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.scorers.input_file import InputFile
from megatron_bio.downstream.whole_file import write_whole

_DIGITS = 2


def score(options: ScoreOptions) -> None:
    """Print the measures of the task, and write them to `options.output` if that is given."""
    gold, predictions = InputFile.read(options.gold), InputFile.read(options.predictions)
    probabilities = (
        InputFile.read(options.no_answer_probabilities) if options.no_answer_probabilities else None
    )
    scores = _scores(options, gold, predictions, probabilities)
    print("\n".join(table(scores)))
    if options.output is not None:
        files = {"gold": gold, "predictions": predictions, "no_answer_probabilities": probabilities}
        content = {
            "task": options.task,
            "options": _options_of_task(options),
            "scores": scores,
            **{name: {"path": str(file.path), "sha256": file.sha256} for name, file in files.items() if file},
            "versions": {"megatron_bio": megatron_bio.__version__, "python": platform.python_version()},
        }
        write_whole(options.output, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        print(f"\nWrote {options.output}.")


def _scores(
    options: ScoreOptions, gold: InputFile, predictions: InputFile, probabilities: InputFile | None
) -> Scores:
    if options.task == "ner":
        return named_entities.score_files(gold, predictions)
    if options.task == "chemprot":
        return chemprot.score_files(gold, predictions)
    if options.task == "squad":
        return squad.score_squad_files(gold, predictions)
    if options.task == "squad2":
        return squad.score_squad2_files(gold, predictions, probabilities, options.no_answer_threshold)
    if options.task == "bioasq":
        return bioasq.score_files(gold, predictions, options.question_types)
    return choice.score_files(gold, predictions, options.labels)


def _options_of_task(options: ScoreOptions) -> dict[str, object]:
    used: dict[str, dict[str, object]] = {
        "squad2": {"no_answer_threshold": options.no_answer_threshold},
        "bioasq": {"question_types": options.question_types},
        "choice": {"labels": options.labels},
    }
    return used.get(options.task, {})


def table(scores: Scores) -> list[str]:
    """Return lines with a row for each name; a new heading stands where the measures change."""
    rows = list(_rows(scores))
    names = max(len(name) for name, _ in rows)
    lines: list[str] = []
    for heading, group in groupby(rows, key=lambda named: tuple(named[1])):
        cells = [("", heading), *((name, tuple(map(_cell, row.values()))) for name, row in group)]
        widths = [max(map(len, column)) for column in zip(*(texts for _, texts in cells), strict=True)]
        lines += [""] if lines else []
        lines += [
            "  ".join(
                [f"{name:<{names}}", *(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))]
            )
            for name, texts in cells
        ]
    return lines


def _cell(value: float) -> str:
    return f"{value:,.{_DIGITS}f}" if isinstance(value, float) else f"{value:,}"


def _rows(scores: Scores) -> Iterator[tuple[str, dict[str, float | int]]]:
    for name, value in scores.items():
        if any(isinstance(measure, dict) for measure in value.values()):
            yield from ((inner or "(no type)", row) for inner, row in value.items())
        elif value:
            yield name, value
