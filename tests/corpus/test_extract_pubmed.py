import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.extract import ExtractPubmedOptions
from megatron_bio.corpus.document import read_documents
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.extraction.register import PAGE_SIZE, Register
from megatron_bio.corpus.pubmed.extract import extract_pubmed

Make = Callable[..., str]
Write = Callable[..., Path]


def text(words: str) -> str:
    return f"<AbstractText>{words}</AbstractText>"


def run(tmp_path: Path, *inputs: Path | str, **options: object) -> tuple[dict[str, str], dict[str, object]]:
    """Extracts and gives the texts by id, in order, and the report."""
    output = tmp_path / "out" / "documents.jsonl.zst"
    extract_pubmed(ExtractPubmedOptions(inputs=[str(path) for path in inputs], output=output, **options))
    report = json.loads(output.with_name(f"{output.name}.report.json").read_text())
    return {document.id: document.text for document in read_documents([output])}, report


def test_updates_versions_and_deletions(
    tmp_path: Path, citation: Make, deletion: Make, pubmed_file: Write
) -> None:
    baseline = pubmed_file(
        *(citation(pmid, abstract=text(f"baseline {pmid}")) for pmid in (1, 2, 3, 4, 5, 70_000)),
        citation(5, version=2, abstract=text("baseline 5, version 2")),
        citation(6, version=2, abstract=text("baseline 6, version 2")),
        deletion(9),
        name="a.xml",
    )
    first = pubmed_file(
        citation(2, abstract=text("update 2")),
        deletion(3, 70_000),
        deletion(5),
        deletion(6, version=2),
        name="b.xml",
    )
    second = pubmed_file(
        citation(3, abstract=text("back again 3")),
        citation(4, abstract=text("update 4")),
        citation(5, abstract=text("a late correction of version 1")),
        citation(4, abstract=""),
        name="c.xml",
    )
    texts, report = run(tmp_path, baseline, first, second)
    assert texts == {
        "pubmed:1": "baseline 1",
        "pubmed:5": "baseline 5, version 2",
        "pubmed:2": "update 2",
        "pubmed:3": "back again 3",
    }
    assert report["files"] == 3 and report["records_read"] == 13
    assert (report["kept"], report["replaced"], report["deleted"]) == (4, 6, 2)
    assert report["skipped"] == {"no abstract": 1} and report["deletions_listed"] == 5
    assert report["words"] == 11 and report["characters"] == sum(map(len, texts.values()))


def test_a_deletion_without_version_takes_all_versions(
    tmp_path: Path, citation: Make, deletion: Make, pubmed_file: Write
) -> None:
    path = pubmed_file(citation(1), citation(1, version=2), citation(2), deletion(1, version=None))
    texts, report = run(tmp_path, path)
    assert list(texts) == ["pubmed:2"] and report["deleted"] == 2


def test_deleting_the_highest_version_brings_back_the_one_below(
    tmp_path: Path, citation: Make, deletion: Make, pubmed_file: Write
) -> None:
    records = [citation(1, version=version, abstract=text(f"version {version}")) for version in (3, 1, 2)]
    assert run(tmp_path, pubmed_file(*records))[0] == {"pubmed:1": "version 3"}
    assert run(tmp_path, pubmed_file(*records, deletion(1, version=3)))[0] == {"pubmed:1": "version 2"}


def test_order_of_files_decides(tmp_path: Path, citation: Make, pubmed_file: Write) -> None:
    old = pubmed_file(citation(1, abstract=text("old")), name="old.xml")
    new = pubmed_file(citation(1, abstract=text("new")), name="new.xml")
    assert run(tmp_path, old, new)[0] == {"pubmed:1": "new"}
    assert run(tmp_path, new, old)[0] == {"pubmed:1": "old"}


def test_filters_are_counted_by_reason(tmp_path: Path, citation: Make, pubmed_file: Write) -> None:
    path = pubmed_file(
        citation(1, abstract=text("one two three")),
        citation(2, abstract=text("one two")),
        citation(3, abstract=""),
        citation(4, abstract="", title="A rather long title."),
        citation(5, abstract="", title="[Not Available]."),
        citation("none"),
        citation(6, outside="<OtherAbstract><AbstractText>x</AbstractText></OtherAbstract>"),
    )
    texts, report = run(tmp_path, path, minimum_words=3)
    assert list(texts) == ["pubmed:1", "pubmed:6"] and report["other_abstracts_unused"] == 1
    assert report["skipped"] == {"fewer than 3 words": 1, "no abstract": 3, "no valid PMID": 1}
    texts, report = run(tmp_path, path, minimum_words=3, require_abstract=False)
    assert texts["pubmed:4"] == "A rather long title." and "pubmed:5" not in texts
    assert report["skipped"] == {"fewer than 3 words": 2, "neither abstract nor title": 1, "no valid PMID": 1}
    skipped = report["skipped"]
    assert isinstance(skipped, dict)
    assert report["records_read"] == report["kept"] + sum(skipped.values()), "each record is counted once"


