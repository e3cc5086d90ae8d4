"""A JSON object of no fixed form, as most sets on the hubs have them: texts and PMIDs under the usual keys."""

import re
from collections.abc import Iterator
from typing import Final

from megatron_bio.corpus.decontamination.benchmark import BenchmarkItem
from megatron_bio.corpus.decontamination.json_fields import Fields
from megatron_bio.corpus.identifiers import as_pmid

WHOLE_KEYS: Final = (
    "question",
    "query",
    "title",
    "sentence",
    "sentence1",
    "sentence2",
    "premise",
    "hypothesis",
)
TEXT_KEYS: Final = (
    *("text", "abstract", "abstracttext", "context", "contexts", "passage", "passages", "paragraph", "body"),
    *("long_answer", "options", "choices", "opa", "opb", "opc", "opd", "ope"),
)
TOKEN_KEYS: Final = ("tokens", "words")
PMID_KEYS: Final = ("pmid", "pmids", "pubmed_id", "pubmedid", "pubid")

_OWN_ID = re.compile(r"pubmed:([1-9][0-9]{0,8})")


def records_format(first: Fields) -> str:
    """The name of the set, by the keys of its first record."""
    keys = {key.casefold() for key in first.values}
    if {"question", "opa"} <= keys:
        return "MedMCQA"
    if {"question", "options"} <= keys:
        return "MedQA"
    return "JSON records"


def record_item(fields: Fields) -> BenchmarkItem:
    """The item of a record. Raises DamagedFileError if it has no text and no PMID under a known key."""
    values = {key.casefold(): value for key, value in fields.values.items()}
    whole = [text for key in WHOLE_KEYS for text in _texts(values.get(key))]
    texts = [text for key in TEXT_KEYS for text in _texts(values.get(key))]
    whole += [" ".join(_texts(values.get(key))) for key in TOKEN_KEYS if key in values]
    if not whole and len(texts) == 1:
        whole, texts = texts, []
    pmids = tuple(dict.fromkeys(_pmids(values)))
    if not (pmids or any(whole) or any(texts)):
        expected = ", ".join((*WHOLE_KEYS, *TEXT_KEYS, *TOKEN_KEYS, *PMID_KEYS))
        raise fields.file.damaged(
            fields.place or "line 1",
            f"a text or a PMID under one of {expected}; found the keys {sorted(values)}",
        )
    return BenchmarkItem(
        name=str(values.get("id") or fields.place or "line 1"),
        pmids=pmids,
        whole=tuple(whole),
        texts=tuple(texts),
    )


def _texts(value: object) -> Iterator[str]:
    """Every text in a value: options are a list, or an object of letters and texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)


def _pmids(values: dict[str, object]) -> Iterator[int]:
    meta = values.get("meta")
    holders = [values, meta] if isinstance(meta, dict) else [values]
    for holder in holders:
        for key in PMID_KEYS:
            value = holder.get(key)
            for one in value if isinstance(value, list) else [value]:
                if pmid := as_pmid(one):
                    yield pmid
    match = _OWN_ID.fullmatch(str(values.get("id", "")))
    if match:
        yield int(match[1])
