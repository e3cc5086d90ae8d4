"""The quickstart's machinery, its recipes, and the whole way in one go on a tiny recipe."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_bio.config.command_line import parse_options
from megatron_bio.config.parser import Program
from megatron_bio.config.pretrain import PretrainConfig

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
RECIPES = sorted([*QUICKSTART.glob("*.yaml"), *(ROOT / "benchmarks").glob("*.yaml")])
TINY = """
model: {architecture: %s, num_layers: 2, hidden_size: 32, num_attention_heads: 2, max_position_embeddings: 32}
data: {sequence_length: 32, split: [0.9, 0.1, 0.0]}
training: {train_steps: 5, global_batch_size: 8, micro_batch_size: 4, precision: fp32, log_interval: 1, evaluation_rows: 32}
"""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(QUICKSTART))
    import steps

    return steps


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_recipe_is_a_configuration_and_says_what_it_is(recipe: Path) -> None:
    words = [
        "--config",
        str(recipe),
        "--data.prefixes",
        "t",
        "--data.tokenizer",
        "v",
        "--training.output",
        "o",
    ]
    options = parse_options(PretrainConfig, words, Program(name="pretrain", description="", positional=None))
    assert options.training.train_steps > 1
    assert options.training.device == "cpu", "two ranks would ask for two GPUs"
    head = recipe.read_text(encoding="utf-8").splitlines()[:2]
    assert head[0].startswith("# ")
    assert all(word in head[1] for word in ("Command:", "Hardware:", "result"))


def python(steps, text: str, product: Path = ROOT):
    return steps.Step("a step", ["python", "-c", text], product)


def test_a_finished_step_is_not_run_again_and_a_changed_one_runs_what_follows(steps, tmp_path: Path) -> None:
    count = f"open({str(tmp_path / 'count')!r}, 'a').write('x'); print('done')"
    first, last = python(steps, "print(1)"), python(steps, count)
    for _ in range(2):
        records = steps.run_steps([first, last], tmp_path)
        assert [record.output for record in records] == ["1\n", "done\n"]
    assert (tmp_path / "count").read_text() == "x"
    steps.run_steps([python(steps, "print(2)"), last], tmp_path)
    assert (tmp_path / "count").read_text() == "xx"


def test_a_step_whose_product_is_gone_runs_again(steps, tmp_path: Path) -> None:
    product = tmp_path / "product"
    step = python(
        steps, f"open({str(product)!r}, 'w'); open({str(tmp_path / 'count')!r}, 'a').write('x')", product
    )
    steps.run_steps([step], tmp_path)
    product.unlink()
    steps.run_steps([step], tmp_path)
    assert (tmp_path / "count").read_text() == "xx"


def test_ending_the_driver_ends_the_step(tmp_path: Path) -> None:
    child, ended = tmp_path / "child.py", tmp_path / "ended"
    child.write_text(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path(sys.argv[1]).touch()))\n"
        "print('begun', flush=True)\n"
        "time.sleep(60)\n",
        encoding="utf-8",
    )
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(QUICKSTART)!r})\n"
        "import steps\n"
        f"command = ['python', {str(child)!r}, {str(ended)!r}]\n"
        f"steps.run_steps([steps.Step('a step', command, Path('/'))], Path({str(tmp_path)!r}))\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(driver)], stdout=subprocess.PIPE, text=True) as process:
        assert any("begun" in line for line in process.stdout)
        process.terminate()
        process.communicate(timeout=30)
    assert ended.exists()


def test_a_failed_step_ends_the_run_and_is_tried_again(steps, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(steps.StepFailedError, match="step 2/2 failed with exit status 3"):
            steps.run_steps([python(steps, "print(1)"), python(steps, "raise SystemExit(3)")], tmp_path)


@pytest.mark.parametrize("model", ["bert", pytest.param("gpt", marks=pytest.mark.slow)])
def test_the_whole_way(model: str, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY % model, encoding="utf-8")
    command = [sys.executable, str(QUICKSTART / "run.py"), "--model", model, "--recipe", str(recipe)]
    result = subprocess.run(
        [*command, "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"COLUMNS": "200"},
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (work,) = (tmp_path / "out").iterdir()
    kinds = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in kinds if record["kind"] == "train"] == [1, 2, 3, 4, 5]
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "always saying" in page
    assert "torchrun --standalone" in page
    for expected in (
        "skipped: no abstract",
        "largest difference",
        "Continuing after step 1 of 5",
        "Accuracy on",
    ):
        assert expected in result.stdout, f"{expected} is not in the output"


def test_missing_files_are_named(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(QUICKSTART / "run.py"), "--pubmed", "nowhere.xml", "--output", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "no such file: nowhere.xml" in result.stderr
    assert "Traceback" not in result.stderr
