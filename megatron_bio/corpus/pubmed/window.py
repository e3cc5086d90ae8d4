"""A view that moves over the content of a file."""

from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.pubmed.content import XmlContent

LARGEST_BYTES = 1 << 26
"""More than any record has; what is longer is damage, not a reason to hold the file in memory."""


class Window:
    """What of the content is at hand (`buffer`), how far it was used (`at`) and where it begins (`base`)."""

    def __init__(self, content: XmlContent) -> None:
        """Starts empty."""
        self._content = content
        self.buffer = b""
        self.at = 0
        self.base = 0
        self.is_all = False
        """Nothing comes after the buffer."""
        self.failure: DamagedFileError | None = None
        """Why the content ends early."""

    def read_on(self) -> bool:
        """Lets in as much as is at hand and not used; false, and nothing changes, when there is no more or too much is at hand."""
        wanted, got = len(self.buffer) - self.at, 0
        if self.is_all or wanted > LARGEST_BYTES:
            return False
        pieces = [self.buffer[self.at :]]
        try:
            while got <= wanted and (piece := self._content.read()):
                pieces.append(piece)
                got += len(piece)
        except DamagedFileError as failure:
            self.failure = failure
        self.is_all = got <= wanted
        if not got:
            return False
        self.base += self.at
        self.buffer, self.at = b"".join(pieces), 0
        return True
