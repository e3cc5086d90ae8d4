"""A file in each form → the counts that `data check` shows."""

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from megatron_bio.downstream.data_check.findings import Reading
from megatron_bio.downstream.data_check.kinds import Kind
from megatron_bio.downstream.readers.bioasq import read_bioasq
from megatron_bio.downstream.readers.chemprot import ChemProtFiles, read_chemprot
from megatron_bio.downstream.readers.entity_forms import EntitySet
from megatron_bio.downstream.readers.iob import read_iob
from megatron_bio.downstream.readers.label_bias import bias_of_classes, bias_of_entities
from megatron_bio.downstream.readers.multiple_choice import read_medmcqa, read_medqa
from megatron_bio.downstream.readers.pubmedqa import read_pubmedqa, read_pubmedqa_decisions
from megatron_bio.downstream.readers.pubtator import read_pubtator_sentences
from megatron_bio.downstream.readers.question_forms import (
    BioASQQuestion,
    ChoiceQuestion,
    QuestionSet,
    SpanQuestion,
)
from megatron_bio.downstream.readers.relation_table import read_relation_table
from megatron_bio.downstream.readers.squad import read_squad
from megatron_bio.tokens.data_file import DataFile


def summary_of_chemprot(files: ChemProtFiles) -> Reading:
    """Read and count one part of ChemProt. Raises DamagedFileError."""
    relations = read_chemprot(files)
    pairs = relations.pairs_by_label()
    return Reading(
        counts={
            "documents": relations.documents,
            "sentences": relations.sentences,
            "entities": _sorted(relations.entities_by_type),
            "relations": _sorted(relations.gold_by_label()),
            "pairs in a sentence": _sorted(pairs),
        },
        offsets_verified=relations.offsets_verified,
        left_out=relations.left_out,
        label_bias=bias_of_classes(pairs, "pairs"),
    )


def _entities(entities: EntitySet) -> Reading:
    documents = {"documents": entities.documents} if entities.documents else {}
    return Reading(
        counts={
            **documents,
            "sentences": len(entities.sentences),
            "words": sum(len(sentence.words) for sentence in entities.sentences),
            "entities": _sorted(entities.entities_by_type()),
        },
        offsets_verified=entities.offsets_verified or None,
        left_out=entities.left_out,
        remarks=entities.repaired,
        label_bias=bias_of_entities(entities),
    )


def _iob(file: DataFile) -> Reading:
    return _entities(read_iob(file))


def _pubtator(file: DataFile) -> Reading:
    return _entities(read_pubtator_sentences(file))


def _relation_table(file: DataFile) -> Reading:
    table = read_relation_table(file)
    labels = table.pairs_by_label()
    return Reading(
        counts={"pairs in a sentence": _sorted(labels)},
        left_out=table.left_out,
        label_bias=bias_of_classes(labels, "pairs"),
    )


def _squad(file: DataFile) -> Reading:
    questions = read_squad(file)
    kinds = questions.counted(_answered)
    return Reading(
        counts={
            "texts": len({question.context for question in questions.questions}),
            "questions": _sorted(kinds),
        },
        offsets_verified=questions.offsets_verified,
        remarks=questions.remarks,
        label_bias=bias_of_classes(kinds, "questions"),
    )


def _answered(question: SpanQuestion) -> str:
    if question.answers:
        return "with an answer"
    return "impossible" if question.impossible else "without an answer"


def _bioasq(file: DataFile) -> Reading:
    questions = read_bioasq(file)
    yes_no = Counter(
        "yes" if question.yes else "no" for question in questions.questions if question.yes is not None
    )
    return Reading(
        counts={
            "questions": _sorted(questions.counted(_type_of)),
            "snippets": sum(len(question.snippets) for question in questions.questions),
            "yes/no answers": _sorted(yes_no),
        },
        left_out=questions.left_out,
        remarks=questions.remarks,
        label_bias=bias_of_classes(yes_no, "yes/no questions"),
    )


def _type_of(question: BioASQQuestion) -> str:
    return question.type


def _pubmedqa(file: DataFile) -> Reading:
    return _decisions(read_pubmedqa(file).counted(lambda question: question.label))


def _pubmedqa_decisions(file: DataFile) -> Reading:
    return _decisions(Counter(read_pubmedqa_decisions(file).values()))


def _decisions(labels: Counter[str]) -> Reading:
    return Reading(counts={"questions": _sorted(labels)}, label_bias=bias_of_classes(labels, "questions"))


def _choices(questions: QuestionSet[ChoiceQuestion]) -> Reading:
    places = questions.counted(
        lambda question: "not given" if question.correct is None else chr(ord("A") + question.correct)
    )
    return Reading(counts={"questions, by the right option": _sorted(places)})


def _medqa(file: DataFile) -> Reading:
    return _choices(read_medqa(file))


def _medmcqa(file: DataFile) -> Reading:
    return _choices(read_medmcqa(file))


SUMMARIES: Final[Mapping[Kind, Callable[[DataFile], Reading]]] = MappingProxyType(
    {
        "IOB": _iob,
        "PubTator": _pubtator,
        "relation table": _relation_table,
        "SQuAD": _squad,
        "BioASQ": _bioasq,
        "PubMedQA": _pubmedqa,
        "PubMedQA decisions": _pubmedqa_decisions,
        "MedQA": _medqa,
        "MedMCQA": _medmcqa,
    }
)
"""Form → the function that reads and counts a file in it; all raise DamagedFileError."""


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
