"""SQuAD 1.1 and 2.0, and BioASQ in the same form: articles of paragraphs, each with questions whose answers are in it."""

from collections import Counter

from megatron_bio.downstream.readers.question_forms import Answer, QuestionSet, SpanQuestion
from megatron_bio.tokens.data_file import DataFile, Fields, shown

WITHOUT_ANSWER = "question without an answer, as in a test set"


def read_squad(file: DataFile) -> QuestionSet[SpanQuestion]:
    """Read a file. Raises DamagedFileError with line or path for broken JSON, values of the wrong kind, an answer that is not
    at its offset, an id that comes twice, an impossible question with answers, and a file without questions.
    """
    content = Fields(file, "", file.json())
    questions: list[SpanQuestion] = []
    remarks: Counter[str] = Counter()
    ids: set[str] = set()
    for article in content.objects("data"):
        for paragraph in article.objects("paragraphs"):
            context = paragraph.string("context")
            for fields in paragraph.objects("qas"):
                question = _question(fields, context)
                if question.id in ids:
                    raise file.damaged(fields.place, f"each id once, found {shown(question.id)} again")
                ids.add(question.id)
                remarks[WITHOUT_ANSWER] += not question.answers and not question.impossible
                questions.append(question)
    if not questions:
        raise file.damaged("whole file", "questions under data[].paragraphs[].qas, found none")
    return QuestionSet(
        questions=tuple(questions),
        offsets_verified=sum(len(question.answers) for question in questions),
        remarks=+remarks,
    )


def _question(fields: Fields, context: str) -> SpanQuestion:
    impossible = fields.values.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise fields.file.damaged(
            fields.place, f"true or false under 'is_impossible', found {shown(impossible)}"
        )
    answers = tuple(_answer(answer, context) for answer in fields.objects("answers"))
    if impossible and answers:
        raise fields.file.damaged(
            fields.place,
            f"no answers to an impossible question, found {len(answers)}: {shown(answers[0].text)}",
        )
    return SpanQuestion(
        id=fields.string("id"),
        question=fields.string("question"),
        context=context,
        answers=answers,
        impossible=impossible,
    )


def _answer(fields: Fields, context: str) -> Answer:
    text, start = fields.string("text"), fields.values.get("answer_start")
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise fields.file.damaged(fields.place, f"a whole number under 'answer_start', found {shown(start)}")
    found = context[start : start + len(text)]
    if found != text or not text:
        raise fields.file.damaged(
            fields.place,
            f"the answer {shown(text)} at character {start} of its context, found {shown(found)}",
        )
    return Answer(text=text, start=start)
