import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.config.errors import ConfigurationError, IncompleteResultError
from megatron_bio.config.extract import ExtractPubmedOptions
from megatron_bio.corpus.document import read_documents
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.pubmed.extract import extract_pubmed

Make = Callable[..., str]
Write = Callable[..., Path]


def text(words: str) -> str:
    return f"<AbstractText>{words}</AbstractText>"


def run(tmp_path: Path, *inputs: Path | str, **options: object) -> tuple[dict[str, str], dict[str, object]]:
    """Extracts and gives the texts by id, in order, and the report."""
    output = tmp_path / "out" / "documents.jsonl.zst"
    extract_pubmed(ExtractPubmedOptions(inputs=[str(path) for path in inputs], output=output, **options))
    return result(tmp_path)


def result(tmp_path: Path) -> tuple[dict[str, str], dict[str, object]]:
    """The texts by id, in order, and the report of what was written."""
    output = tmp_path / "out" / "documents.jsonl.zst"
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


def test_files_with_the_names_of_nlm_are_read_in_order_of_issue(
    tmp_path: Path, citation: Make, deletion: Make, pubmed_file: Write
) -> None:
    names = [
        "medline16n0902.xml",
        "pubmed24n1300.xml",
        "pubmed25n0009.xml",
        "pubmed25n1274.xml",
        "pubmed25n10000.xml",
    ]
    files = [pubmed_file(citation(1, abstract=text(name)), name=name) for name in names]
    for given in (files, files[::-1], files[2:] + files[:2]):
        assert run(tmp_path, *given)[0] == {"pubmed:1": names[-1]}
    other = pubmed_file(citation(1, abstract=text("other")), name="mine.xml")
    assert run(tmp_path, other, *files[::-1])[0] == {"pubmed:1": names[0]}, "in the order given"
    first = pubmed_file(citation(2), deletion(2), citation(3), name="pubmed25n0001.xml")
    second = pubmed_file(deletion(3), citation(2), name="pubmed25n0002.xml")
    assert list(run(tmp_path, second, first)[0]) == ["pubmed:2"]


def test_an_entity_that_cannot_be_expanded_is_damage(
    tmp_path: Path, citation: Make, pubmed_file: Write
) -> None:
    path = pubmed_file(citation(1, title="a &own; b"), citation(2))
    with pytest.raises(
        DamagedFileError, match=r"line 4 .*found '&own;' in the record of PMID 1\. .*write their text"
    ):
        run(tmp_path, path)
    with pytest.raises(IncompleteResultError, match="1 places"):
        run(tmp_path, path, on_error="keep")
    texts, report = result(tmp_path)
    assert list(texts) == ["pubmed:2"]
    assert report["skipped"] == {"entity that is never expanded": 1} and report["records_read"] == 2


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
    assert list(texts) == ["pubmed:1", "pubmed:6"]
    assert report["skipped"] == {"fewer than 3 words": 1, "no abstract": 3, "no valid PMID": 1}
    texts, report = run(tmp_path, path, minimum_words=3, require_abstract=False)
    assert texts["pubmed:4"] == "A rather long title." and "pubmed:5" not in texts
    assert report["skipped"] == {"fewer than 3 words": 2, "neither abstract nor title": 1, "no valid PMID": 1}
    skipped = report["skipped"]
    assert isinstance(skipped, dict)
    assert report["records_read"] == report["kept"] + sum(skipped.values()), "each record is counted once"


def test_damage_stops_or_what_is_intact_is_kept(
    tmp_path: Path, citation: Make, deletion: Make, pubmed_file: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    good = pubmed_file(citation(1), citation(2), name="1.xml")
    content = pubmed_file(
        *(citation(pmid) for pmid in range(3, 400)), deletion(1), name="plain.xml"
    ).read_bytes()
    cut = tmp_path / "2.xml.gz"
    cut.write_bytes(gzip.compress(content)[:-20])
    article = tmp_path / "3.xml"
    article.write_text("<article/>")
    broken = pubmed_file(citation(500), citation(501).replace("</Article>", ""), citation(502), name="4.xml")
    inputs = [good, cut, article, broken]
    with pytest.raises(DamagedFileError, match=r"2\.xml\.gz: .*truncated"):
        run(tmp_path, *inputs)
    assert not (tmp_path / "out" / "documents.jsonl.zst").exists()
    with pytest.raises(
        IncompleteResultError, match=r"documents\.jsonl\.zst is written and whole, but 3 places"
    ):
        run(tmp_path, *inputs, on_error="keep")
    texts, report = result(tmp_path)
    pmids = [int(name.removeprefix("pubmed:")) for name in texts]
    assert pmids[:2] == [1, 2] and pmids[-2:] == [500, 502]
    assert pmids[2:-2] == list(range(3, 3 + len(pmids) - 4)), "all whole records before the truncation"
    assert len(pmids) > 300
    assert report["files"] == 4 and report["skipped"] == {"not well-formed XML": 1}
    assert report["records_read"] == report["kept"] + 1
    losses = report["losses"]
    assert isinstance(losses, list)
    assert [loss["reason"] for loss in losses] == [
        "truncated compression",
        "wrong root element",
        "not well-formed XML",
    ]
    assert "PMID 501" in losses[2]["message"]
    printed = capsys.readouterr().out
    assert "2.xml.gz" in printed and "places of damage" in printed


def test_error_leaves_the_earlier_output(tmp_path: Path, citation: Make, pubmed_file: Write) -> None:
    good = pubmed_file(citation(1), name="good.xml")
    run(tmp_path, good)
    earlier = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert sorted(earlier) == ["documents.jsonl.zst", "documents.jsonl.zst.report.json"]
    (tmp_path / "bad.xml").write_text("<PubmedArticleSet>")
    with pytest.raises(DamagedFileError):
        run(tmp_path, good, tmp_path / "bad.xml")
    title_only = pubmed_file(citation(1, abstract=""), name="title.xml")
    with pytest.raises(CorpusError, match=r"found none in 1 files(.|\n)*skipped: no abstract +1"):
        run(tmp_path, title_only)
    hopeless = tmp_path / "hopeless.xml"
    for content in (
        b"",
        b"no XML",
        b"<article/>",
        b"<PubmedArticleSet/>",
        b"<PubmedArticleSet><PubmedArticle>",
    ):
        hopeless.write_bytes(content)
        with pytest.raises(CorpusError):
            run(tmp_path, hopeless)
        with pytest.raises(CorpusError, match="found none in 1 files"):
            run(tmp_path, hopeless, on_error="keep")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.jso*[nt]")} == earlier
    assert [path.name for path in (tmp_path / "out").glob("*.unfinished")] == []


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
        "--fields": {"inputs": ["x"], "output": output, "fields": "some"},
        "--other_abstracts": {"inputs": ["x"], "output": output, "fields": "text", "other_abstracts": True},
    }.items():
        with pytest.raises(ConfigurationError, match=flag):
            ExtractPubmedOptions(**options)
    itself = pubmed_file(citation(1), name="x.jsonl.zst")
    with pytest.raises(CorpusError, match="also an input"):
        extract_pubmed(ExtractPubmedOptions(inputs=[str(itself)], output=itself))
    output.mkdir()
    with pytest.raises(CorpusError, match="found a folder"):
        extract_pubmed(ExtractPubmedOptions(inputs=[str(itself)], output=output))
    assert not list(output.iterdir()) and not list(tmp_path.glob("*.unfinished"))
