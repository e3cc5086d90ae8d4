"""Different texts under one id: all are kept, since which of them is meant cannot be known, but they are counted.

The split is by the id where there is neither PMCID nor PMID, so they are on one side. This does not concern the records of
PubMed and PMC, of which only one stays.
"""

import json
from dataclasses import dataclass
from itertools import islice

import numpy as np

from megatron_bio.corpus.building.collection import Collection, Flags
from megatron_bio.corpus.building.equal_keys import equal_keys, key_ranges
from megatron_bio.corpus.building.tables import OTHER_ID, read_lines


@dataclass(frozen=True, kw_only=True)
class RepeatedIds:
    """How many kept documents have the id of a kept one before them, and the first such id; "" if there are none."""

    documents: int
    example: str


def find_repeated_ids(collection: Collection, kept: Flags) -> RepeatedIds:
    """Counts them among the `kept` documents."""
    count, first = 0, collection.documents
    for keys in key_ranges(collection, OTHER_ID):
        entries = equal_keys(collection, keys, kept)
        found = np.delete(entries.documents, entries.starts)
        count += len(found)
        first = min(first, int(found.min(initial=first)))
    return RepeatedIds(documents=count, example=_id(collection, first) if count else "")


def _id(collection: Collection, document: int) -> str:
    part = int(np.searchsorted(collection.firsts, document, side="right")) - 1
    lines = read_lines(collection.paths[part] / "ids.zst")
    name: str = json.loads(next(islice(lines, document - collection.firsts[part], None)))
    return name
