"""Every recipe says what it is, its commands are read by the real parser and fit their GPUs, and its numbers are the published."""

import functools
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from megatron_bio.config.command_line import parse_options
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.model import PRESETS
from megatron_bio.config.parser import Program
from megatron_bio.config.pretrain import PretrainConfig

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FOLDERS = ("biomegatron", "biomedlm", "layouts")
FILES = sorted(path for folder in FOLDERS for path in (EXAMPLES / folder).glob("*.yaml"))
PARTS = [EXAMPLES / "biomegatron/base.yaml", *(EXAMPLES / "layouts").glob("*.yaml")]
MODELS = [path for path in FILES if path not in PARTS]
SCRIPTS = sorted((EXAMPLES / "slurm").iterdir())
LABELS = ("What", "Command", "Hardware", "Time", "Result")

MEGATRON_BERT = {
    "model.architecture": "bert",
    "model.max_position_embeddings": 512,
    "model.hidden_dropout": 0.1,
    "model.attention_dropout": 0.1,
    "model.layernorm_epsilon": 1e-5,
    "model.init_method_std": 0.02,
    "data.sequence_length": 512,
    "data.masked_lm_probability": 0.15,
    "data.short_sequence_probability": 0.1,
    "data.masking": "whole_word",
    "data.split": (0.949, 0.05, 0.001),
    "optimizer.name": "adamw",
    "optimizer.lr": 1e-4,
    "optimizer.min_lr": 1e-5,
    "optimizer.lr_schedule": "linear",
    "optimizer.warmup_fraction": 0.01,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.999,
    "optimizer.epsilon": 1e-8,
    "optimizer.weight_decay": 0.01,
    "optimizer.decay_bias_and_norm": False,
    "optimizer.clip_grad": 1.0,
}
"""Megatron-LM's script for BERT."""
BIOMEDLM = {
    "model.vocab_size": 28_896,
    "data.sequence_length": 1024,
    "optimizer.name": "decoupled_adamw",
    "optimizer.lr": 1.6e-4,
    "optimizer.lr_schedule": "cosine",
    "optimizer.warmup_steps": 100,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.95,
    "optimizer.epsilon": 1e-8,
    "optimizer.weight_decay": 1.6e-5,
    "optimizer.decay_bias_and_norm": True,
    "training.global_batch_size": 1024,
    "training.precision": "bf16",
}
"""arXiv 2403.18421."""


@dataclass(frozen=True)
class Command:
    """One command of a recipe's head, as a shell would read it."""

    words: tuple[str, ...]

    @property
    def gpus(self) -> int:
        """Ranks that it starts."""
        if self.words[0] == "torchrun":
            return int(self.words[self.words.index("--nproc-per-node") + 1])
        return 8 * int(self.words[self.words.index("--nodes") + 1])

    @property
    def config(self) -> PretrainConfig:
        """What `pretrain` is given, read as it reads it; the paths of recipes are relative to the checkout."""
        start = "pretrain" if self.words[0] == "torchrun" else "examples/slurm/pretrain.sbatch"
        words = self.words[self.words.index(start) + 1 :]
        words = tuple(str(ROOT / word) if word.startswith("examples/") else word for word in words)
        return read(words)


@functools.cache
def read(words: tuple[str, ...]) -> PretrainConfig:
    return parse_options(PretrainConfig, words, Program(name="megatron-bio pretrain", description=""))


def head(path: Path) -> dict[str, str]:
    """Return the labelled lines at the head of a file, continuation lines included."""
    found: dict[str, str] = {}
    label = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#!"):
            continue
        if not line.startswith("# ") or not (match := re.match(r"# (?:([A-Z][a-z]+):)? +(\S.*)", line)):
            break
        label = match[1] or label
        found[label] = f"{found.get(label, '')}\n{match[2]}".strip()
    return found


