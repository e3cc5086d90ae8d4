"""The content of a PubMed file → the bytes of its records, one after the other, also when some of them are damaged.

A record without comments, CDATA sections and instructions, which is nearly every one, needs two searches for bytes. All
others are walked through mark by mark. Damage costs the record that holds it: the next start tag of a record, which may
stand in no other record, begins anew.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from megatron_bio.corpus.pubmed.content import XmlContent
from megatron_bio.corpus.pubmed.prologue import RECORDS, SETS, Prologue, read_prologue, shown
from megatron_bio.corpus.pubmed.window import LARGEST_BYTES, Window

TAG_BYTES = 256
"""More than a tag of a record has."""
JOINED = "If several XML documents were joined into one file, split them"

_ALL: Final = "|".join(sorted(RECORDS)).encode()
_SET: Final = "|".join(sorted(SETS)).encode()
_START = re.compile(rb"\s*<(%b)(?=[\s>])" % _ALL)
_ANY_START = re.compile(rb"<(%b)(?=[\s/>])" % _ALL)
_EMPTY = re.compile(rb"<(?:%b)(?:\s[^<>]*)?/>" % _ALL)
_SET_END = re.compile(rb"</(?:%b)\s*>" % _SET)
_SPACE = re.compile(rb"\s*")
_TAGS: Final = {name.encode(): (name, b"<%b" % name.encode(), b"</%b>" % name.encode()) for name in RECORDS}


class RawRecord(NamedTuple):
    """A record as it stands in the file; `name` is "" for something else that stands between records.

    It is not cut out of what is at hand, as most records need few of their bytes.
    """

    name: str
    buffer: bytes
    begin: int
    end: int
    base: int
    """Position of the buffer's first byte in the content as UTF-8."""
    has_marks: bool = False
    """It may hold comments, CDATA sections or instructions."""

    @property
    def xml(self) -> bytes:
        """Its bytes."""
        return self.buffer[self.begin : self.end]

    @property
    def position(self) -> int:
        """Of its first byte, in the content as UTF-8."""
        return self.base + self.begin


class Damage(NamedTuple):
    """Something that cannot be read: where, what was expected and found, and how many records it cost."""

    position: int
    story: str
    records: int


