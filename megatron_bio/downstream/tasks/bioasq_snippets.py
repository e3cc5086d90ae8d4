"""Factoid and list questions of BioASQ: read in snippets one by one, answered by what was found in all of them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.readers.bioasq import NO_EXACT_ANSWER, read_bioasq
from megatron_bio.downstream.readers.question_forms import Answer, BioASQQuestion, SpanQuestion
from megatron_bio.downstream.readers.squad import read_squad
from megatron_bio.downstream.scorers.bioasq import Question, score_bioasq
from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.tasks.form import Encoded, Examples, Logits, PartName
from megatron_bio.downstream.tasks.parts import (
    names_of,
    once,
    opened,
    used,
    with_development,
    without_overlap,
)
from megatron_bio.downstream.tasks.span_decoding import best_answers
from megatron_bio.downstream.tasks.span_windows import Reading, WindowPlace
from megatron_bio.downstream.whole_file import write_json
from megatron_bio.tokens.data_file import DataFile, Fields

QuestionKind = Literal["factoid", "list"]
BLANK_SNIPPET = "blank snippet"
REPEATED_SNIPPET = "snippet that its question has already"
NOTHING_TO_READ = "question without snippets: kept, and answered by nothing"
IN_NO_SNIPPET = "training question whose answers are in no snippet"

LONGEST_ANSWER = 100
"""Characters; BioASQ takes no longer ones."""
_NUMBER_OF_SNIPPET = re.compile(r"_\d{3}$")


@dataclass(frozen=True, kw_only=True, slots=True)
class SnippetQuestion:
    """A question, the distinct snippets to read for it, and where its answers are in them."""

    id: str
    kind: QuestionKind
    question: str
    answers: tuple[tuple[str, ...], ...]
    """As in `BioASQQuestion`."""
    snippets: tuple[str, ...]
    places: tuple[tuple[int, Answer], ...]
    """Index in `snippets`, and an answer's first place in it: what training learns."""
    batch: str
    """Name of the file, as `6B1`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedAnswer:
    """An answer that was found in some snippets."""

    text: str
    probability: float
    """Sum over snippets, so it may be more than 1."""


def read_questions(
    files: Mapping[PartName, Sequence[Path]], kind: QuestionKind
) -> dict[PartName, Examples[SnippetQuestion]]:
    """Read golden or training files of BioASQ, and files in SQuAD's form, all of whose questions are taken to be of `kind`.

    Training questions that are in another part are left out and counted: BioASQ's training files have those of earlier years'
    tests. A development part, if there is none, is a tenth of the training questions. Raises DamagedFileError with file and
    place, and ConfigurationError for a part without questions of `kind` and an id that is twice in one part.
    """
    parts: dict[PartName, Examples[SnippetQuestion]] = {
        part: _part(found, kind, part) for part, found in opened(files).items()
    }
    return with_development(without_overlap(parts, _id), _id)


def training_readings(examples: Sequence[SnippetQuestion]) -> list[Reading]:
    """One for each place of an answer."""
    return [
        Reading(
            example=index,
            text=snippet,
            question=question.question,
            context=question.snippets[snippet],
            answer=answer,
        )
        for index, question in enumerate(examples)
        for snippet, answer in question.places
    ]


def readings(examples: Sequence[SnippetQuestion]) -> list[Reading]:
    """One for each snippet; a question without any has one with an empty text."""
    return [
        Reading(example=index, text=text, question=question.question, context=snippet)
        for index, question in enumerate(examples)
        for text, snippet in enumerate(question.snippets or ("",))
    ]


def merged_answers(
    examples: Sequence[SnippetQuestion], encoded: Encoded[WindowPlace], outputs: Sequence[Logits]
) -> tuple[tuple[NamedAnswer, ...], ...]:
    """The answers of each question, the most probable first.

    Probabilities of one snippet's answers sum to 1. Those of the same text in any case of letters are added, over places and
    snippets, as BioBERT's authors do for BioASQ (W. Yoon et al. 2019, arXiv 1909.08229); the likeliest spelling is kept.
    """
    windows: dict[tuple[int, int], list[tuple[WindowPlace, Logits]]] = defaultdict(list)
    for place, logits in zip(encoded.places, outputs, strict=True):
        windows[place.example, place.text].append((place, logits))
    found: list[dict[str, list[NamedAnswer]]] = [defaultdict(list) for _ in examples]
    for (example, text), of_snippet in windows.items():
        snippets = examples[example].snippets
        for answer in best_answers(snippets[text], of_snippet).answers if snippets else ():
            if name := tidied(answer.text):
                found[example][name.casefold()].append(NamedAnswer(text=name, probability=answer.probability))
    return tuple(_summed(of_question.values()) for of_question in found)


def _summed(groups: Iterable[list[NamedAnswer]]) -> tuple[NamedAnswer, ...]:
    answers = [
        NamedAnswer(
            text=max(group, key=lambda answer: answer.probability).text,
            probability=sum(answer.probability for answer in group),
        )
        for group in groups
    ]
    return tuple(sorted(answers, key=lambda answer: (-answer.probability, answer.text)))


def tidied(answer: str) -> str:
    """An answer without the full stop or comma that ends it and without brackets around all of it.

    Empty if one bracket of a pair is missing, or if it has more than `LONGEST_ANSWER` characters: a fragment, not a name.
    """
    name = answer.strip().rstrip(".,").rstrip()
    if name.startswith("(") and name.endswith(")") and name.count("(") == name.count(")") == 1:
        name = name[1:-1].strip()
    return "" if ("(" in name) != (")" in name) or len(name) > LONGEST_ANSWER else name


def score_answers(
    examples: Sequence[SnippetQuestion], answers: Sequence[Sequence[str]], kind: QuestionKind
) -> Scores:
    """BioASQ's measures of all questions together, under `kind`, and of each file alone, under `by_batch`."""
    batches: dict[str, list[int]] = defaultdict(list)
    for index, question in enumerate(examples):
        batches[question.batch].append(index)

    def row(indices: Sequence[int]) -> Any:
        gold = {
            examples[index].id: Question(kind, [_lower(names) for names in examples[index].answers])
            for index in indices
        }
        given = {examples[index].id: [_lower((name,)) for name in answers[index]] for index in indices}
        return score_bioasq(gold, given)[kind]

    return {
        kind: row(range(len(examples))),
        "by_batch": {batch: row(indices) for batch, indices in batches.items()},
    }


