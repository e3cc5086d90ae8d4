"""All parts together: documents are numbered through them, from 0, in the order of the input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio.corpus.building.tables import SIGNATURES, open_array, open_signatures

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

    def values(self, name: str, documents: Numbers) -> NDArray[Any]:
        """One column of `tables.DOCUMENT` for some documents, in their order."""
        return self._gather(documents, lambda path: open_array(path / "documents.npy")[name])

    def signatures(self, documents: Numbers) -> NDArray[np.uint32]:
        """[documents, PERMUTATIONS], in their order."""
        return self._gather(documents, lambda path: open_signatures(path / SIGNATURES))

    def _gather(self, documents: Numbers, open_rows: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
        order = np.argsort(documents, kind="stable")
        ordered = documents[order]
        bounds = np.searchsorted(ordered, self.firsts)
        gathered: NDArray[Any] | None = None
        for part in np.flatnonzero(np.diff(bounds)).tolist():
            some = slice(int(bounds[part]), int(bounds[part + 1]))
            rows = open_rows(self.paths[part])[ordered[some] - self.firsts[part]]
            if gathered is None:
                gathered = np.empty((len(documents), *rows.shape[1:]), rows.dtype)
            gathered[order[some]] = rows
        return np.empty(0) if gathered is None else gathered