def commands(path: Path) -> list[Command]:
    """Return all commands in the comments of a recipe that pretrain something."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return commands_in(
        line[1:].strip().removeprefix("Command:").strip() for line in lines if line.startswith("#")
    )


def commands_in(lines: Iterable[str]) -> list[Command]:
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [Command(tuple(shlex.split(line))) for line in whole if line.startswith(("torchrun ", "sbatch "))]


def option(config: PretrainConfig, name: str) -> Any:
    part, _, field = name.partition(".")
    return getattr(getattr(config, part), field)


def different(config: PretrainConfig, published: dict[str, Any]) -> dict[str, Any]:
    return {name: option(config, name) for name, value in published.items() if option(config, name) != value}


def name(path: Path) -> str:
    return str(path.relative_to(EXAMPLES))


@pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=name)
def test_the_head_says_what_everyone_needs(path: Path) -> None:
    said = head(path)
    assert tuple(said) == LABELS, f"{path}: expected a head of {LABELS}, found {tuple(said)}"
    assert all(said.values())


@pytest.mark.parametrize("path", MODELS, ids=name)
def test_each_command_fits_the_gpus_that_it_starts(path: Path) -> None:
    found = commands(path)
    assert {1, 8} <= {command.gpus for command in found}
    assert any(command.words[0] == "sbatch" for command in found)
    assert all(path in [ROOT / w for w in command.words] for command in found[:3])
    for command in found:
        config = command.config
        ranks = config.parallel.data_parallel_size(command.gpus)
        rows, left = divmod(config.training.global_batch_size, ranks)
        assert left == 0, f"{command.gpus} GPUs"
        assert rows % config.training.micro_batch_size == 0, f"{command.gpus} GPUs"
        config.parallel.check_microbatches(rows // config.training.micro_batch_size)
        assert config.parallel.shard_size(ranks) == min(8, command.gpus)


@pytest.mark.parametrize("path", MODELS, ids=name)
def test_every_file_of_a_command_is_here(path: Path) -> None:
    for command in commands(path):
        files = [word for word in command.words if word.startswith("examples/")]
        assert [file for file in files if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("path", MODELS, ids=name)
def test_shape_and_hyperparameters_are_the_published(path: Path) -> None:
    config = commands(path)[0].config
    shape = PRESETS[config.model.preset or ""]
    assert {field: getattr(config.model, field) for field in shape} == shape
    published = BIOMEDLM if path.parent.name == "biomedlm" else MEGATRON_BERT
    assert different(config, published) == {}


@pytest.mark.parametrize("path", MODELS, ids=name)
def test_all_commands_of_a_recipe_are_the_same_run(path: Path) -> None:
    first, *others = [command.config for command in commands(path)[:3]]
    for other in others:
        assert (other.model, other.data, other.optimizer) == (first.model, first.data, first.optimizer)
        assert other.training.global_batch_size == first.training.global_batch_size


def test_lengths() -> None:
    def training(path: str) -> PretrainConfig:
        return commands(EXAMPLES / path)[0].config

    biomedlm = training("biomedlm/2.7b.yaml").training
    assert biomedlm.train_steps == int(300e9 / (1024 * 1024))
    for path in (EXAMPLES / "biomegatron").glob("*m-*.yaml"):
        config = training(name(path))
        # 990,000 of 1,000,000 steps, as in Megatron's script.
        assert config.optimizer.decay_steps == 0.99 * config.training.train_steps
    continued = training("biomegatron/1.2b-uncased-continued.yaml")
    assert continued.training.train_steps == 400_000
    assert continued.optimizer.decay_steps == 396_000
    assert continued.training.keep_every == 200_000


@pytest.mark.parametrize("path", [path for path in MODELS if "continued" in path.name], ids=name)
def test_a_continued_recipe_starts_from_what_its_conversion_makes(path: Path) -> None:
    lines = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    (conversion,) = [shlex.split(line) for line in whole if line.startswith("megatron-bio convert ")]
    program = Program(name="megatron-bio convert", description="")
    options = parse_options(ConvertOptions, conversion[2:], program)
    config = commands(path)[0].config
    assert str(options.output) == config.training.initial_checkpoint != config.training.output
    assert (options.to_format, str(options.tokenizer)) == ("megatron_bio", config.data.tokenizer)
    assert options.activation in (None, config.model.activation)
    assert options.num_attention_heads in (None, config.model.num_attention_heads)


def test_no_two_recipes_write_to_one_folder() -> None:
    outputs = [commands(path)[0].config.training.output for path in MODELS]
    assert len(set(outputs)) == len(outputs)


def test_the_table_has_every_recipe_and_every_number_of_gpus() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in MODELS:
        row = next(line for line in text.splitlines() if f"({name(path)})" in line)
        *_, counts = [cell.strip() for cell in row.strip("|").split("|")]
        listed = {1, *(int(count) for count in counts.split(", "))}
        assert listed == {command.gpus for command in commands(path)[:3]}
        memory = row.split("|")[4].strip()
        assert f"1 GPU with {memory}" in head(path)["Hardware"]
    shown = commands_in(text.splitlines()) + commands(EXAMPLES / "slurm/pretrain.sbatch")
    assert [command.gpus for command in shown] == [1, 8, 16, 16]
    assert all(command.config.model.preset for command in shown)


def test_numbers_in_yaml_are_numbers() -> None:
    """YAML reads 1e-4 as text; a recipe says 1.0e-4, so that other programs can read it too."""

    def texts(node: Any) -> list[str]:
        values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else [node]
        nested = [text for value in values if isinstance(value, dict | list) for text in texts(value)]
        return nested + [value for value in values if isinstance(value, str)]

    for path in FILES:
        for text in texts(yaml.safe_load(path.read_text(encoding="utf-8"))):
            assert not re.fullmatch(r"[\d.e+-]+", text), f"{path}: {text}"
