import bz2
import gzip
import json
import lzma
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.document import Document, DocumentWriter, read_documents
from megatron_bio.corpus.errors import CorpusError

DOCUMENTS = [
    Document(id="pubmed:1", title="Títle", text="10⁶ cells\nα < β", source="pubmed", meta={"year": 2001}),
    Document(id="pubmed:2", text="No title."),
]
PACKERS: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    lzma.compress,
    zstandard.ZstdCompressor().compress,
    bz2.compress,
]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "documents.jsonl.zst"
    with DocumentWriter(path) as writer:
        for document in DOCUMENTS:
            writer.write(document)
        assert not path.exists(), "the name must appear only when all is written"
    expected = [DOCUMENTS[0], Document(id="pubmed:2", text="No title.", source="", meta={})]
    assert list(read_documents([path])) == expected
    assert [name.name for name in path.parent.iterdir()] == [path.name], "no temporary file may be left"
    first_line = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()).split(b"\n")[0]
    assert list(json.loads(first_line)) == ["id", "title", "text", "source", "meta"]
    assert "10⁶".encode() in first_line


def test_output_is_deterministic(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with DocumentWriter(tmp_path / name) as writer:
            for _ in range(1000):
                writer.write(DOCUMENTS[0])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_error_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl.zst"
    path.write_bytes(b"earlier")
    with pytest.raises(KeyboardInterrupt), DocumentWriter(path) as writer:
        writer.write(DOCUMENTS[0])
        raise KeyboardInterrupt
    assert path.read_bytes() == b"earlier"
    assert len(list(tmp_path.iterdir())) == 1, "the temporary file must be removed"


def test_kill_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl.zst"
    path.write_bytes(b"earlier")
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from megatron_bio.corpus.document import Document, DocumentWriter\n"
        "with DocumentWriter(Path(sys.argv[1])) as writer:\n"
        "    writer.write(Document(id='x', text='y'))\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"earlier"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to play a full disk")
def test_full_disk_is_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl.zst"
    path.with_name(f".{path.name}.{os.getpid()}.tmp").symlink_to("/dev/full")
    story = r"documents\.jsonl\.zst: cannot be written: No space left"
    with pytest.raises(CorpusError, match=story), DocumentWriter(path) as writer:
        writer.write(DOCUMENTS[0])
    assert not path.exists()