def test_one_bad_file_stops_or_is_left_out_whole(
    tmp_path: Path, citation: Make, deletion: Make, pubmed_file: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    good = pubmed_file(citation(1), citation(2), name="1.xml")
    content = pubmed_file(
        *(citation(pmid) for pmid in range(2, 400)), deletion(1), name="plain.xml"
    ).read_bytes()
    cut = tmp_path / "2.xml.gz"
    cut.write_bytes(gzip.compress(content)[:-20])
    article = tmp_path / "3.xml"
    article.write_text("<article/>")
    last = pubmed_file(citation(500), name="4.xml")
    inputs = [good, cut, article, last]
    with pytest.raises(DamagedFileError, match=r"2\.xml\.gz: .*truncated"):
        run(tmp_path, *inputs)
    assert not (tmp_path / "out" / "documents.jsonl.zst").exists()
    texts, report = run(tmp_path, *inputs, on_error="skip")
    assert list(texts) == ["pubmed:1", "pubmed:2", "pubmed:500"], "a skipped file must change nothing"
    assert report["files"] == 2 and report["records_read"] == 3 and report["replaced"] == 0
    assert [skipped["reason"] for skipped in report["files_skipped"]] == [
        "truncated compression",
        "wrong root element",
    ]
    printed = capsys.readouterr().out
    assert "2.xml.gz" in printed and "files skipped" in printed


def test_error_leaves_the_earlier_output(tmp_path: Path, citation: Make, pubmed_file: Write) -> None:
    good = pubmed_file(citation(1), name="good.xml")
    run(tmp_path, good)
    earlier = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "bad.xml").write_text("<PubmedArticleSet>")
    with pytest.raises(DamagedFileError):
        run(tmp_path, good, tmp_path / "bad.xml")
    title_only = pubmed_file(citation(1, abstract=""), name="title.xml")
    with pytest.raises(CorpusError, match=r"found none in 1 files(.|\n)*skipped: no abstract +1"):
        run(tmp_path, title_only)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == earlier


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to play a full disk")
def test_full_disk_under_the_spool_is_a_user_error(
    tmp_path: Path, citation: Make, pubmed_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full_disk:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: full_disk)
        with pytest.raises(CorpusError, match="cannot hold the temporary documents: No space left"):
            run(tmp_path, pubmed_file(citation(1)))
    assert not list((tmp_path / "out").iterdir())


def test_output_is_deterministic_and_its_checksum_reported(
    tmp_path: Path, citation: Make, pubmed_file: Write
) -> None:
    path = pubmed_file(*(citation(pmid, abstract=text(f"text {pmid} " * 50)) for pmid in range(300)))
    output = tmp_path / "out" / "documents.jsonl.zst"
    checksums = set()
    for _ in range(2):
        _, report = run(tmp_path, path)
        checksums |= {report["sha256"], hashlib.sha256(output.read_bytes()).hexdigest()}
    assert len(checksums) == 1


def test_prints_the_counts(
    tmp_path: Path, citation: Make, pubmed_file: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, pubmed_file(citation(1), citation(2, abstract="")))
    lines = [line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    for row in (["records read", "2"], ["kept", "1"], ["skipped: no abstract", "1"], ["words", "3"]):
        assert row in lines


def test_impossible_options_name_the_flag(tmp_path: Path, citation: Make, pubmed_file: Write) -> None:
    output = tmp_path / "d.jsonl.zst"
    for flag, options in {
        "--inputs": {"inputs": [], "output": output},
        "--output": {"inputs": ["x"], "output": tmp_path / "d.json"},
        "--minimum_words": {"inputs": ["x"], "output": output, "minimum_words": -1},
        "--on_error": {"inputs": ["x"], "output": output, "on_error": "ignore"},
    }.items():
        with pytest.raises(ConfigurationError, match=flag):
            ExtractPubmedOptions(**options)
    itself = pubmed_file(citation(1), name="x.jsonl.zst")
    with pytest.raises(CorpusError, match="also an input"):
        extract_pubmed(ExtractPubmedOptions(inputs=[str(itself)], output=itself))


def test_register_needs_eight_bytes_per_pmid() -> None:
    register = Register()
    for pmid in range(1_000_000):
        register.put(pmid, 1, 2 * pmid)
    assert sum(page.itemsize * len(page) for page in register._pages.values()) < 8 * (1_000_000 + PAGE_SIZE)
    assert register.current(0) == 0 and register.current(999_999) == 1_999_998
    assert register.current(5_000_000) is None
