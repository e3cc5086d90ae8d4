"""Which record of a key (PMID, PMCID) counts, after updates, new versions and deletions."""

from array import array

PAGE_SIZE = 1 << 16


class Register:
    """Key and version → the position of its last record; of several versions the highest that is not deleted counts.

    Version 1, nearly every citation, is held in pages of 65,536 PMIDs with 8 bytes for each, so whole PubMed (40 million
    PMIDs) takes about 320 MB and one million consecutive PMIDs 8 MB. A page is made when its first PMID comes.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self._pages: dict[int, array[int]] = {}
        self._later_versions: dict[int, dict[int, int]] = {}

    def put(self, key: int, version: int, position: int) -> None:
        """A record at `position` (0, 1, 2, ...) takes the place of an earlier one with this PMID and version."""
        if version > 1:
            self._later_versions.setdefault(key, {})[version] = position
            return
        page = self._pages.get(key // PAGE_SIZE)
        if page is None:
            page = self._pages[key // PAGE_SIZE] = array("Q", bytes(8 * PAGE_SIZE))
        page[key % PAGE_SIZE] = position + 1

    def remove(self, key: int, version: int | None) -> None:
        """Forgets one version, or with None all; NLM deletes versions one by one. Unknown ones are no error."""
        if version is None:
            self._later_versions.pop(key, None)
        elif version > 1:
            self._later_versions.get(key, {}).pop(version, None)
            return
        page = self._pages.get(key // PAGE_SIZE)
        if page is not None:
            page[key % PAGE_SIZE] = 0

    def current(self, key: int) -> int | None:
        """The position of the record that counts; None when there is none or it was deleted."""
        later = self._later_versions.get(key)
        if later:
            return later[max(later)]
        page = self._pages.get(key // PAGE_SIZE)
        return page[key % PAGE_SIZE] - 1 if page is not None and page[key % PAGE_SIZE] else None