@pytest.mark.parametrize("pack", PACKERS)
def test_reads_any_compression_by_content(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "wrongly.named"
    path.write_bytes(pack(b'{"text": "one"}\n') + pack(b'\n{"text": "two", "id": 7}'))
    assert [(document.id, document.text) for document in read_documents([path])] == [
        ("wrongly.named:1", "one"),
        ("7", "two"),
    ]


def test_a_key_given_twice_is_refused_and_deeper_down_none_of_our_business(tmp_path: Path) -> None:
    path = tmp_path / "twice"
    path.write_bytes(
        b'{"text": "one", "meta": {"a": 1, "a": 2}}\n{"text": "one", "id": "a", "text": "two"}\n'
    )
    documents = read_documents([path])
    assert next(documents).meta == {"a": 2}
    with pytest.raises(CorpusError, match="line 2: expected every key once, found 'text' twice"):
        next(documents)


@pytest.mark.parametrize("pack", PACKERS[1:])
def test_large_members_and_zero_padding(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    content = os.urandom(300_000)
    path = tmp_path / "large"
    path.write_bytes(pack(content) + pack(b"") + bytes(64) + pack(content))
    with DecompressedFile(path) as stream:
        assert stream.read() == content + content


@pytest.mark.parametrize("pack", PACKERS[1:])
def test_content_that_was_packed_small_comes_in_bounded_pieces(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Also a bomb: 64 KiB of zstd can hold 2 GiB of zeros."""
    path, size = tmp_path / "bomb", (80 << 20) + 5
    path.write_bytes(pack(bytes(size)) + pack(b"end"))
    lengths = []
    with DecompressedFile(path) as stream:
        while content := stream.read_content():
            lengths.append(len(content))
            last = content
    assert sum(lengths) == size + 3 and last.endswith(b"\0end" if len(last) > 3 else b"end")
    assert max(lengths) <= ((65 << 20) if pack is PACKERS[3] else 1 << 19)


@pytest.mark.parametrize("pack", PACKERS[1:])
@pytest.mark.parametrize("lost", [1, 4, 5000])
def test_truncation_is_seen_in_every_format(
    pack: Callable[[bytes], bytes], lost: int, tmp_path: Path
) -> None:
    lines = (b'{"text": "%s"}\n' % os.urandom(50).hex().encode() for _ in range(1000))
    packed = pack(b"".join(lines))
    path = tmp_path / "cut"
    path.write_bytes(packed[:-lost])
    with pytest.raises(CorpusError, match=rf"cut: .*at byte {len(packed) - lost:,}.*truncated"):
        for _ in read_documents([path]):
            pass


@pytest.mark.parametrize("pack", PACKERS[1:])
def test_damage_is_seen_in_every_format(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = bytearray(pack(os.urandom(50_000)))
    packed[30_000] ^= 0xFF
    path = tmp_path / "bad"
    path.write_bytes(packed if pack is not PACKERS[3] else b"\x28\xb5\x2f\xfd" + os.urandom(50_000))
    story = r"bad: expected valid compressed data, found damage somewhere before byte [1-9]"
    with DecompressedFile(path) as stream, pytest.raises(CorpusError, match=story):
        stream.read()


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress])
@pytest.mark.parametrize("size", [0, 5, 1000, 3_000_000])
def test_a_wrong_checksum_costs_no_content(pack: Callable[[bytes], bytes], size: int, tmp_path: Path) -> None:
    content = (os.urandom(1000).hex().encode() * (size // 1000 + 1))[:size]
    packed = bytearray(pack(content))
    packed[-5 if pack is gzip.compress else -1] ^= 1
    path = tmp_path / "bad"
    path.write_bytes(packed)
    assert_read_up_to(path, content, f"found damage somewhere before byte {len(packed):,} .*checksum")


def assert_read_up_to(path: Path, content: bytes, story: str) -> None:
    """All of `content` is given before the error."""
    with DecompressedFile(path) as stream:
        pieces = []
        with pytest.raises(CorpusError, match=story):
            while piece := stream.read_content():
                pieces.append(piece)
    assert b"".join(pieces) == content


@pytest.mark.parametrize("pack", PACKERS[1:])
@pytest.mark.parametrize(
    "behind",
    [b"x", b"<html>not found</html>", b"\0\0\0end", b"\x1f", random.Random(0).randbytes(100_000)],
    ids=["letter", "page", "zeros", "half a gzip", "noise"],
)
def test_bytes_behind_the_compressed_data_are_named(
    pack: Callable[[bytes], bytes], behind: bytes, tmp_path: Path
) -> None:
    path, content = tmp_path / "joined", b"content " * 50_000
    path.write_bytes(pack(content) + pack(b"more") + behind)
    byte = path.stat().st_size - len(behind.lstrip(b"\0"))
    name = {PACKERS[1]: "gzip", PACKERS[2]: "xz", PACKERS[4]: "bzip2"}.get(pack, "zstd")
    story = f"end of the file at byte {byte:,}, found bytes behind the end of the {name} data, which is whole"
    assert_read_up_to(path, content + b"more", story)


@pytest.mark.parametrize("pack", PACKERS[1:])
def test_members_that_end_anywhere_in_what_is_read_at_once(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many"
    path.write_bytes(b"".join(pack(b"%d " % number) for number in range(40)))
    for size in (1, 3, 64, 67, 100_000):
        monkeypatch.setattr("megatron_bio.corpus.decompression.CHUNK_BYTES", size)
        with DecompressedFile(path) as stream:
            assert stream.read() == b"".join(b"%d " % number for number in range(40))


def test_skippable_frames_of_zstd_are_passed_over(tmp_path: Path) -> None:
    """pzstd writes one before each frame, the first at the very beginning; it tells the size of the frame."""
    path = tmp_path / "pzstd"
    frames = [PACKERS[3](b"%d" % number * 5000) for number in range(3)]
    skipped = [b"\x50\x2a\x4d\x18" + struct.pack("<II", 4, len(frame)) for frame in frames]
    last = b"\x5f\x2a\x4d\x18" + struct.pack("<I", 200_000) + os.urandom(200_000)
    path.write_bytes(b"".join(skip + frame for skip, frame in zip(skipped, frames, strict=True)) + last)
    with DecompressedFile(path) as stream:
        assert stream.read() == b"0" * 5000 + b"1" * 5000 + b"2" * 5000
    path.write_bytes(path.read_bytes()[:-1])
    assert_read_up_to(path, b"0" * 5000 + b"1" * 5000 + b"2" * 5000, "truncated")


def test_foreign_keys_go_into_meta(tmp_path: Path) -> None:
    path = tmp_path / "pile.jsonl"
    path.write_text(
        '\ufeff{"text": "a", "meta": {"pile_set_name": "PubMed"}, "license": "CC0", "title": null}\n'
        '{"text": "b", "meta": "free"}\n',
        encoding="utf-8",
    )
    first, second = read_documents([path])
    assert first.meta == {"pile_set_name": "PubMed", "license": "CC0"} and first.title == ""
    assert second.meta == {"meta": "free"} and second.source == "pile.jsonl"


@pytest.mark.parametrize(
    ("line", "story"),
    [
        (b'{"text": "a"', "complete JSON object"),
        (b'{"text": "a"} {"text": "b"}', "Extra data at column 15"),
        (b'["a"]', r"key 'text', found \[\"a\"\]"),
        (b'{"txt": "a"}', r"key 'text', found the keys \['txt'\]"),
        (b'{"text": null}', "string under 'text', found null"),
        (b'{"text": ["a"]}', "string under 'text'"),
        (b'{"text": "a", "title": 3}', "string under 'title', found 3"),
        (b'{"text": "a", "id": true}', "string under 'id', found true"),
        (b'{"text": "caf\xe9"}', "expected UTF-8, found the byte 0xe9 at column 14"),
        ('{"text": "a"}'.encode("utf-16"), "expected UTF-8, found the byte 0xff at column 1"),
        (b'{"text": "\\ud83d"}', "half of a surrogate pair"),
    ],
)
def test_malformed_lines_name_file_and_line(line: bytes, story: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"text": "fine"}\n\n' + line + b"\n")
    documents = read_documents([path])
    assert next(documents).text == "fine"
    with pytest.raises(CorpusError, match=rf"bad\.jsonl: line 3: .*{story}"):
        next(documents)


@pytest.mark.parametrize("content", [b"", b"\n \n", gzip.compress(b"", mtime=0)])
def test_empty_input_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"empty\.jsonl: .*found no content"):
        list(read_documents([path]))


def test_missing_files_are_reported_before_reading(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no file matches"):
        read_documents([tmp_path / "*.jsonl"])


def test_a_corpus_is_read_without_torch() -> None:
    program = (
        "import sys, megatron_bio.corpus.document, megatron_bio.corpus.pubmed.extract\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    started = time.monotonic()
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]" and time.monotonic() - started < 20