def write_answers(
    examples: Sequence[SnippetQuestion], answers: Sequence[Sequence[str]], folder: Path
) -> None:
    """Write `gold.json` and, in the form of a submission to BioASQ, `predictions.json`; of each file too if there are several."""
    pairs = list(zip(examples, answers, strict=True))
    batches = {question.batch for question in examples}
    for batch in batches if len(batches) > 1 else ():
        _write([(question, given) for question, given in pairs if question.batch == batch], folder / batch)
    _write(pairs, folder)


def _write(pairs: Sequence[tuple[SnippetQuestion, Sequence[str]]], folder: Path) -> None:
    for file, of_file in (
        ("gold", [list(map(list, question.answers)) for question, _ in pairs]),
        ("predictions", [[[name] for name in given] for _, given in pairs]),
    ):
        questions = [
            {"id": question.id, "type": question.kind, "body": question.question, "exact_answer": answer}
            for (question, _), answer in zip(pairs, of_file, strict=True)
        ]
        write_json(folder / f"{file}.json", {"questions": questions})


def _lower(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def _id(question: SnippetQuestion) -> str:
    return question.id


def _part(files: Sequence[DataFile], kind: QuestionKind, part: PartName) -> Examples[SnippetQuestion]:
    left_out: Counter[str] = Counter()
    found = [question for file in files for question in _questions(file, kind, left_out)]
    if part == "train":
        # Training files of two forms overlap; the first one that has a question gives it.
        found = list({question.id: question for question in reversed(found)}.values())[::-1]
    questions = once(((question.id, question) for question in found), names_of(files))
    if not questions:
        raise ConfigurationError(
            f"{names_of(files)}: expected {kind} questions with exact answers, found none. Test sets without answers "
            "cannot be scored or trained on."
        )
    if part == "train":
        left_out[IN_NO_SNIPPET] += sum(not question.places for question in questions.values())
        questions = {name: question for name, question in questions.items() if question.places}
    left_out[NOTHING_TO_READ] += sum(not question.snippets for question in questions.values())
    return Examples(
        examples=tuple(questions.values()), files=tuple(map(used, files)), left_out=dict(+left_out)
    )


def _questions(file: DataFile, kind: QuestionKind, left_out: Counter[str]) -> Iterator[SnippetQuestion]:
    batch = file.path.name.partition(".")[0].removesuffix("_golden")
    if "data" in Fields(file, "", file.json()).values:
        by_id: dict[str, list[SpanQuestion]] = defaultdict(list)
        for span in read_squad(file).questions:
            by_id[_NUMBER_OF_SNIPPET.sub("", span.id)].append(span)
        for name, spans in by_id.items():
            if any(span.answers for span in spans):
                yield _of_spans(name, spans, kind, batch, left_out)
            else:
                left_out[NO_EXACT_ANSWER] += 1
        return
    for question in read_bioasq(file).questions:
        if question.type == kind and not question.answers:
            left_out[NO_EXACT_ANSWER] += 1
        elif question.type == kind:
            yield _of_snippets(question, kind, batch, left_out)


def _of_spans(
    name: str, spans: Sequence[SpanQuestion], kind: QuestionKind, batch: str, left_out: Counter[str]
) -> SnippetQuestion:
    """All texts of a factoid name one thing; those of a list are things of their own, as the form says no more."""
    names = tuple(dict.fromkeys(answer.text for span in spans for answer in span.answers))
    snippets = _distinct([span.context for span in spans], left_out, count_repeated=False)
    return SnippetQuestion(
        id=name,
        kind=kind,
        question=spans[0].question,
        answers=((names,) if names else ()) if kind == "factoid" else tuple((text,) for text in names),
        snippets=snippets,
        places=_places(snippets, spans),
        batch=batch,
    )


def _of_snippets(
    question: BioASQQuestion, kind: QuestionKind, batch: str, left_out: Counter[str]
) -> SnippetQuestion:
    snippets = _distinct([snippet.text for snippet in question.snippets], left_out, count_repeated=True)
    return SnippetQuestion(
        id=question.id,
        kind=kind,
        question=question.question,
        answers=question.answers,
        snippets=snippets,
        places=_places(snippets, question.as_span_questions()),
        batch=batch,
    )


def _distinct(texts: Sequence[str], left_out: Counter[str], count_repeated: bool) -> tuple[str, ...]:
    filled = [text for text in texts if text.strip()]
    distinct = tuple(dict.fromkeys(filled))
    left_out[BLANK_SNIPPET] += len(texts) - len(filled)
    left_out[REPEATED_SNIPPET] += (len(filled) - len(distinct)) if count_repeated else 0
    return distinct


def _places(snippets: tuple[str, ...], spans: Sequence[SpanQuestion]) -> tuple[tuple[int, Answer], ...]:
    number = {text: index for index, text in enumerate(snippets)}
    found = ((number[span.context], answer) for span in spans for answer in span.answers)
    return tuple(dict.fromkeys(found))
