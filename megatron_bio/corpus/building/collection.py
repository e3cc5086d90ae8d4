"""All parts together: documents are numbered through them, from 0, in the order of the input."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio.corpus.building.tables import open_array

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Collection:
    """The folders of the parts and the number of each one's first document; it travels to other processes by pickle."""

    paths: Sequence[Path]
    firsts: Sequence[int]
    """One more than there are parts: the last is the number of all documents."""

    @classmethod
    def of(cls, paths: Sequence[Path], documents: Sequence[int]) -> "Collection":
        """From the folders and how many documents each holds."""
        return cls(tuple(paths), tuple(int(first) for first in np.concatenate(([0], np.cumsum(documents)))))

    @property
    def documents(self) -> int:
        """How many there are."""
        return self.firsts[-1]

    def column(self, name: str) -> NDArray[Any]:
        """One column of `tables.DOCUMENT` for all documents."""
        columns = [np.array(open_array(path / "documents.npy")[name]) for path in self.paths]
        joined: NDArray[Any] = np.concatenate(columns)
        return joined

    def rows(self, file: str, documents: Numbers, field: str | None = None) -> NDArray[Any]:
        """The rows of the documents in a file that has one row for each document; read from disk where they are."""
        order = np.argsort(documents, kind="stable")
        ordered = documents[order]
        bounds = np.searchsorted(ordered, self.firsts)
        pieces = []
        for part in np.flatnonzero(np.diff(bounds)).tolist():
            array = open_array(self.paths[part] / file)
            column = array if field is None else array[field]
            pieces.append(column[ordered[bounds[part] : bounds[part + 1]] - self.firsts[part]])
        if not pieces:
            array = open_array(self.paths[0] / file)
            return np.array((array if field is None else array[field])[:0])
        gathered = np.concatenate(pieces)
        rows = np.empty_like(gathered)
        rows[order] = gathered
        return rows
