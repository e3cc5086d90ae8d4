"""PubMedQA: an object of PMIDs with question, contexts and final decision; or of PMIDs with the decision alone."""

from megatron_bio.downstream.readers.question_forms import AbstractQuestion, QuestionSet
from megatron_bio.tokens.data_file import BenchmarkFile, DataFile, Fields, shown

LABELS = ("yes", "no", "maybe")


def read_pubmedqa(file: DataFile) -> QuestionSet[AbstractQuestion]:
    """Read a file of labelled questions. Raises DamagedFileError with line or PMID for broken JSON, values of the wrong kind,
    a decision that is not yes, no or maybe, headings that are not as many as contexts, and a file without questions.
    """
    content = Fields(file, "", file.json())
    questions = tuple(
        _question(Fields(file, f"PMID {pmid}", value), pmid) for pmid, value in content.values.items()
    )
    if not questions:
        raise file.damaged("whole file", "PMIDs with their questions, found none")
    return QuestionSet(questions=questions)


def read_pubmedqa_decisions(file: DataFile) -> dict[str, str]:
    """Read PubMedQA's `test_ground_truth.json`: PMID → yes, no or maybe. Raises DamagedFileError as `read_pubmedqa`."""
    decisions = Fields(file, "", file.json()).values
    if not decisions:
        raise file.damaged("whole file", "PMIDs with their decisions, found none")
    return {pmid: _label(file, f"PMID {pmid}", decision) for pmid, decision in decisions.items()}


def _question(fields: Fields, pmid: str) -> AbstractQuestion:
    contexts, sections = fields.strings("CONTEXTS"), fields.strings("LABELS")
    if not contexts or (sections and len(sections) != len(contexts)):
        raise fields.file.damaged(
            fields.place,
            f"at least one of CONTEXTS and as many LABELS, found {len(contexts)} and {len(sections)}",
        )
    return AbstractQuestion(
        id=pmid,
        question=fields.string("QUESTION"),
        contexts=tuple(contexts),
        sections=tuple(sections),
        long_answer=fields.string("LONG_ANSWER") if "LONG_ANSWER" in fields.values else "",
        label=_label(fields.file, fields.place, fields.values.get("final_decision")),
    )


def _label(file: BenchmarkFile, place: str, found: object) -> str:
    if found not in LABELS:
        raise file.damaged(place, f"yes, no or maybe as the decision, found {shown(found)}")
    return str(found)
