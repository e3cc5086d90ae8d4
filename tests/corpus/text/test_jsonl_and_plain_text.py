"""JSONL and plain text: keys, separators, encodings, and what cannot be used."""

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from megatron_bio.config.errors import ConfigurationError, IncompleteResultError
from megatron_bio.config.extract_text import ExtractTextOptions
from megatron_bio.corpus.errors import CorpusError, DamagedFileError

Run = Callable[..., Any]


def jsonl(*objects: object) -> bytes:
    return b"".join(json.dumps(fields, ensure_ascii=False).encode() + b"\n" for fields in objects)


def test_jsonl_with_keys_of_its_own(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "notes.json"
    path.write_bytes(
        jsonl(
            {"body": "one word", "head": "T", "uid": 7, "pub": {"year": 2001}, "n": 1.5, "language": "eng"},
            {"body": "two", "head": None, "uid": "b", "pub": None, "n": float("nan")},
            {"body": "three", "uid": 3.0, "pub.year": 1999, "lists": [1, {"a": None}]},
        )
    )
    documents, report = from_text(
        path,
        text_key="body",
        title_key="head",
        id_key="uid",
        meta_keys=["year=pub.year", "n", "lists", "languages=language"],
        source="notes",
    )
    assert [(document.id, document.title, document.text) for document in documents] == [
        ("7", "T", "one word"),
        ("b", "", "two"),
        ("3", "", "three"),
    ]
    assert [document.meta for document in documents] == [
        {"year": 2001, "n": 1.5, "languages": ["eng"]},
        {},
        {"year": 1999, "lists": [1, {"a": None}]},
    ]
    assert {document.source for document in documents} == {"notes"}
    assert report["kept"] == 3 and report["words"] == 4


def test_jsonl_by_default(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"\n" + jsonl({"text": " kept  as it is\n"}, {"text": None}, {"text": ""}, {"text": "x", "id": "i"})
    )
    documents, report = from_text(path)
    assert [(document.id, document.text) for document in documents] == [
        ("a.jsonl:2", " kept  as it is\n"),
        ("i", "x"),
    ]
    assert report["skipped"] == {"no text": 1, "no words": 1}
    assert from_text(path, minimum_words=2)[1]["skipped"] == {
        "no text": 1,
        "no words": 1,
        "fewer than 2 words": 1,
    }


@pytest.mark.parametrize(
    "compress",
    [
        bytes,
        gzip.compress,
        lzma.compress,
        zstandard.ZstdCompressor().compress,
        lambda content: gzip.compress(content[:9]) + gzip.compress(content[9:]),
        lambda content: zstandard.compress(content[:9]) + zstandard.compress(content[9:]),
    ],
)
def test_compression_is_told_by_content(
    tmp_path: Path, from_text: Run, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(compress(jsonl({"text": "one"}, {"text": "two"})))
    assert [document.text for document in from_text(path)[0]] == ["one", "two"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, from_text: Run, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    lines = tmp_path / "a.jsonl"
    lines.write_bytes((mark + '{"text": "10⁶ ऀਊ"}\r\n{"text": "β"}').encode(encoding))
    plain = tmp_path / "a.txt"
    plain.write_bytes((mark + "µ-opioid ਊ\r\nreceptor").encode(encoding))
    assert [document.text for document in from_text(lines, plain)[0]] == [
        "10⁶ ऀਊ",
        "β",
        "µ-opioid ਊ\nreceptor",
    ]


def test_another_encoding_is_named_with_its_place_and_remedy(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\nSjögren syndrome\n".encode("latin-1"))
    message = (
        r"a\.txt: the document at line 2: expected UTF-8, found the byte 0xf6 at its byte 2\. .*--encoding"
    )
    with pytest.raises(DamagedFileError, match=message):
        from_text(path, document_separator="line")
    documents, _ = from_text(path, document_separator="line", encoding="latin-1")
    assert documents[1].text == "Sjögren syndrome"
    path.write_bytes("café".encode("utf-16-le"))
    with pytest.raises(DamagedFileError, match=r"NUL byte at byte 1.*--encoding utf-16-le"):
        from_text(path)
    assert from_text(path, encoding="utf-16-le")[0][0].text == "café"
    path.write_bytes(b"\xff\xfea\x00\x00\xd8b\x00")
    with pytest.raises(DamagedFileError, match=r"between the bytes 2 and 8 .* expected text in utf-16-le"):
        from_text(path)


def test_a_file_is_a_document(tmp_path: Path, from_text: Run) -> None:
    paths = []
    for number in range(30):
        paths.append(tmp_path / f"{number}.txt")
        paths[-1].write_text(f"\n text {number}\r\n\r\nsecond paragraph\n")
    paths[7].write_text(" \n")
    documents, report = from_text(*paths)
    assert [document.id for document in documents] == [f"{number}.txt" for number in range(30) if number != 7]
    assert documents[3].text == "text 3\n\nsecond paragraph" and documents[3].source == "text"
    assert report["skipped"] == {"no words": 1} and report["files"] == 30


def test_a_blank_line_or_a_line_end_separates_documents(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.txt"
    content = b"\n\none\ntwo\n \t\n\nthree\r\n\r\n\r\n  four\nfive"
    path.write_bytes(content)
    documents, _ = from_text(path, document_separator="blank-line")
    assert [(document.id, document.text) for document in documents] == [
        ("a.txt:3", "one\ntwo"),
        ("a.txt:7", "three"),
        ("a.txt:10", "four\nfive"),
    ]
    path.write_bytes(b" \none\n\n\ttwo")
    documents, _ = from_text(path, document_separator="blank-line")
    assert [document.id for document in documents] == ["a.txt:2", "a.txt:4"]
    path.write_bytes(content)
    documents, _ = from_text(path, document_separator="line")
    assert [(document.id, document.text) for document in documents] == [
        *(
            ("a.txt:3", "one"),
            ("a.txt:4", "two"),
            ("a.txt:7", "three"),
            ("a.txt:10", "four"),
            ("a.txt:11", "five"),
        )
    ]


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("separator", ["line", "blank-line"])
def test_batches_change_nothing(
    tmp_path: Path, from_text: Run, separator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    paragraphs = [
        "\n".join(f"line {number} {'x' * (number * 37 % 150 + 1)}" for _ in range(number % 4 + 1))
        for number in range(60)
    ]
    path.write_text("".join(f"{text}\n{' ' * (number % 3)}\n" for number, text in enumerate(paragraphs)))
    cut, _ = from_text(path, document_separator=separator)
    monkeypatch.undo()
    whole, _ = from_text(path, document_separator=separator)
    assert cut == whole
    if separator == "blank-line":
        assert [document.text for document in whole] == paragraphs


def test_documents_longer_than_a_batch(
    tmp_path: Path, from_text: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("megatron_bio.corpus.line_batches.BATCH_BYTES", 100)
    monkeypatch.setattr("megatron_bio.corpus.line_batches.LONGEST_RECORD_BYTES", 1_000)
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(f"{number} {'x' * 300}" for number in range(20)))
    for separator in ("blank-line", "line"):
        documents, _ = from_text(path, document_separator=separator)
        assert [document.id for document in documents] == [f"a.txt:{2 * number + 1}" for number in range(20)]


def test_files_of_all_kinds_in_one_run_keep_their_order(
    tmp_path: Path, from_text: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("megatron_bio.corpus.text.whole_files.MOST_FILES", 4)
    paths = []
    for number in range(23):
        paths.append(tmp_path / str(number))
        paths[-1].write_text(f'{{"text": "{number}"}}' if number in (6, 7, 15) else f"text {number}")
    documents, report = from_text(*paths)
    assert [document.text.split()[-1] for document in documents] == [str(number) for number in range(23)]
    assert [document.id for document in documents][5:8] == ["5", "6:1", "7:1"]
    assert report["kept"] == 23


def test_files_of_one_name_need_another_id(tmp_path: Path, from_text: Run) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "note.txt").write_text(folder)
    paths = [tmp_path / "a" / "note.txt", tmp_path / "b" / "note.txt"]
    with pytest.raises(CorpusError, match="--file_ids path"):
        from_text(*paths)
    assert [document.id for document in from_text(*paths, file_ids="path")[0]] == [
        str(path) for path in paths
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"PK\x03\x04rest", "found a zip archive. Unpack it"),
        (b"BZh91AY&SY", "truncated"),
        (b"x" * 257 + b"ustar", "found a tar archive"),
        (b"%PDF-1.4", "found a PDF"),
        (b'[\n {"text": "a"}]', "found one JSON array of objects.*jq"),
        (b"a\x00b", "found a NUL byte at byte 1"),
        (gzip.compress(b"PAR1 ", mtime=0), "Parquet file inside another compression"),
        (gzip.compress(b"x" * 90_000, mtime=0)[:-9], "truncated"),
    ],
)
def test_other_files_are_named(tmp_path: Path, from_text: Run, content: bytes, message: str) -> None:
    good = tmp_path / "good.txt"
    good.write_text("good")
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=f"other: .*{message}"):
        from_text(good, path)
    with pytest.raises(IncompleteResultError, match=message):
        from_text(path, good, on_error="keep")
    report = json.loads((tmp_path / "out" / "text.jsonl.zst.report.json").read_text())
    assert report["kept"] == 1 and report["files"] == 2 and len(report["losses"]) == 1


def test_bad_lines_are_named(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.jsonl"
    bad = [b"{", b"{}", b'{"text": 1}', b'{"text": "\\udc00"}', b'{"text": "\xe9"}', b"[" * 99_999, b"7"]
    bad += [b'{"text": "a", "id": []}', b'{"text": "a", "title": 1}', b'{"text": "a", "m": "\\ud801"}']
    path.write_bytes(b"\n".join([b'{"text": "first"}', *bad, b'{"text": "last"}']))
    with pytest.raises(DamagedFileError, match="line 2: expected one complete JSON object"):
        from_text(path, meta_keys=["m"])
    with pytest.raises(IncompleteResultError):
        from_text(path, on_error="keep", meta_keys=["m"])
    report = json.loads((tmp_path / "out" / "text.jsonl.zst.report.json").read_text())
    assert report["kept"] == 2 and sum(report["skipped"].values()) == len(bad) == len(report["losses"])
    for number, loss in enumerate(report["losses"], start=2):
        assert f"{number}: expected" in loss["message"], loss


def test_an_id_key_that_is_asked_for_must_be_there(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl({"text": "a", "uid": "1"}, {"text": "b"}))
    with pytest.raises(DamagedFileError, match="record 2: expected an id under 'uid', found none"):
        from_text(path, id_key="uid")


def test_a_record_that_never_ends_is_an_error(
    tmp_path: Path, from_text: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("megatron_bio.corpus.line_batches.LONGEST_RECORD_BYTES", 1 << 20)
    monkeypatch.setattr("megatron_bio.corpus.line_batches.BATCH_BYTES", 1 << 16)
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl({"text": "a"}) + b'{"text": "' + b"x" * (3 << 20))
    with pytest.raises(DamagedFileError, match="line 2: expected a line end at least every 1 MiB"):
        from_text(path)
    monkeypatch.setattr("megatron_bio.corpus.text.whole_files.LARGEST_DOCUMENT_BYTES", 1 << 19)
    path.write_bytes(b"word\n" * 200_000)
    with pytest.raises(DamagedFileError, match="--document_separator blank-line or line"):
        from_text(path)


def test_impossible_options_name_the_flag() -> None:
    for flag, options in {
        "--text_key": {"text_key": ""},
        "--source": {"source": ""},
        "--format": {"format": "xml"},
        "--document_separator": {"document_separator": "tab"},
        "--meta_keys": {"meta_keys": ["a", "a=b"]},
        "--encoding": {"encoding": "no-such"},
        "--encoding:": {"encoding": "hex"},
    }.items():
        with pytest.raises(ConfigurationError, match=flag):
            ExtractTextOptions(inputs=["x"], output=Path("o.jsonl.zst"), **options)
