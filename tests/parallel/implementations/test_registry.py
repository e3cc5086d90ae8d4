"""A name finds what it names or one error with the remedy, before a run starts; an own implementation works as documented."""

import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig, differences_on_resume
from megatron_bio.config.training import OptimizerConfig, TrainingConfig
from megatron_bio.kernels import choice
from megatron_bio.kernels.choice import NORMS
from megatron_bio.parallel.implementations.registry import BUILT_IN, foreign_lines, implementation
from megatron_bio.training.announcement import kernel_lines
from megatron_bio.training.computation import chosen_kernels
from tests.parallel.implementations.test_implementations import DTYPES, assert_equal, draw

ROOT = Path(__file__).parents[3]
OWN = "tests.parallel.implementations.own"


def test_the_defaults_are_torch() -> None:
    assert implementation("training.norm", TrainingConfig.norm, "cpu")(torch.eye(2), None, None, 1e-5).shape
    assert implementation("training.linear", TrainingConfig.linear, "cpu") is F.linear
    adamw = implementation("optimizer.implementation", OptimizerConfig.implementation, "cpu")
    assert adamw.func is torch.optim.AdamW and adamw.keywords["foreach"]


@pytest.mark.parametrize(
    ("option", "name", "expected"),
    [
        (
            "training.norm",
            "apx",
            r"apx: there is nothing of this name\. Choose torch, apex, transformer_engine, or",
        ),
        ("training.norm", "apex", "apex runs on CUDA devices, and this run is on cpu. Choose torch"),
        (
            "training.linear",
            "transformer_engine",
            "runs on CUDA devices, and this run is on cpu. Choose torch",
        ),
        ("optimizer.implementation", "apex", "this run is on cpu. Choose foreach, fused, or MODULE:NAME"),
        (
            "training.norm",
            "absent_module:norm",
            "absent_module cannot be imported .ModuleNotFoundError: No module",
        ),
        ("training.norm", f"{OWN}:nrom", f"{OWN} has no function nrom"),
        ("training.norm", f"{OWN}:refused", "it is for nobody"),
        ("training.norm", ":norm", "there is nothing of this name"),
        ("training.norm", ".own:norm", "there is nothing of this name"),
    ],
)
def test_what_cannot_run_is_one_error(option: str, name: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{option} .*{expected}"):
        implementation(option, name, "cpu")


@pytest.mark.parametrize(
    ("option", "name", "package"),
    [
        ("training.norm", "apex", "the package apex with its CUDA extensions"),
        ("optimizer.implementation", "apex", "the package apex with its CUDA extensions"),
        ("training.linear", "transformer_engine", "the package transformer-engine"),
    ],
)
def test_an_absent_package_is_named_with_option_and_remedy(
    option: str, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("apex", "amp_C", "fused_layer_norm_cuda", "transformer_engine"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ConfigurationError, match=rf"{option} {name}: {package} is not installed .*(build|pip install)"
    ):
        implementation(option, name, "cuda")


def test_a_module_that_fails_is_named_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, code, error in (
        ("unfinished", "def norm(:", "SyntaxError"),
        ("divides", "1 / 0", "ZeroDivisionError"),
        ("program", "import sys; sys.exit()", "SystemExit"),
        ("panics", "class Panic(BaseException): pass\nraise Panic('no')", "Panic"),
        ("lazy", "def __getattr__(name): raise OSError('no library')", "OSError"),
    ):
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=rf"{name}:norm: {name} cannot be imported .{error}: "):
            implementation("training.norm", f"{name}:norm", "cpu")


@pytest.mark.parametrize("code", ["def obstacle(device): return ''", "def obstacle(name, device): 1 / 0"])
def test_an_obstacle_that_fails_is_an_error_with_its_name(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    module = f"unasked_{request.node.callspec.indices['code']}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{module}.py").write_text(f"{code}\ndef norm(): pass\n", encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=rf"{module} cannot say whether it runs here .(TypeError|ZeroDivision)"
    ):
        implementation("training.norm", f"{module}:norm", "cpu")


def test_an_interruption_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        implementation("training.norm", "interrupted:norm", "cpu")


@pytest.mark.parametrize("option", ["apex", "transformer_engine"])
def test_a_broken_package_is_an_error_with_its_name(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("apex", "amp_C", "fused_layer_norm_cuda", "transformer_engine"):
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text("raise RuntimeError('built for another CUDA')")
    with pytest.raises(
        ConfigurationError, match=rf"norm {option}: .* here .RuntimeError: built for another CUDA."
    ):
        implementation("training.norm", option, "cuda")


def test_a_run_ends_before_it_reads_anything(tmp_path: Path) -> None:
    options = {
        "data.prefixes": str(tmp_path / "absent"), "data.tokenizer": str(tmp_path / "absent"),
        "training.output": str(tmp_path / "run"), "training.train_steps": "1", "training.device": "cpu",
        "training.linear": "transformer_engine",
    }  # fmt: skip
    command = [sys.executable, "-m", "megatron_bio", "pretrain"]
    for name, value in options.items():
        command += [f"--{name}", value]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 1 and "Traceback" not in process.stderr
    assert "training.linear transformer_engine: transformer-engine runs on CUDA devices" in process.stderr


def test_a_run_says_what_is_not_torch() -> None:
    chosen = {
        "training.norm": "torch",
        "training.linear": f"{OWN}:linear",
        "optimizer.implementation": "apex",
    }
    assert [line.partition(":")[0] for line in foreign_lines(chosen)] == [
        f"training.linear {OWN}",
        "optimizer.implementation apex",
    ]
    cuda = torch.device("cuda")
    assert "layer_norm" in next(kernel_lines("auto", frozenset(), cuda, 1))
    assert "layer_norm" not in next(kernel_lines("auto", frozenset(), cuda, 1, "apex"))


def test_a_named_norm_replaces_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "open_library", lambda: (object(), ""))
    cuda, layout = torch.device("cuda"), ParallelConfig()
    assert chosen_kernels("cuda", cuda, layout, "apex") == chosen_kernels("cuda", cuda, layout) - NORMS
    assert chosen_kernels("cuda", cuda, layout) >= NORMS


def run_config(schedule: str = "1f1b", **training: str) -> PretrainConfig:
    return PretrainConfig(
        data=DataConfig(prefixes=["tokens"], tokenizer="vocabulary", sequence_length=128),
        parallel=ParallelConfig(pipeline_parallel=2, pipeline_schedule=schedule),
        training=TrainingConfig(output="run", train_steps=1, **training),
    )


@pytest.mark.parametrize("option", ["norm", "linear"])
def test_a_backward_in_two_parts_is_refused_with_transformer_engine(option: str) -> None:
    run_config(**{option: "transformer_engine"})
    run_config("zero_bubble", **{option: f"{OWN}:{option}"})
    with pytest.raises(ConfigurationError, match=r"pipeline_schedule zero_bubble runs .* Choose 1f1b or"):
        run_config("zero_bubble", **{option: "transformer_engine"})


def test_a_run_may_go_on_with_another_norm_but_not_in_another_precision() -> None:
    before = asdict(run_config())
    assert differences_on_resume(before, run_config(norm="apex")) == []
    assert len(differences_on_resume(before, run_config(linear="transformer_engine"))) == 1


def test_a_library_is_not_imported_before_it_is_chosen() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('apex', 'amp_C', 'transformer_engine')))\n"
        "import megatron_bio.parallel.layers, megatron_bio.training.optimizer\n"
        "from megatron_bio.parallel.implementations import apex, registry, transformer_engine\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_the_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "implementations.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(# (\w+)\.py\n.*?)```", page, re.DOTALL)
    source, module = example
    (name,) = re.findall(rf"--training\.norm {module}:(\w+)", page)
    (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    norm = implementation("training.norm", f"{module}:{name}", "cpu")
    inputs = [
        draw(size, seed, torch.float32, torch.device("cpu")) for seed, size in enumerate(((4, 6), (6,), (6,)))
    ]
    assert_equal(
        lambda x, w, b: norm(x, w, b, 1e-5),
        lambda x, w, b: F.layer_norm(x, (6,), w, b),
        inputs,
        DTYPES[torch.float32],
    )


def test_the_page_has_every_name() -> None:
    page = (ROOT / "docs" / "implementations.md").read_text(encoding="utf-8")
    for option, names in BUILT_IN.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{option}`"))
        assert re.findall(r"`([a-z_]+)`", row.split("|")[2]) == list(names)
