"""Which record of a key (PMID, PMCID) counts, after updates, new versions and deletions."""

from array import array

PAGE_SIZE = 1 << 16
POSITION_BITS = 46
POSITION_MASK = (1 << POSITION_BITS) - 1
LARGEST_VERSION = (1 << 64 - POSITION_BITS) - 1


class Register:
    """Key and version → the position of its last record; of several versions the highest that is not deleted counts.

    Keys lie in pages of 65,536 with 8 bytes for each, made when the first key of a page comes: 40 million PMIDs, whole
    PubMed, take 320 MB, and one million consecutive ones 8 MB. That holds the highest version of a key, whichever it is;
    each further version that was not deleted takes 12 bytes more, and the pages of such keys 4 bytes a key.
    """

    def __init__(self) -> None:
        """Starts empty."""
        # An entry is 0 (nothing) or version << POSITION_BITS | position + 1.
        self._highest: dict[int, array[int]] = {}
        # Lower versions of a key hang in a chain: page → where it begins + 1; then entries, and where each goes on + 1.
        self._chains: dict[int, array[int]] = {}
        self._entries = array("Q")
        self._next = array("I")

    def put(self, key: int, version: int, position: int) -> None:
        """A record at `position` (0, 1, 2, ...) takes the place of an earlier one with this key and version.

        A version above 262,143 counts as that.
        """
        version = min(version, LARGEST_VERSION)
        entry = version << POSITION_BITS | position + 1
        page = self._highest.get(key // PAGE_SIZE)
        if page is None:
            page = self._highest[key // PAGE_SIZE] = array("Q", bytes(8 * PAGE_SIZE))
        highest = page[key % PAGE_SIZE]
        if not highest or highest >> POSITION_BITS == version:
            page[key % PAGE_SIZE] = entry
            return
        if highest >> POSITION_BITS < version:
            page[key % PAGE_SIZE], entry = entry, highest
        self._put_lower(key, entry)

    def remove(self, key: int, version: int | None) -> None:
        """Forgets one version, or with None all; NLM deletes versions one by one. Unknown ones are no error."""
        page = self._highest.get(key // PAGE_SIZE)
        if page is None or not page[key % PAGE_SIZE]:
            return
        links = self._links(key)
        if version is None:
            page[key % PAGE_SIZE] = 0
            for link in links:
                self._entries[link] = 0
            return
        version = min(version, LARGEST_VERSION)
        if page[key % PAGE_SIZE] >> POSITION_BITS == version:
            below = max(links, key=self._entries.__getitem__, default=None)
            page[key % PAGE_SIZE] = 0 if below is None else self._entries[below]
            links = [] if below is None else [below]
        else:
            links = [link for link in links if self._entries[link] >> POSITION_BITS == version]
        for link in links:
            self._entries[link] = 0

    def current(self, key: int) -> int | None:
        """The position of the record that counts; None when there is none or it was deleted."""
        page = self._highest.get(key // PAGE_SIZE)
        entry = page[key % PAGE_SIZE] if page is not None else 0
        return (entry & POSITION_MASK) - 1 if entry else None

    def _put_lower(self, key: int, entry: int) -> None:
        version = entry >> POSITION_BITS
        free = None
        for link in self._links(key):
            if self._entries[link] >> POSITION_BITS == version:
                self._entries[link] = entry
                return
            if not self._entries[link]:
                free = link
        if free is not None:
            self._entries[free] = entry
            return
        chains = self._chains.get(key // PAGE_SIZE)
        if chains is None:
            chains = self._chains[key // PAGE_SIZE] = array("I", bytes(4 * PAGE_SIZE))
        self._entries.append(entry)
        self._next.append(chains[key % PAGE_SIZE])
        chains[key % PAGE_SIZE] = len(self._entries)

    def _links(self, key: int) -> list[int]:
        """Where the lower versions of a key are; emptied entries, which are 0, are among them."""
        chains = self._chains.get(key // PAGE_SIZE)
        link = chains[key % PAGE_SIZE] if chains is not None else 0
        links = []
        while link:
            links.append(link - 1)
            link = self._next[link - 1]
        return links
