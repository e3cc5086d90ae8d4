"""Who may import whom, and the other rules of the house that a program can check."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "megatron_bio"
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "kernels": set(),
    "native": set(),
    "planning": {"config"},
    "corpus": {"config", "native"},
    "tokens": {"config", "corpus", "native"},
    "data": {"config", "tokens", "native"},
    "parallel": {"config", "kernels"},
    "models": {"config", "kernels", "parallel"},
    "checkpoint": {"config", "parallel"},
    "training": {"config", "kernels", "data", "parallel", "models", "checkpoint"},
    "convert": {"config", "tokens", "parallel", "models", "checkpoint"},
    "generation": {"config", "tokens", "parallel", "models", "checkpoint"},
    "downstream": {"config", "tokens", "convert"},
    "inspection": {"config", "corpus", "tokens", "data", "checkpoint", "convert"},
    "verbs": set(),
}
"""Package to the other packages it may import. The modules beside the packages, tools, examples, benchmarks and tests
may import anything, and nothing in a package may import them."""
WITHOUT_TORCH = (
    "config",
    "corpus",
    "tokens",
    "data",
    "planning",
    "downstream.data_check",
    "downstream.readers",
    "downstream.scorers",
    "downstream.tasks",
)
OUTSIDE = {"tools", "examples", "benchmarks", "tests"}
MOST_LINES = 400
SOURCES = ("megatron_bio", "tools", "examples", "benchmarks", "tests", "csrc")
DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc"}


def imported_names(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Give line and full dotted name of everything that a module of `package` imports, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = (
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            )
            if function in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def forbidden_imports(source: str, path: Path, modules: set[str]) -> list[str]:
    """Return one line per import that the table forbids to the file `path`; `modules` are the names beside the packages."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = ".".join(parts[:-1])
    if len(parts) < 3:
        return []
    allowed = MAY_IMPORT[parts[1]] | {parts[1]}
    problems = []
    for line, name in imported_names(ast.parse(source), package):
        first, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if first in OUTSIDE:
            problems.append(
                f"{path}:{line}: {parts[1]} imports {name}; nothing in the package may import {first}"
            )
        elif first == "megatron_bio" and target in (MAY_IMPORT.keys() | modules) - allowed:
            problems.append(f"{path}:{line}: {parts[1]} imports {name}; it may import {sorted(allowed)} only")
    return problems


def module_names() -> set[str]:
    return {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_packages_import_only_what_the_table_allows() -> None:
    problems = [
        problem
        for path in python_files("megatron_bio")
        for problem in forbidden_imports(path.read_text(encoding="utf-8"), path, module_names())
    ]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("models/bert.py", "import megatron_bio.training.step"),
        ("models/bert.py", "from megatron_bio.data.batch import Batch"),
        ("models/bert.py", "from megatron_bio import checkpoint"),
        ("models/bert.py", "from ..training import step"),
        ("models/deep/bert.py", "from ...training.step import train_step"),
        ("models/bert.py", "def f():\n    from megatron_bio.convert.export import convert"),
        ("models/bert.py", "if TYPE_CHECKING:\n    import megatron_bio.data as d"),
        ("models/bert.py", "importlib.import_module('megatron_bio.training.step')"),
        ("models/bert.py", "from megatron_bio.cli import main"),
        ("models/bert.py", "from megatron_bio import doctor"),
        ("models/bert.py", "from tests.references import transformer"),
        ("models/bert.py", "import tools.pretrain"),
        ("checkpoint/save.py", "from megatron_bio.models.bert import Bert"),
        ("config/model.py", "from megatron_bio.corpus import document"),
    ],
)
def test_a_forbidden_import_is_found(file: str, source: str) -> None:
    path = PACKAGE / file
    found = forbidden_imports(f"import os\n{source}\n", path, {"cli", "doctor"})
    assert len(found) == 1
    line = 3 if "\n" in source else 2
    assert found[0].startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("models/bert.py", "from megatron_bio.parallel.layers import Linear"),
        ("models/bert.py", "from . import block\nfrom .block import Block"),
        ("models/bert.py", "from ..config.model import ModelConfig"),
        ("models/bert.py", "import torch, megatron_bio\nfrom megatron_bio import __version__"),
        ("models/bert.py", "import checkpoint, training"),
        ("cli.py", "from megatron_bio.training.pretrain import pretrain"),
    ],
)
def test_an_allowed_import_is_not_found(file: str, source: str) -> None:
    assert forbidden_imports(source, PACKAGE / file, {"cli", "doctor"}) == []


def test_every_package_is_in_the_table_and_has_modules() -> None:
    folders = [path for path in PACKAGE.iterdir() if path.is_dir() and any(path.rglob("*.py"))]
    assert {path.name for path in folders} <= MAY_IMPORT.keys()
    for folder in folders:
        assert (folder / "__init__.py").is_file(), f"{folder} has no __init__.py"
        assert len(list(folder.rglob("*.py"))) > 1, f"{folder} is an empty package"


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_no_module_of_the_package_loads_torch(package: str) -> None:
    """All modules are imported, for a package's __init__ alone shows little."""
    program = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module('megatron_bio.{package}')\n"
        "names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names), sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr
    count, found = process.stdout.split(maxsplit=1)
    assert int(count) > 0
    assert found.strip() == "[]", f"megatron_bio.{package} loads {found}"


def test_no_file_is_too_long() -> None:
    files = [*python_files(*SOURCES), *(ROOT / "csrc").rglob("*.c*")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {str(path): lines for path, lines in lengths.items() if lines > MOST_LINES}


def test_no_file_is_a_drawer() -> None:
    """A module called utils says nothing of what is in it and collects what should have a name."""
    assert not [
        path for path in python_files(*SOURCES) if DRAWERS & set(path.relative_to(ROOT).with_suffix("").parts)
    ]
