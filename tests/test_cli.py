"""The command line: what people may write, what they are told, and with which exit status."""

import ast
import errno
import importlib
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from megatron_bio import __version__
from megatron_bio.cli import main
from megatron_bio.config.command_line import parse_options
from megatron_bio.config.errors import UserError
from megatron_bio.config.parser import Program
from megatron_bio.config.schema import options_of
from megatron_bio.tokens.errors import TokenizerWarning
from megatron_bio.verbs import VERBS
from megatron_bio.verbs.verb import Verb

ROOT = Path(__file__).parents[1]
EXTRACT = ("extract", "pubmed")


class Recorder:
    """Stands for a verb's function."""

    def __init__(self) -> None:
        self.options: Any = None
        self.error: BaseException | None = None

    def __call__(self, options: Any) -> None:
        self.options = options
        if self.error:
            raise self.error


@pytest.fixture
def extract(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr("megatron_bio.corpus.pubmed.extract.extract_pubmed", recorder)
    return recorder


def load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


# Help


def test_overview_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in VERBS:
        assert re.search(rf"^  {verb.name}  +{re.escape(verb.summary)}$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 100


def test_no_verb_shows_the_overview_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    output = capsys.readouterr()
    assert output.out == "" and "pretrain" in output.err


def test_group_of_verbs_lists_only_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--help"]) == 0
    text = capsys.readouterr().out
    assert "extract pubmed" in text and "usage: megatron-bio extract VERB" in text
    assert "pretrain" not in text
    assert main(["extract"]) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"megatron-bio {__version__}\n"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_help_of_a_verb_has_what_a_newcomer_needs_and_no_noise(
    verb: Verb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as exit_:
        main([*verb.name.split(), "--help"])
    assert exit_.value.code in (0, None)
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {verb.program} ")
    assert verb.description in text and all(example in text for example in verb.examples)
    options = options_of(load(verb.options))
    for name, option in options.items():
        shown = re.search(rf"^  --{re.escape(name)} .*(?:\n {{10,}}.*)*", text, re.MULTILINE)
        assert shown, f"{name} is missing"
        assert ("(required)" in " ".join(shown[0].split())) == option.required
        assert len(shown[0].split()) > 4, f"{name} has no help text"
    for flag in ("--help", "--config", "--print_config", "--traceback"):
        assert f"{flag} " in text
    for noise in ("type:", "<class", "Literal[", "CONFIG", "[ITEM", "null", "+ ", "==SUPPRESS=="):
        assert noise not in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_examples_of_a_verb_parse(verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokenizer").mkdir()
    recipe = {"data": {"prefixes": ["p"], "tokenizer": "t"}, "training": {"output": "o", "train_steps": 3}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert verb.examples
    for example in verb.examples:
        words = shlex.split(re.sub(r"^.*(megatron-bio|-m megatron_bio) ", "", example))
        assert words[: len(verb.name.split())] == verb.name.split()
        program = Program(name=verb.program, description="", positional=verb.positional)
        options = parse_options(load(verb.options), words[len(verb.name.split()) :], program)
        assert isinstance(options, load(verb.options))


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_function_of_a_verb_takes_its_options(verb: Verb) -> None:
    """Read, not imported, for torch takes seconds."""
    module, _, name = verb.function.partition(":")
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    functions = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    assert len(functions) == 1
    (argument,) = functions[0].args.args
    assert argument.annotation and ast.unparse(argument.annotation) == verb.options.partition(":")[2]


def test_help_and_data_verbs_load_no_torch() -> None:
    program = """
import sys
from megatron_bio.cli import main, _load
from megatron_bio.tokens.errors import TokenizerWarning
from megatron_bio.verbs import VERBS
main(["--help"])
assert "jsonargparse" not in sys.modules, "the overview loads jsonargparse"
for verb in VERBS:
    try: main([*verb.name.split(), "--help"])
    except SystemExit: pass
for verb in VERBS:
    if verb.name in ("extract pubmed", "vocabulary train", "preprocess", "doctor", "inspect"): _load(verb.function)
print("torch" in sys.modules)
"""
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "False"


# Mistakes


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["pretran"], 2, "'pretran' is not a verb; did you mean pretrain? All verbs: megatron-bio --help"),
        (
            ["extract", "pubmd"],
            2,
            "'extract pubmd' is not a verb; did you mean extract pubmed? All verbs: megatron-bio --help",
        ),
        (["zzz"], 2, "'zzz' is not a verb. All verbs: megatron-bio --help"),
        (
            [*EXTRACT, "--input", "a"],
            2,
            "--input is not an option of extract pubmed; did you mean --inputs? "
            "All options: megatron-bio extract pubmed --help",
        ),
        (
            [*EXTRACT, "--inputs", "a", "--output", "o.jsonl.zst", "--minimum_words=x"],
            2,
            "--minimum_words: expected a whole number, found 'x'.",
        ),
        (
            [*EXTRACT, "--inputs", "a", "--output", "o.jsonl.zst", "--minimum_words=-1"],
            1,
            "--minimum_words: expected 0 or more, found -1.",
        ),
    ],
)
def test_mistakes_are_one_line_and_tell_usage_from_impossible_wishes(
    words: list[str], status: int, expected: str, capsys: pytest.CaptureFixture[str], extract: Recorder
) -> None:
    assert main(words) == status
    program = "megatron-bio extract pubmed" if words[:2] == [*EXTRACT] else "megatron-bio"
    assert capsys.readouterr() == ("", f"{program}: error: {expected}\n")
    assert extract.options is None


# How failures end


RUN = [*EXTRACT, "--inputs", "a", "--output", "o.jsonl.zst"]


def test_user_error_is_one_line_and_status_1(extract: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    extract.error = UserError("a.xml: line 3: expected <b>, found <c>.")
    assert main(RUN) == 1
    assert (
        capsys.readouterr().err
        == "megatron-bio extract pubmed: error: a.xml: line 3: expected <b>, found <c>.\n"
    )


def test_traceback_when_asked_for(
    extract: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    extract.error = UserError("wrong")
    assert main([*RUN, "--traceback"]) == 1
    by_flag = capsys.readouterr().err
    monkeypatch.setenv("MEGATRON_BIO_TRACEBACK", "1")
    assert main(RUN) == 1
    by_environment = capsys.readouterr().err
    for text in (by_flag, by_environment):
        assert text.startswith("Traceback (most recent call last):")
        assert text.endswith("megatron-bio extract pubmed: error: wrong\n")


def test_interrupt(extract: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    extract.error = KeyboardInterrupt()
    assert main(RUN) == 130
    assert capsys.readouterr().err == "megatron-bio extract pubmed: interrupted\n"


def test_full_disk_is_no_bug(extract: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    extract.error = OSError(errno.ENOSPC, "No space left on device", "/data/o")
    assert main(RUN) == 1
    message = capsys.readouterr().err
    assert message.startswith("megatron-bio extract pubmed: error: /data/o: No space left on device. ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("bug"), OSError(errno.ENOENT, "forgotten check"), BrokenPipeError()]
)
def test_bugs_keep_their_traceback(extract: Recorder, error: Exception) -> None:
    extract.error = error
    with pytest.raises(type(error)):
        main(RUN)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_has_gone_is_no_error(unbuffered: str) -> None:
    """Unbuffered, the verb's own print meets the broken pipe; otherwise the flush at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = subprocess.run(
            [sys.executable, "-m", "megatron_bio", "--help"],
            stdout=writing, stderr=subprocess.PIPE, check=False, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (process.returncode, process.stderr) == (141, b"")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_service_without_stdout_or_stderr(closed: int, tmp_path: Path) -> None:
    documents = tmp_path / "documents.jsonl"
    documents.write_text('{"id": "1", "text": "Mice lived. Rats lived."}\n')
    for command in (
        f"vocabulary train --inputs {documents} --output {tmp_path / 't'} --size 40 --minimum_frequency 9",
        f"preprocess {documents} --tokenizer {tmp_path / 't'} --output {tmp_path / 'tokens'}",
    ):
        process = subprocess.run(
            ["bash", "-c", f"exec {sys.executable} -m megatron_bio {command} {closed}>&-"],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert (process.returncode, process.stderr) == (0, "")
    assert (tmp_path / "tokens.json").exists()


def test_terminal_that_cannot_show_a_character() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    process = subprocess.run(
        [sys.executable, "-c", "import sys; from megatron_bio.cli import main; main(['--version']); print('TNF-α')"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert process.stdout.splitlines()[1] == "TNF-\\u03b1", process.stderr


def test_own_warnings_are_one_message_and_others_as_usual(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(options: object) -> None:
        warnings.warn("the case is wrong.", TokenizerWarning, stacklevel=1)
        warnings.warn("of another library", UserWarning, stacklevel=1)

    monkeypatch.setattr("megatron_bio.corpus.pubmed.extract.extract_pubmed", warn)
    others: list[str] = []
    usual = lambda message, *place, **more: others.append(str(message))  # noqa: E731
    monkeypatch.setattr(warnings, "showwarning", usual)
    assert main(RUN) == 0
    assert capsys.readouterr().err == "megatron-bio extract pubmed: warning: the case is wrong.\n"
    assert others == ["of another library"] and warnings.showwarning is usual


# Scripts for people who work from a checkout


WITH_MEGATRONS_FLAGS = {"preprocess_data.py", "merge_datasets.py"}


def tools() -> list[Path]:
    return sorted(path for path in (ROOT / "tools").glob("*.py") if path.name not in WITH_MEGATRONS_FLAGS)


def test_there_is_a_script_for_each_verb_and_nothing_else_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    bodies: set[str] = set()
    monkeypatch.setattr("megatron_bio.cli.main", lambda words: calls.append(words) or 7)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for tool in tools():
        monkeypatch.setattr(sys, "argv", [str(tool), "--some", "flag"])
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(str(tool), run_name="__main__")
        assert exit_.value.code == 7
        runpy.run_path(
            str(tool), run_name="__mp_main__"
        )  # a spawned worker imports the script: it must not run
        code = tool.read_text(encoding="utf-8").partition('"""\n\n')[2]
        bodies.add(re.sub(r"main\(\[.*\]\)", "main(...)", code))
    assert len(bodies) == 1, "the scripts differ in more than their verb"
    assert sorted(" ".join(words) for words in calls) == sorted(f"{verb.name} --some flag" for verb in VERBS)


def test_script_takes_the_package_of_its_own_checkout(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "megatron_bio").mkdir()
    (tmp_path / "megatron_bio/__init__.py").touch()
    code = "def main(words): return f'the copy got {words}'"
    (tmp_path / "megatron_bio/cli.py").write_text(code, encoding="utf-8")
    process = subprocess.run(
        [sys.executable, str(tmp_path / "tools/pretrain.py"), "--help"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stderr == "the copy got ['pretrain', '--help']\n"


def test_module_form_is_the_console_script() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "megatron_bio", "pretran"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert process.returncode == 2 and "did you mean pretrain?" in process.stderr
