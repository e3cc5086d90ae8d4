"""Kills, full disks and rivals: what is under a final name is whole, and the next run gives the same bytes."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from megatron_bio.config.extract import ExtractPubmedOptions
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.extraction.part import PartMaker
from megatron_bio.corpus.pubmed.extract import extract_pubmed
from megatron_bio.corpus.work_folder import LOCK, WorkFolder

Make = Callable[..., str]
Write = Callable[..., Path]
OUTPUT, REPORT = "documents.jsonl.zst", "documents.jsonl.zst.report.json"


@pytest.fixture
def inputs(citation: Make, deletion: Make, pubmed_file: Write) -> list[str]:
    """Three files with replaced and deleted records."""
    words = random.Random(1)

    def abstract() -> str:
        return f"<AbstractText>{' '.join(str(words.random()) for _ in range(60))}</AbstractText>"

    return [
        str(pubmed_file(*(citation(pmid, abstract=abstract()) for pmid in range(30)), name="a.xml")),
        str(
            pubmed_file(
                *(citation(pmid, abstract=abstract()) for pmid in range(20, 40)), deletion(3), name="b.xml"
            )
        ),
        str(pubmed_file(citation(5, version=2, abstract=abstract()), deletion(39), name="c.xml")),
    ]


def run(folder: Path, inputs: list[str], **options: object) -> dict[str, bytes]:
    """Everything that is in the folder afterwards."""
    extract_pubmed(ExtractPubmedOptions(inputs=inputs, output=folder / OUTPUT, progress=False, **options))
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in folder.iterdir()}


def in_a_child(work: Callable[[], object]) -> int:
    """The wait status of a forked process that does `work`; 0 when it came to its end, 256 after a CorpusError."""
    child = os.fork()
    if child == 0:
        status = 7
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            work()
            status = 0
        except CorpusError as error:
            (Path(os.environ["FOLDER"]) / "message").write_text(str(error))
            status = 1
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def killed_at(operation: int, folder: Path, inputs: list[str]) -> bool:
    """Runs with a kill before one of its operations on files; false if it has not so many."""
    events = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}

    def work() -> None:
        done = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal done
            # What removes a folder names its files without the folder.
            if event in events and (OUTPUT in str(arguments[0]) or event in ("os.remove", "os.rmdir")):
                done += 1
                if done == operation:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        run(folder, inputs)

    status = in_a_child(work)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def test_a_kill_before_any_operation_on_a_file(tmp_path: Path, inputs: list[str]) -> None:
    expected = run(tmp_path / "whole", inputs)
    assert sorted(expected) == [OUTPUT, REPORT]
    operation = 1
    while True:
        folder = tmp_path / f"killed-{operation}"
        folder.mkdir()
        if not killed_at(operation, folder, inputs):
            break
        for name in (OUTPUT, REPORT):
            assert contents(folder).get(name, expected[name]) == expected[name], "whole or not there"
        assert run(folder, inputs) == expected, f"after a kill before operation {operation}"
        operation += 1
    assert operation > 25, "expected the kills to reach all stages"
    assert contents(folder) == expected


def test_two_kills_and_other_numbers_of_workers(tmp_path: Path, inputs: list[str]) -> None:
    expected = run(tmp_path / "whole", inputs)
    for operation in (5, 9, 14):
        folder = tmp_path / f"killed-{operation}"
        folder.mkdir()
        assert killed_at(operation, folder, inputs) and killed_at(operation, folder, inputs)
        assert run(folder, inputs, workers=2) == expected
    for workers in (2, 3):
        assert run(tmp_path / f"workers-{workers}", inputs, workers=workers) == expected


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_kills_at_random_moments(tmp_path: Path, citation: Make, pubmed_file: Write, workers: int) -> None:
    files = [
        str(pubmed_file(*(citation(file * 10_000 + n) for n in range(10_000)), name=f"{file}.xml"))
        for file in range(4)
    ]
    expected = run(tmp_path / "whole", files)
    command = [
        sys.executable,
        "-m",
        "megatron_bio",
        "extract",
        "pubmed",
        *files,
        "--workers",
        str(workers),
        "--output",
    ]
    chance = random.Random(workers)
    for attempt in range(12):
        folder = tmp_path / f"attempt-{attempt}"
        number = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        process = subprocess.Popen(
            [*command, str(folder / OUTPUT)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[3],
        )
        time.sleep(chance.uniform(0.2, 1.6))
        process.send_signal(number)
        process.wait()
        deadline = time.monotonic() + 10
        while True:
            try:
                assert run(folder, files, workers=workers) == expected, f"attempt {attempt}, {number.name}"
                break
            except CorpusError:  # a worker of the killed run still has a moment to live
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_an_interrupted_run_leaves_no_temporary_file(
    tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("megatron_bio.corpus.document.DocumentWriter.write_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", inputs)
    assert sorted(contents(tmp_path / "out")) == [f"{OUTPUT}.unfinished"]
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_finished_parts_are_used_unless_something_changed(
    tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    made: list[str] = []
    make = PartMaker._make

    def counted(maker: PartMaker, piece: object, made_from: str) -> None:
        made.append(piece.name)  # type: ignore[attr-defined]
        make(maker, piece, made_from)  # type: ignore[arg-type]

    monkeypatch.setattr(PartMaker, "_make", counted)
    broken = tmp_path / "d.xml"
    broken.write_text("<article/>")
    for expected, options in (
        (["000000", "000001", "000002", "000003"], {}),
        (["000003"], {}),
        (["000000", "000001", "000002", "000003"], {"minimum_words": 1}),
        (["000000", "000001", "000002", "000003"], {"minimum_words": 1, "resume": False}),
    ):
        made.clear()
        with pytest.raises(DamagedFileError):
            run(folder, [*inputs, str(broken)], **options)
        assert made == expected
    os.utime(inputs[1], ns=(1, 1))
    made.clear()
    stale = folder / f"{OUTPUT}.unfinished" / ".000000.part.123.tmp"
    stale.write_text("of a run that was killed")
    (folder / f".{OUTPUT}.77.tmp").write_text("of another")
    assert sorted(run(folder, inputs, minimum_words=1)) == [OUTPUT, REPORT]
    assert made == ["000001"]


def test_lines_of_other_options_are_not_taken_after_a_kill(
    tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of a part were made anew with other options, but not yet its table."""
    expected = run(tmp_path / "whole", inputs)
    folder = tmp_path / "out"
    broken = tmp_path / "d.xml"
    broken.write_text("<article/>")
    with pytest.raises(DamagedFileError):
        run(folder, [*inputs, str(broken)])
    with monkeypatch.context() as patched:
        patched.setattr("json.dumps", lambda *arguments, **options: 1 / 0)
        patched.setattr("megatron_bio.corpus.extraction.part.fingerprint", lambda content: "other")
        with pytest.raises(ZeroDivisionError):
            run(folder, inputs, minimum_words=10_000)
    assert run(folder, inputs) == expected


