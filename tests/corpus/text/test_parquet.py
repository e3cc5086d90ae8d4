"""Parquet as pyarrow and pandas write it: types, compressions, row groups, and damage."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.errors import IncompleteResultError
from megatron_bio.corpus.errors import CorpusError, DamagedFileError

pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read with pyarrow (extra: corpus)")
parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read with pyarrow (extra: corpus)")
Run = Callable[..., Any]
TEXTS = [f"Text {number}: α at 10⁶ cells.\nSecond paragraph." for number in range(50)]


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.string(),
        pyarrow.large_string(),
        pyarrow.string_view(),
        pyarrow.binary(),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    ],
    ids=str,
)
def test_types_and_compressions(tmp_path: Path, from_text: Run, kind: Any, compression: str) -> None:
    path = tmp_path / "a"
    column = pyarrow.array(TEXTS, pyarrow.string()).cast(kind)
    parquet.write_table(
        pyarrow.table({"text": column}),
        path,
        compression=compression,
        row_group_size=20,
        data_page_version="2.0",
    )
    documents, report = from_text(path)
    assert [document.text for document in documents] == TEXTS
    assert [document.id for document in documents] == [f"a:{number}" for number in range(1, 51)]
    assert report["records_read"] == report["kept"] == 50


def test_columns_as_pandas_writes_them(tmp_path: Path, from_text: Run) -> None:
    table = pyarrow.table(
        {
            "body": pyarrow.array(["one", None, "three", ""], pyarrow.large_string()),
            "pmid": pyarrow.array([1.0, 2.0, 3.0, 4.0]),
            "year": pyarrow.array([1999, None, 2001.0, 5]),
            "when": pyarrow.array([datetime(2020, 1, 2)] * 4),
            "info": pyarrow.array([{"journal": "J", "n": 1}, None, {"journal": "K", "n": 2}, None]),
            "mesh": pyarrow.array([["a", "b"], [], None, []]),
            "__index_level_0__": pyarrow.array([5, 6, 7, 8]),
        }
    )
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path)
    documents, report = from_text(
        path,
        text_key="body",
        id_key="pmid",
        meta_keys=["year", "when", "journal=info.journal", "mesh"],
        source="frame",
    )
    assert [(document.id, document.text) for document in documents] == [("1", "one"), ("3", "three")]
    assert documents[0].meta == {
        "year": 1999,
        "when": "2020-01-02T00:00:00",
        "journal": "J",
        "mesh": ["a", "b"],
    }
    assert documents[1].meta == {"year": 2001, "when": "2020-01-02T00:00:00", "journal": "K"}
    assert isinstance(documents[0].meta["year"], int), "a whole number, although gaps made it a float"
    assert report["skipped"] == {"no text": 1, "no words": 1}


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": TEXTS, "other": ["y" * 5_000 + str(number) for number in range(50)]})
    parquet.write_table(table, path, compression="none", use_dictionary=False)
    start = parquet.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 5_000] = b"\xff" * 5_000
    path.write_bytes(content)
    assert len(from_text(path)[0]) == 50, "a damaged column that nobody asks for does not matter"
    with pytest.raises(DamagedFileError):
        from_text(path, meta_keys=["other"])


def test_a_missing_or_unusable_column_is_named_with_those_there_are(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"body": ["a"], "n": [1], "tokens": [["a", "b"]]}), path)
    with pytest.raises(CorpusError, match=r"expected a column 'text', found the columns body, n, tokens\."):
        from_text(path)
    for options in ({"title_key": "headline"}, {"id_key": "uid"}, {"meta_keys": ["body.inner"]}):
        with pytest.raises(CorpusError, match=r"expected a column '(headline|uid|body\.inner)'"):
            from_text(path, text_key="body", **options)
    with pytest.raises(CorpusError, match="expected text in the column 'tokens', found values of type list"):
        from_text(path, text_key="tokens")


def test_a_value_that_is_no_text_costs_its_row_alone(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.parquet"
    column = pyarrow.array([b"one", b"\xff", b"three"], pyarrow.binary())
    string = pyarrow.StringArray.from_buffers(3, *column.buffers()[1:])
    for values in (column, string):
        parquet.write_table(pyarrow.table({"text": values}), path)
        with pytest.raises(DamagedFileError, match="record 2: expected"):
            from_text(path)
        with pytest.raises(IncompleteResultError):
            from_text(path, on_error="keep")
        report = json.loads((tmp_path / "out" / "text.jsonl.zst.report.json").read_text())
        assert (report["kept"], report["skipped"]) == (2, {"unusable record": 1})


def test_damage_keeps_the_other_row_groups(tmp_path: Path, from_text: Run) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(
        pyarrow.table({"text": TEXTS}), path, row_group_size=10, compression="zstd", use_dictionary=False
    )
    content = bytearray(path.read_bytes())
    column = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    middle = column.data_page_offset + column.total_compressed_size // 2
    content[middle : middle + 30] = b"\x00" * 30
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"a\.parquet: row group 1: expected readable Parquet"):
        from_text(path)
    with pytest.raises(IncompleteResultError, match="row group 1"):
        from_text(path, on_error="keep")
    report = json.loads((tmp_path / "out" / "text.jsonl.zst.report.json").read_text())
    assert (report["records_read"], report["kept"]) == (50, 40)
    assert report["skipped"] == {"damaged Parquet": 10}


@pytest.mark.parametrize("keep", [8, 200, -4, -30])
def test_a_truncated_file_is_named(tmp_path: Path, from_text: Run, keep: int) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": TEXTS}), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedFileError, match=r"a\.parquet: the footer: expected readable Parquet"):
        from_text(path)


def test_without_pyarrow_the_remedy_is_named_and_the_rest_works(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_text("text")
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from megatron_bio.cli import main\n"
        "sys.exit(main(['extract', 'text', sys.argv[1], '--output', sys.argv[1] + '.jsonl.zst']))"
    )
    for name, status in (("a.txt", 0), ("a.parquet", 1)):
        result = subprocess.run(
            [sys.executable, "-c", program, tmp_path / name],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        assert result.returncode == status, result.stderr
        assert ("pip install 'megatron-bio[corpus]'" in result.stderr) == bool(status)