class RecordSplitter:
    """Iterates over one file, in memory of a few records.

    Raises DamagedFileError for what is no PubMed XML, at once, and for damaged compression, after the records before it.
    """

    def __init__(self, path: Path, content: XmlContent) -> None:
        """`content` is taken from its beginning."""
        self._window = Window(content)
        self.root = self._prologue(path)
        self._is_open = self.root.name in RECORDS or not self.root.tag.endswith(b"/>")
        """The root element was not closed yet."""
        inner = set() if self.root.name in ("MedlineCitationSet", "MedlineCitation") else {"MedlineCitation"}
        top = "|".join(sorted(RECORDS - inner)).encode()
        self.record_end = re.compile(rb"</(?:%b)\s*>" % top)
        """Matches where a record ends."""
        self._swallowed = re.compile(
            rb"</(?:%b)\s*>\s*<(?:!--|/(?:%b)|(?:%b)(?=[\s/>]))" % (top, _SET, top)
            + rb"|<(?:%b)(?:\s[^<>]*)?>\s*<(?:!--|MedlineCitation|BookDocument|PMID)" % top
        )
        """What no comment or section inside of a record holds, unless the place where it ends is damaged."""
        self._next = re.compile(rb"<(?:%b)(?=[\s/>])|</(?:%b)\s*>" % (top, _SET))
        self._marks = {
            name: re.compile(
                rb"<!--|<!\[CDATA\[|<\?|<!|</(?:%b)\s*>|</%b\s*>|<(?:%b)(?=[\s/>])"
                % (_SET, name.encode(), top)
            )
            for name in RECORDS
        }

    def __iter__(self) -> Iterator[RawRecord | Damage]:
        window = self._window
        is_set = self.root.name in SETS
        searched, mark = b"", 0
        while True:
            buffer, at = window.buffer, window.at
            start = _START.match(buffer, at)
            if start and self._is_open:
                name, begin_tag, end_tag = _TAGS[start[1]]
                begin, inside = start.span(1)
                # One search is for both tags: where the name stands next, it is nearly always that of the end tag.
                end = following = buffer.find(start[1], inside) - len(b"</")
                if not buffer.startswith(end_tag, end):
                    end = buffer.find(end_tag, inside)
                    following = buffer.find(begin_tag, inside)
                    if end < 0 and following < 0 and window.read_on():
                        continue
                if mark < inside or searched is not buffer:
                    searched, mark = buffer, _next_mark(buffer, inside)
                if 0 <= end < mark and not inside <= following < end:
                    window.at = at = end + len(end_tag)
                    self._is_open = is_set
                    yield RawRecord(name, buffer, begin - 1, at, window.base)
                    continue
            if len(buffer) - at < TAG_BYTES and window.read_on():
                continue
            space = _SPACE.match(window.buffer, window.at)
            assert space is not None, "no space is a match too"
            window.at = space.end()
            if window.at == len(window.buffer):
                if window.read_on():
                    continue
                break
            found = self._walk()
            if found is not None:
                yield found
        if window.failure is not None:
            raise window.failure
        if self._is_open:
            yield self._ends_early(window.at, 0)

    def _prologue(self, path: Path) -> Prologue:
        window = self._window
        can_grow = True
        while True:
            root = read_prologue(path, window.buffer, not can_grow and window.failure is None)
            if root is not None:
                window.at = root.begin if root.name in RECORDS else root.end
                return root
            if window.failure is not None:
                raise window.failure
            can_grow = window.read_on()

    def _record(self, name: str, begin: int, end: int) -> RawRecord:
        window = self._window
        window.at = end
        self._is_open = self.root.name in SETS
        return RawRecord(name, window.buffer, begin, end, window.base, has_marks=True)

    def _walk(self) -> RawRecord | Damage | None:
        """One step with full care; None when it passed something that is no record, or let in more of the content."""
        window = self._window
        buffer, at = window.buffer, window.at
        if buffer.startswith((b"<!--", b"<?"), at):
            end = _mark_end(buffer, at)
            if end > 0:
                window.at = end
                return None
            if end == 0 and window.read_on():
                return None
            return self._broken(at, f"expected a whole comment or instruction, found {_shown(buffer, at)}")
        if self._is_open:
            if start := _ANY_START.match(buffer, at):
                return self._walk_record(start[1].decode())
            if close := _SET_END.match(buffer, at):
                window.at, self._is_open = close.end(), False
                return None
        return self._gap()

    def _walk_record(self, name: str) -> RawRecord | Damage | None:
        window = self._window
        buffer, begin = window.buffer, window.at
        if empty := _EMPTY.match(buffer, begin):
            return self._record(name, begin, empty.end())
        at, mark = begin + 1, None
        while mark := self._marks[name].search(buffer, at):
            if mark[0].startswith(b"</") and not _SET_END.match(mark[0]):
                return self._record(name, begin, mark.end())
            if len(buffer) - mark.start() < TAG_BYTES and not window.is_all:
                break
            end = _mark_end(buffer, mark.start())
            if end < 0 or self._swallowed.search(buffer, mark.start(), end):
                found = _shown(buffer, mark.start())
                return self._broken(begin, f"expected </{name}> or sound XML before it, found {found}")
            if end == 0:
                break
            at = end
        was_all = window.is_all
        if window.read_on() or was_all != window.is_all:
            return None
        if mark is not None or not window.is_all:
            limit = (
                f"within {LARGEST_BYTES:,} bytes" if mark is None else f"after {_shown(buffer, mark.start())}"
            )
            return self._broken(begin, f"expected </{name}> {limit}, found none")
        window.at, self._is_open = len(buffer), False
        return None if window.failure else self._ends_early(begin, 1, name)

    def _gap(self) -> RawRecord | Damage | None:
        """Something between the records that is none, or behind the root."""
        window = self._window
        buffer, at = window.buffer, window.at
        if not self._is_open:
            self._is_open = True
            return self._broken(
                at, f"expected the end of the file, found {_shown(buffer, at)}. {JOINED}", least=0
            )
        following = self._next.search(buffer, at)
        if following is not None:
            window.at = following.start()
            return RawRecord("", buffer, at, window.at, window.base)
        if window.read_on():
            return None
        if window.is_all:
            window.at, self._is_open = len(buffer), False
            ends = len(self.record_end.findall(buffer, at))
            return None if window.failure else self._ends_early(at, ends)
        return self._broken(at, f"expected a record, found {_shown(buffer, at)}", least=0)

    def _broken(self, position: int, story: str, least: int = 1) -> Damage:
        """Damage at `position` of the buffer; goes on with the next record, or with the end of the set."""
        window = self._window
        place = window.base + position
        window.at = position + (least > 0)
        ends = 0
        while True:
            following = self._next.search(window.buffer, window.at)
            stop = following.start() if following else self._last_tag()
            ends += sum(1 for _ in self.record_end.finditer(window.buffer, window.at, stop))
            window.at = stop
            if following:
                break
            if not window.read_on():
                window.at, self._is_open = len(window.buffer), False
                break
        return Damage(place, story, max(least, ends))

    def _last_tag(self) -> int:
        """Where a tag begins that the end of the buffer may cut; else that end."""
        window = self._window
        begin = window.buffer.rfind(b"<", max(window.at, len(window.buffer) - TAG_BYTES))
        return begin if begin >= 0 else len(window.buffer)

    def _ends_early(self, position: int, records: int, name: str = "") -> Damage:
        story = f"expected </{name or self.root.name}>, found the end of the file"
        return Damage(self._window.base + position, story, records)


def _next_mark(buffer: bytes, begin: int) -> int:
    """Where something next begins with `<!` or `<?`, by its second byte, which is far rarer than the first."""
    nearest = len(buffer)
    for byte in (b"!", b"?"):
        at = buffer.find(byte, begin, nearest)
        while at >= 0 and buffer[at - 1] != ord("<"):
            at = buffer.find(byte, at + 1, nearest)
        if at >= 0:
            nearest = at - 1
    return nearest


def _mark_end(buffer: bytes, at: int) -> int:
    """Where the comment, CDATA section or instruction at `at` ends; 0 if not in the buffer, -1 if it is none of them."""
    if buffer.startswith(b"<!--", at):
        # Two hyphens may stand in no comment, so one without an end cannot swallow the records up to another comment.
        end = buffer.find(b"--", at + 4)
        if end < 0 or end + 2 == len(buffer):
            return 0
        return end + 3 if buffer[end + 2] == ord(">") else -1
    for start, stop in ((b"<![CDATA[", b"]]>"), (b"<?", b"?>")):
        if buffer.startswith(start, at):
            end = buffer.find(stop, at + len(start))
            return 0 if end < 0 else end + len(stop)
    return -1


def _shown(buffer: bytes, at: int) -> str:
    return shown(buffer[at : at + TAG_BYTES])