@pytest.mark.parametrize("limit", [100, 6_000, 16_000])
def test_a_full_disk_is_told_and_leaves_nothing_half(tmp_path: Path, inputs: list[str], limit: int) -> None:
    """The limit of a file's size plays the full disk: in the first part, in a later one, in the output."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / OUTPUT).write_bytes(b"earlier")
    os.environ["FOLDER"] = str(tmp_path)

    def work() -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            run(folder, inputs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    assert in_a_child(work) == 256
    assert "cannot be written: File too large" in (tmp_path / "message").read_text()
    assert (folder / OUTPUT).read_bytes() == b"earlier" and not list(folder.rglob("*.tmp"))
    assert run(folder, inputs) == run(tmp_path / "whole", inputs)


def test_a_second_run_into_the_same_output_is_refused(tmp_path: Path, inputs: list[str]) -> None:
    output = tmp_path / "out" / OUTPUT
    with WorkFolder.locked_beside(output, resume=True) as folder:
        (folder.path / "000000.part").write_text("of the first run")
        for resume in (True, False):
            with pytest.raises(CorpusError, match="expected no other run that writes it"):
                run(output.parent, inputs, resume=resume)
        assert {path.name for path in folder.path.iterdir()} == {LOCK, "000000.part"}
    assert sorted(run(output.parent, inputs)) == [OUTPUT, REPORT]


@pytest.mark.parametrize(
    ("left", "stays"), [([], False), ([".000001.table.99.tmp"], False), (["000001.table"], True)]
)
def test_after_an_error_the_folder_stays_only_if_something_in_it_is_finished(
    left: list[str], stays: bool, tmp_path: Path
) -> None:
    """A worker that is ended in the middle of its work leaves half a file."""
    with (
        pytest.raises(CorpusError, match="hopeless"),
        WorkFolder.locked_beside(tmp_path / OUTPUT, resume=True) as folder,
    ):
        for name in left:
            (folder.path / name).write_text("x")
        raise CorpusError("hopeless")
    assert folder.path.exists() == stays


def test_a_folder_stays_only_with_something_finished_in_it(tmp_path: Path, inputs: list[str]) -> None:
    bad = tmp_path / "bad.xml"
    bad.write_text("<PubmedArticleSet>")
    with pytest.raises(CorpusError):
        run(tmp_path / "out", [str(bad), *inputs])
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(CorpusError):
        run(tmp_path / "out", [*inputs, str(bad)])
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{OUTPUT}.unfinished"]


def test_the_folder_of_the_next_run_is_not_removed(tmp_path: Path) -> None:
    """It may begin between the removal of the folder and the release of the lock."""
    output = tmp_path / OUTPUT
    with ExitStack() as second:
        with WorkFolder.locked_beside(output, resume=True) as folder:
            folder.remove()
            following = second.enter_context(WorkFolder.locked_beside(output, resume=True))
        assert [path.name for path in following.path.iterdir()] == [LOCK]
    assert not following.path.exists()


def test_an_output_that_is_a_folder_or_lies_in_a_file_is_refused_at_once(
    tmp_path: Path, inputs: list[str]
) -> None:
    (tmp_path / "folder" / REPORT).mkdir(parents=True)
    with pytest.raises(CorpusError, match=f"expected a file or nothing at .*{REPORT}, found a folder"):
        run(tmp_path / "folder", inputs)
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="expected a folder to write in"):
        run(tmp_path / "file", inputs)


def test_the_report_counts_everything(tmp_path: Path, inputs: list[str]) -> None:
    report = json.loads(run(tmp_path / "out", inputs)[REPORT])
    assert report["records_read"] == 51 and report["replaced"] == 11 and report["deleted"] == 2
    assert report["kept"] + report["replaced"] + report["deleted"] == report["records_read"]
