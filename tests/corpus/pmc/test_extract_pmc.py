"""The verb: from packages and files to documents and a report."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.errors import ConfigurationError, IncompleteResultError
from megatron_bio.config.extract_pmc import ExtractPmcOptions
from megatron_bio.corpus.document import Document, read_documents
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.pmc import pieces as pieces_module
from megatron_bio.corpus.pmc.extract import extract_pmc

Make = Callable[..., bytes]
Write = Callable[..., Path]


def licensed(address: str) -> str:
    return (
        f'<permissions><license xlink:href="http://creativecommons.org/{address}"/></permissions>'
        if address
        else ""
    )


def run(output: Path, *inputs: Path | str, **options: object) -> tuple[dict[str, Document], dict[str, Any]]:
    """The documents by id, in order, and the report."""
    extract_pmc(ExtractPmcOptions(inputs=[str(path) for path in inputs], output=output, **options))
    return read_output(output)


def read_output(output: Path) -> tuple[dict[str, Document], dict[str, Any]]:
    report = json.loads(output.with_name(f"{output.name}.report.json").read_text())
    return {document.id: document for document in read_documents([output])}, report


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "documents.jsonl.zst"


def test_articles_in_order_and_later_ones_replace(
    tmp_path: Path, output: Path, article: Make, package: Write
) -> None:
    first = package(
        {"PMC3.xml": article(3, body="<p>old</p>"), "a/PMC1.nxml": article(1), "read.me": b"?"}, "a.tar.gz"
    )
    single = tmp_path / "PMC9.xml.gz"
    single.write_bytes(gzip.compress(article(9)))
    second = package({"PMC3.xml": article(3, body="<p>new</p>")}, "b.tar.gz")
    documents, report = run(output, first, single, second)
    assert list(documents) == ["pmc:PMC1", "pmc:PMC9", "pmc:PMC3"]
    assert documents["pmc:PMC3"].text == "An abstract.\nnew"
    assert (report["files"], report["records_read"], report["kept"], report["replaced"]) == (3, 5, 3, 1)
    assert report["skipped"] == {"archive member that is no XML": 1}
    assert report["words"] == 3 * 2 + 3 + 3 + 1


def test_names_of_articles_without_numbers(output: Path, article: Make, package: Write) -> None:
    path = package(
        {"x/PMC5.nxml": article(None), "y/other.nxml": article(None), "z/other.v2.xml": article(None)}
    )
    documents, _ = run(output, path)
    assert list(documents) == ["pmc:PMC5", "pmc:other", "pmc:other.v2"]
    assert documents["pmc:PMC5"].meta["pmcid"] == "PMC5"


def test_refusals_are_counted_by_licence(output: Path, article: Make, package: Write) -> None:
    addresses = ["licenses/by/4.0", "publicdomain/zero/1.0", "licenses/by-nc/3.0", "licenses/by-nc/3.0", ""]
    path = package({f"PMC{n}.xml": article(n, license=licensed(a)) for n, a in enumerate(addresses, 1)})
    documents, report = run(output, path)
    assert list(documents) == ["pmc:PMC1", "pmc:PMC2"]
    assert report["skipped"] == {"licence CC-BY-NC-3.0": 2, "licence no-license": 1}
    documents, report = run(output, path, license="cc0")
    assert list(documents) == ["pmc:PMC2"] and report["skipped"]["licence CC-BY-4.0"] == 1
    documents, report = run(output, path, license="any")
    assert len(documents) == 5 and documents["pmc:PMC3"].meta["license"] == "CC-BY-NC-3.0"


def test_of_list_and_article_the_stricter_counts(
    tmp_path: Path, output: Path, article: Make, package: Write
) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(
        "Article File,Article Citation,AccessionID,LastUpdated,PMID,License,Retracted\n"
        + "".join(
            f"f,c,PMC{n},d,1,{name},{retracted}\n"
            for n, name, retracted in [
                (1, "CC BY", "yes"),
                (2, "CC BY-NC", "no"),
                (3, "CC BY", "no"),
                (5, "CC0", "no"),
                (9, "NO-CC CODE", "no"),
            ]
        )
    )
    path = package(
        {
            "PMC1.xml": article(1),
            "PMC2.xml": article(2),
            "PMC3.xml": article(3, license=licensed("licenses/by-nc/4.0")),
            "PMC4.xml": article(4),
            "PMC5.xml": article(5),
        }
    )
    single = tmp_path / "any.xml"
    single.write_bytes(article(9))
    documents, report = run(output, path, single, file_list=[str(listed)])
    assert list(documents) == ["pmc:PMC1", "pmc:PMC4", "pmc:PMC5"]
    assert documents["pmc:PMC5"].meta["license"] == "CC-BY-4.0"
    assert documents["pmc:PMC5"].meta["license_listed"] == "CC0"
    assert "license_listed" not in documents["pmc:PMC1"].meta
    assert documents["pmc:PMC1"].meta["retracted"] is True
    assert documents["pmc:PMC1"].meta["license"] == "CC-BY-4.0"
    assert report["skipped"] == {
        "licence CC-BY-NC (file list; the article says CC-BY-4.0)": 1,
        "licence CC-BY-NC-4.0 (article; the file list says CC-BY)": 1,
        "licence unknown (file list; the article says CC-BY-4.0)": 1,
    }


def test_articles_without_text(output: Path, article: Make, package: Write) -> None:
    path = package(
        {
            "PMC1.xml": article(1, body=""),
            "PMC2.xml": article(2, body="", abstract=""),
            "PMC3.xml": article(3),
        }
    )
    documents, report = run(output, path)
    assert documents["pmc:PMC1"].text == "An abstract."
    assert report["skipped"] == {"neither abstract nor body": 1}
    documents, report = run(output, path, require_body=True)
    assert list(documents) == ["pmc:PMC3"] and report["skipped"]["no body"] == 1
    documents, report = run(output, path, minimum_words=4)
    assert list(documents) == ["pmc:PMC3"] and report["skipped"]["fewer than 4 words"] == 1


def test_damage_stops_or_costs_only_what_it_touches(
    tmp_path: Path, output: Path, article: Make, package: Write
) -> None:
    bad = article(2).replace(b"</body>", b"</bady>")
    path = package({"PMC1.xml": article(1), "PMC2.xml": bad, "PMC3.xml": article(3)})
    empty, cut = tmp_path / "empty.xml", tmp_path / "cut.xml.gz"
    empty.write_bytes(b"")
    cut.write_bytes(gzip.compress(article(7))[:-9])
    good = tmp_path / "PMC8.nxml"
    good.write_bytes(article(8))
    with pytest.raises(DamagedFileError, match=r"package\.tar\.gz: member PMC2\.xml, line 1, column \d+"):
        run(output, path)
    assert not output.exists()
    with pytest.raises(IncompleteResultError, match="3 places"):
        run(output, path, empty, cut, good, on_error="keep")
    documents, report = read_output(output)
    assert list(documents) == ["pmc:PMC1", "pmc:PMC3", "pmc:PMC8"]
    assert report["skipped"] == {"not well-formed XML": 1, "empty": 1, "truncated compression": 1}
    assert [Path(loss["path"]).name for loss in report["losses"]] == [
        "package.tar.gz",
        "empty.xml",
        "cut.xml.gz",
    ]


def test_an_entity_that_is_never_expanded_is_damage(output: Path, article: Make, package: Write) -> None:
    odd = article(2, body="\n<p>One</p>\n<p>&odd;</p>", back="<ref-list>\n&other;</ref-list>")
    path = package({"PMC1.xml": article(1), "PMC2.xml": odd})
    with pytest.raises(DamagedFileError, match=r"member PMC2\.xml, line 3: .* found &odd;"):
        run(output, path)
    with pytest.raises(IncompleteResultError, match="1 place"):
        run(output, path, on_error="keep")
    documents, report = read_output(output)
    assert list(documents) == ["pmc:PMC1"]
    assert report["skipped"] == {"entity that is never expanded": 1}


def test_a_truncated_package_keeps_what_is_before(output: Path, article: Make, package: Write) -> None:
    path = package(
        {f"PMC{n}.xml": article(n, body=f"<p>{os.urandom(20_000).hex()}</p>") for n in range(1, 9)}
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        DamagedFileError, match=r"in member PMC\d\.xml at byte [\d,]+ of the unpacked archive"
    ):
        run(output, path)
    with pytest.raises(IncompleteResultError):
        run(output, path, on_error="keep")
    documents, report = read_output(output)
    assert 1 <= len(documents) <= 5 and report["kept"] == len(documents)


def test_nothing_to_keep_is_an_error(output: Path, article: Make, package: Write) -> None:
    with pytest.raises(CorpusError, match=r"licence CC-BY-NC-3\.0"):
        run(output, package({"PMC1.xml": article(1, license=licensed("licenses/by-nc/3.0"))}))
    assert not output.exists()


def test_options_are_checked(output: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="--license: expected 'commercial', 'cc0' or 'any', found 'by'"
    ):
        ExtractPmcOptions(inputs=["x"], output=output, license="by")  # type: ignore[arg-type]


@pytest.fixture
def large(article: Make, package: Write) -> Path:
    members = {f"PMC{n}.xml": article(n, body=f"<p>{'word ' * (n % 50)}{n}</p>") for n in range(1, 900)}
    members["PMC450.xml"] = article(450, license=licensed("licenses/by-nc/2.0"))
    members["PMC9/again.xml"] = article(9, body="<p>again</p>")
    return package(members)


def test_the_number_of_workers_changes_nothing(tmp_path: Path, large: Path) -> None:
    outputs = []
    for workers in (1, 2, 3):
        output = tmp_path / str(workers) / "documents.jsonl.zst"
        documents, report = run(output, large, workers=workers)
        assert len(documents) == 898 and report["replaced"] == 1
        outputs.append((output.read_bytes(), output.with_name(f"{output.name}.report.json").read_bytes()))
    assert outputs[0] == outputs[1] == outputs[2]


def kill_and_resume(tmp_path: Path, large: Path, workers: int, parts_before: int) -> None:
    whole = tmp_path / "whole" / "documents.jsonl.zst"
    run(whole, large)
    output = tmp_path / f"killed{workers}{parts_before}" / "documents.jsonl.zst"
    command = [sys.executable, "-m", "megatron_bio", "extract", "pmc", str(large), "--output", str(output)]
    process = subprocess.Popen([*command, "--workers", str(workers)], stdout=subprocess.DEVNULL)
    folder = output.with_name(f"{output.name}.unfinished")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if folder.is_dir() and len([*folder.glob("*.jsonl.zst")]) >= parts_before:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists() or process.returncode == 0
    run(output, large, workers=workers)
    assert output.read_bytes() == whole.read_bytes()
    assert not folder.exists()


def test_a_killed_run_goes_on(tmp_path: Path, large: Path) -> None:
    kill_and_resume(tmp_path, large, workers=1, parts_before=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("parts_before", [0, 1, 2, 3, 4])
def test_runs_killed_at_other_moments_go_on(
    tmp_path: Path, large: Path, workers: int, parts_before: int
) -> None:
    kill_and_resume(tmp_path, large, workers, parts_before)


def test_finished_parts_are_used_again(output: Path, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ExtractPmcOptions(inputs=[str(large)], output=output)
    read = pieces_module._read
    seen: list[str] = []

    def counting(reader: Any, path: Path, member: Any, choices: Any, listed: Any) -> Any:
        seen.append(member.name)
        if len(seen) == 600:
            raise KeyboardInterrupt
        return read(reader, path, member, choices, listed)

    monkeypatch.setattr(pieces_module, "_read", counting)
    with pytest.raises(KeyboardInterrupt):
        extract_pmc(options)
    extract_pmc(options)
    assert len(seen) == 600 + 900 - 512, "two batches of 256 were finished"
    assert len(read_output(output)[0]) == 898


@pytest.mark.parametrize("change", ["package", "option", "nothing"])
def test_parts_of_another_input_or_option_are_not_used(
    output: Path, article: Make, package: Write, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def members(word: str) -> dict[str, bytes]:
        figure = "<fig><caption><p>c</p></caption></fig>"
        return {f"PMC{n}.xml": article(n, body=f"<p>{word}</p>{figure}") for n in range(1, 300)}

    path = package(members("old"))
    folder = Path(f"{output}.unfinished")
    with monkeypatch.context() as patch:
        read = pieces_module._read

        def interrupting(reader: Any, path: Path, member: Any, choices: Any, listed: Any) -> Any:
            if member.name == "PMC260.xml":
                raise KeyboardInterrupt
            return read(reader, path, member, choices, listed)

        patch.setattr(pieces_module, "_read", interrupting)
        with pytest.raises(KeyboardInterrupt):
            run(output, path)
    assert [*folder.glob("*.jsonl.zst")], "the first part was finished"
    if change == "package":
        package(members("new!"))
    documents, _ = run(output, path, captions=change == "option")
    expected = {
        "package": "An abstract.\nnew!",
        "option": "An abstract.\nold\nc",
        "nothing": "An abstract.\nold",
    }
    assert {document.text for document in documents.values()} == {expected[change]}
