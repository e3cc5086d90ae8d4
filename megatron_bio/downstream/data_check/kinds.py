"""Which form a file has, told by its first lines or its JSON keys."""

from collections.abc import Callable
from typing import Literal

from megatron_bio.downstream.readers.iob import is_iob_line
from megatron_bio.downstream.readers.pubtator import is_pubtator_line
from megatron_bio.downstream.readers.relation_table import is_relation_table_line
from megatron_bio.tokens.data_file import DataFile, Fields

Kind = Literal[
    "IOB",
    "PubTator",
    "relation table",
    "SQuAD",
    "BioASQ",
    "PubMedQA",
    "PubMedQA decisions",
    "MedQA",
    "MedMCQA",
]


LINES_LOOKED_AT = 50
_TABLES: tuple[tuple[Kind, Callable[[str], bool]], ...] = (
    ("relation table", is_relation_table_line),
    ("IOB", is_iob_line),
)


def kind_of(file: DataFile) -> Kind | None:
    """The form, None for none of ours. Raises DamagedFileError for what begins as JSON and is none.

    Of tables most of the first lines must fit, so that one damaged line does not make another file of it.
    """
    lines = file.filled_lines()[:LINES_LOOKED_AT]
    number, first = lines[0]
    if first.lstrip().startswith("{"):
        return _kind_of_json(file, number)
    if any(is_pubtator_line(line) for _, line in lines):
        return "PubTator"
    for kind, fits in _TABLES:
        if 2 * sum(fits(line) for _, line in lines) > len(lines):
            return kind
    return None


def _kind_of_json(file: DataFile, number: int) -> Kind | None:
    first = file.first_object(number)
    keys = set(first.values)
    if isinstance(first.values.get("question"), str) and keys & {"opa", "options"}:
        return "MedMCQA" if "opa" in keys else "MedQA"
    if isinstance(first.values.get("questions"), list):
        return "BioASQ"
    if "data" in keys:
        return _kind_of_articles(first)
    if keys and all(key.isdecimal() for key in keys):
        are_texts = all(isinstance(value, str) for value in first.values.values())
        return "PubMedQA decisions" if are_texts else "PubMedQA"
    return None


def _kind_of_articles(content: Fields) -> Kind | None:
    articles = content.values["data"]
    is_squad = isinstance(articles, list) and all(
        isinstance(article, dict) and "paragraphs" in article for article in articles
    )
    return "SQuAD" if is_squad else None
