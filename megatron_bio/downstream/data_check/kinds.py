"""Which form a file has, told by its first line or its JSON keys."""

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


def kind_of(file: DataFile) -> Kind | None:
    """The form, None for none of ours. Raises DamagedFileError for what begins as JSON and is none."""
    number, line = file.filled_lines()[0]
    if is_pubtator_line(line):
        return "PubTator"
    if line.lstrip().startswith("{"):
        return _kind_of_json(file, number)
    if is_relation_table_line(line):
        return "relation table"
    return "IOB" if is_iob_line(line) else None


def _kind_of_json(file: DataFile, number: int) -> Kind | None:
    first = file.first_object(number)
    keys = set(first.values)
    if "question" in keys and "opa" in keys:
        return "MedMCQA"
    if "question" in keys and "options" in keys:
        return "MedQA"
    if "questions" in keys:
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
