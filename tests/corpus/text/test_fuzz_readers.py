"""Whatever a file holds, the readers end with documents, counted losses or a CorpusError, never with another error."""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megatron_bio.config.errors import UserError
from megatron_bio.config.extract_text import ExtractPileOptions, ExtractTextOptions
from megatron_bio.corpus.document import read_documents
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.pile.extract import extract_pile
from megatron_bio.corpus.text.extract import extract_text

FUZZ = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=12),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["text", "title", "id", "meta", "year", "pile_set_name", "x"])
JSON_LINES = st.dictionaries(KEYS, JSON_VALUES, max_size=5).map(lambda fields: json.dumps(fields).encode())
PILE_LINES = st.builds(
    lambda text, name, cut: json.dumps({"text": text, "meta": {"pile_set_name": name}}).encode()[cut:],
    JSON_VALUES,
    st.sampled_from(["PubMed Central", "ArXiv", None, 3]),
    st.integers(0, 3),
)
CONTENT = st.lists(JSON_LINES | PILE_LINES | st.binary(max_size=40) | st.just(b""), max_size=6).map(
    b"\n".join
)
STARTS = st.sampled_from(
    [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\x00\x00", b"{", b"PAR1", b"BZh"]
)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is forced to disk: thousands of small files are written."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    yield


def check(tmp_path: Path, verb: Any, options: type, content: bytes, **choices: object) -> None:
    """The extraction ends well or with a user's error, and what it wrote can be read by everything that follows."""
    path = tmp_path / "input"
    path.write_bytes(content)
    output = tmp_path / "output.jsonl.zst"
    output.unlink(missing_ok=True)
    with contextlib.suppress(UserError):
        verb(options(inputs=[str(path)], output=output, on_error="keep", resume=False, **choices))
    if output.exists():
        for document in read_documents([output]):
            assert document.text.split() and document.id
        with zstandard.open(output, "rb") as lines:
            for line in io.BufferedReader(lines):
                json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.usefixtures("quiet")
@FUZZ
@given(
    start=STARTS,
    content=CONTENT,
    choices=st.fixed_dictionaries(
        {
            "format": st.sampled_from(["auto", "jsonl", "text", "parquet"]),
            "document_separator": st.sampled_from(["file", "line", "blank-line"]),
            "encoding": st.sampled_from(["auto", "latin-1", "cp1252", "utf-16", "utf-7", "shift_jis"]),
            "meta_keys": st.sampled_from([[], ["year", "x=meta.x", "meta"]]),
            "id_key": st.sampled_from(["id", "x", "meta.id"]),
        }
    ),
)
def test_texts(tmp_path: Path, start: bytes, content: bytes, choices: dict[str, object]) -> None:
    check(tmp_path, extract_text, ExtractTextOptions, start + content, **choices)


@pytest.mark.usefixtures("quiet")
@FUZZ
@given(
    lines=st.lists(PILE_LINES | JSON_LINES | st.binary(max_size=30), max_size=8),
    compressed=st.booleans(),
    cut=st.integers(0, 12),
)
def test_the_pile(tmp_path: Path, lines: list[bytes], compressed: bool, cut: int) -> None:
    content = b"\n".join(lines)
    if compressed:
        content = zstandard.compress(content)
    check(tmp_path, extract_pile, ExtractPileOptions, content[: len(content) - cut or None])


@pytest.mark.usefixtures("quiet")
@FUZZ
@given(data=st.data())
def test_parquet_with_bytes_changed(tmp_path: Path, data: st.DataObject) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read with pyarrow (extra: corpus)")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read with pyarrow (extra: corpus)")
    buffer = io.BytesIO()
    table = pyarrow.table({"text": ["a text", "another", None] * 20, "year": list(range(60))})
    parquet.write_table(
        table, buffer, row_group_size=25, compression=data.draw(st.sampled_from(["none", "zstd", "snappy"]))
    )
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 5))] = data.draw(st.integers(0, 255))
    check(tmp_path, extract_text, ExtractTextOptions, bytes(content), meta_keys=["year"])


def test_the_check_can_fail(tmp_path: Path) -> None:
    def other_error(options: object) -> None:
        raise KeyError(options)

    with pytest.raises(KeyError):
        check(tmp_path, other_error, ExtractTextOptions, b"text")
    assert issubclass(CorpusError, UserError)
