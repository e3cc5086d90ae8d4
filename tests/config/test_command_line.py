"""From words and recipes to options: what people may write, which value stands, and what mistakes are told."""

import shlex
from pathlib import Path

import pytest
import yaml

from megatron_bio.config.arguments import UsageError
from megatron_bio.config.command_line import parse_options
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.extract import ExtractPubmedOptions
from megatron_bio.config.inspect import InspectOptions
from megatron_bio.config.parser import Program
from megatron_bio.config.pretrain import PretrainConfig

NEEDED = shlex.split("--data.prefixes a b --data.tokenizer t --training.output o --training.train_steps 10")


def extract(*words: str) -> ExtractPubmedOptions:
    return parse_options(
        ExtractPubmedOptions, words, Program(name="megatron-bio extract pubmed", description="")
    )


def pretrain(*words: str) -> PretrainConfig:
    return parse_options(PretrainConfig, words, Program(name="megatron-bio pretrain", description=""))


def inspect(*words: str) -> InspectOptions:
    return parse_options(
        InspectOptions, words, Program(name="megatron-bio inspect", description="", positional="path")
    )


def convert(*words: str) -> ConvertOptions:
    return parse_options(ConvertOptions, words, Program(name="megatron-bio convert", description=""))


def mistake(*words: str) -> str:
    with pytest.raises(UsageError) as error:
        pretrain(*words)
    return str(error.value)


# What people may write


@pytest.mark.parametrize(
    "flags",
    [
        ["--inputs", "a.xml", "b c.xml", "[1].gz"],
        ["--inputs=a.xml", "b c.xml", "[1].gz"],
        ["--inputs", "a.xml", "--inputs", "b c.xml", "[1].gz"],
        ["--inputs", '["a.xml", "b c.xml", "[1].gz"]'],
    ],
)
def test_a_list_in_the_forms_of_shells_and_people(flags: list[str]) -> None:
    options = extract(*flags, "--output", "o.jsonl.zst")
    assert options.inputs == ["a.xml", "b c.xml", "[1].gz"]
    assert options.output == Path("o.jsonl.zst")


def test_a_list_of_one_and_words_that_look_like_numbers() -> None:
    assert extract("--output", "o.jsonl.zst", "--inputs", "2024").inputs == ["2024"]


@pytest.mark.parametrize(
    "word", ["Ünïcødé", "漢字", "😀 𝛼", "a\tb", "\x7f\x85\u2028\ufeff", '"q" \\n \\ud83d', "- a: b"]
)
def test_any_characters_in_a_list(word: str) -> None:
    assert extract("--output", "o.jsonl.zst", "--inputs", word, "b").inputs == [word, "b"]


def test_a_fixed_list_of_numbers() -> None:
    assert pretrain(*NEEDED, "--data.split", "0.5", "0.25", "0.25").data.split == (0.5, 0.25, 0.25)


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--require_abstract", "--minimum_words", "3"], True),
        (["--require_abstract", "false", "--minimum_words", "3"], False),
        (["--require_abstract=false", "--minimum_words", "3"], False),
        (["--require-abstract", "no", "--minimum-words", "3"], False),
        (["--require_abstract", "false", "--minimum_words", "9", "--minimum_words", "3"], False),
    ],
)
def test_switches_and_dashes(flags: list[str], value: bool) -> None:
    options = extract("--inputs", "a", "--output", "o.jsonl.zst", *flags)
    assert options.require_abstract is value
    assert options.minimum_words == 3


@pytest.mark.parametrize("words", [["x.bin", "--json"], ["--json", "x.bin"], ["--json", "--path", "x.bin"]])
def test_positional_word(words: list[str]) -> None:
    assert inspect(*words) == InspectOptions(path=Path("x.bin"), json=True)


def test_two_words_where_one_is_expected() -> None:
    with pytest.raises(UsageError, match=r"expected a flag .*, found 'b'"):
        inspect("a", "b")


# Recipes and presets


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_then_preset_then_recipe_then_flags(tmp_path: Path) -> None:
    recipe = write(
        tmp_path / "r.yaml", "model:\n  preset: biomegatron-345m\n  num_layers: 6\n  hidden_dropout: 0.2\n"
    )
    # The recipe stands behind the flag it must not override.
    model = pretrain("--model.hidden_dropout", "0.3", *NEEDED, "--config", recipe).model
    assert model.preset == "biomegatron-345m"
    assert model.hidden_size == 1024  # the preset's; 768 is the dataclass's
    assert model.num_layers == 6  # the recipe's; 24 is the preset's
    assert model.hidden_dropout == 0.3  # the flag's; 0.2 is the recipe's
    assert model.attention_dropout == 0.1  # the dataclass's


def test_preset_by_flag_stands_instead_of_the_recipe_s(tmp_path: Path) -> None:
    recipe = write(tmp_path / "r.yaml", "model: {preset: biomegatron-345m}\n")
    model = pretrain(*NEEDED, "--config", recipe, "--model.preset", "gpt-124m").model
    assert (model.architecture, model.hidden_size, model.max_position_embeddings) == ("gpt", 768, 1024)


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"model\.preset.*biomegatron-345m"):
        pretrain(*NEEDED, "--model.preset", "biomegatron")


def test_later_recipe_stands(tmp_path: Path) -> None:
    first = write(tmp_path / "1.yaml", "model: {num_layers: 2, hidden_size: 96}\ntraining: {seed: 1}\n")
    second = write(tmp_path / "2.yaml", "model: {num_layers: 3}\n")
    empty = write(tmp_path / "3.yaml", "# nothing yet\n")
    options = pretrain(*NEEDED, "--config", first, "--config", second, "--config", empty)
    assert (options.model.num_layers, options.model.hidden_size, options.training.seed) == (3, 96, 1)


def print_config(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        pretrain(*words, "--print_config")
    assert exit_.value.code in (0, None)
    return capsys.readouterr().out


def test_print_config_is_a_recipe_of_the_same_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        *NEEDED,
        "--model.preset",
        "gpt-355m",
        "--data.split",
        "0.9",
        "0.1",
        "0",
        "--optimizer.lr",
        "3e-4",
    ]
    recipe = write(tmp_path / "printed.yaml", print_config(capsys, *words))
    by_flags = pretrain(*words)
    assert pretrain("--config", recipe) == by_flags
    assert by_flags.optimizer.lr == 3e-4 and by_flags.model.hidden_size == 1024


def test_print_config_works_before_everything_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert yaml.safe_load(print_config(capsys))["training"]["train_steps"] is None


# What is told about mistakes


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--model.hiden_size", "3"],
            "--model.hiden_size is not an option of pretrain; did you mean --model.hidden_size? "
            "All options: megatron-bio pretrain --help",
        ),
        (
            ["--hidden-size=3"],
            "--hidden_size is not an option of pretrain; did you mean --model.hidden_size? "
            "All options: megatron-bio pretrain --help",
        ),
        (
            ["--zzz", "3"],
            "--zzz is not an option of pretrain. All options: megatron-bio pretrain --help",
        ),
        (
            ["word"],
            "expected a flag (--name), found 'word'. All options: megatron-bio pretrain --help",
        ),
        (["--config"], "--config: expected the name of a YAML file, found nothing."),
        (
            ["--model.num_layers", "--data.tokenizer", "t"],
            "--model.num_layers: expected a whole number, found '--data.tokenizer'.",
        ),
        (
            [],
            "--data.prefixes, --data.tokenizer, --training.output, --training.train_steps must be given, as flags or in a "
            "YAML file (--config). What they mean: megatron-bio pretrain --help",
        ),
        (
            [*NEEDED, "--model.num_layers", "1.5"],
            "--model.num_layers: expected a whole number, found '1.5'.",
        ),
        (
            [*NEEDED, "--model.vocab_size", "x"],
            "--model.vocab_size: expected a whole number, found 'x'.",
        ),
        (
            [*NEEDED, "--model.activation", "relu"],
            "--model.activation: expected 'gelu' or 'gelu_tanh' or 'megatron', found 'relu'.",
        ),
        (
            [*NEEDED, "--data.split", "1", "0"],
            "--data.split: expected 3 values (a number each), found '1 0'.",
        ),
        (
            [*NEEDED, "--data.reset_at_document_end=maybe"],
            "--data.reset_at_document_end: expected true or false, found 'maybe'.",
        ),
    ],
)
def test_mistakes_on_the_command_line(words: list[str], expected: str) -> None:
    assert mistake(*words) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "model:\n  num_layers: 2\n  hiden_size: 3\n",
            "{file}, line 3: model.hiden_size is not an option of pretrain; did you mean model.hidden_size? "
            "All options: megatron-bio pretrain --help",
        ),
        (
            "train_steps: 3\n",
            "{file}, line 1: train_steps is not an option of pretrain; did you mean training.train_steps? "
            "All options: megatron-bio pretrain --help",
        ),
        (
            "modl:\n  hidden_size: 3\n",
            "{file}, line 2: modl.hidden_size is not an option of pretrain; did you mean model.hidden_size? "
            "All options: megatron-bio pretrain --help",
        ),
        (
            "model:\n  num_layers: six\n",
            "{file}, line 2: model.num_layers: expected a whole number, found 'six'.",
        ),
        (
            "data:\n  prefixes: a\n",
            "{file}, line 2: data.prefixes: expected one or more values (text each), found 'a'. Write a list as [a, b].",
        ),
        (
            "training:\n  output: 2024\n",
            "{file}, line 2: training.output: expected text, found '2024'. Write it in quotes.",
        ),
        (
            "model:\n",
            "{file}, line 1: model is a group of options; expected indented lines 'name: value' under it, found ''.",
        ),
        (
            "model:\n  seed: 1\n  num_layers: 2\n",
            "{file}, line 2: model.seed is not an option of pretrain; did you mean training.seed? "
            "All options: megatron-bio pretrain --help",
        ),
        (
            "model:\n  num_layers: 2\nmodel:\n  num_layers: 3\n",
            "{file}, line 4: model.num_layers stands already in line 2; remove one of them.",
        ),
        ("- a\n", "--config: expected lines 'name: value' in {file}, found '[a]'."),
    ],
)
def test_mistakes_in_a_recipe(text: str, expected: str, tmp_path: Path) -> None:
    file = write(tmp_path / "recipe.yaml", text)
    given = [] if text.startswith(("data", "training")) else NEEDED
    assert mistake("--config", file, *given) == expected.format(file=file)


def test_recipe_that_is_no_yaml_or_not_there(tmp_path: Path) -> None:
    message = mistake("--config", write(tmp_path / "r.yaml", "model: {a: [3\n"))
    assert "r.yaml is not YAML" in message and "line 2" in message
    assert mistake("--config", str(tmp_path / "none.yaml")).endswith("none.yaml: No such file or directory.")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    assert mistake("--config", str(tmp_path / "latin.yaml")).endswith("it is not UTF-8 text.")


def test_checks_of_the_options_class_are_no_usage_errors() -> None:
    with pytest.raises(ConfigurationError, match="--output: expected a name ending in") as error:
        extract("--inputs", "a", "--output", "o.txt")
    assert not isinstance(error.value, UsageError)


# A word that Python keeps for itself


def test_an_option_may_be_called_as_no_field_can(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("checkpoint: a\noutput: b\nfrom: nemo\nto: megatron_lm\n")
    assert (convert("--config", str(recipe)).from_format, convert("--config", str(recipe)).to_format) == (
        "nemo",
        "megatron_lm",
    )
    assert convert("--config", str(recipe), "--from", "hugging_face").from_format == "hugging_face"
    with pytest.raises(SystemExit):
        convert("--config", str(recipe), "--print_config")
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["from"] == "nemo" and "from_format" not in printed
    with pytest.raises(SystemExit):
        convert("--help")
    helped = capsys.readouterr().out
    assert "--from megatron_bio|hugging_face|megatron_lm|megatron_core|nemo" in helped
    assert "from_format" not in helped


def test_mistakes_in_such_an_option_are_told_under_its_name(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("checkpoint: a\noutput: b\nfrom: tensorflow\n")
    with pytest.raises(
        UsageError, match=r"recipe.yaml, line 3: from: expected 'megatron_bio' or .*'tensorflow'"
    ):
        convert("--config", str(recipe))
    with pytest.raises(UsageError, match=r"--from: expected .* found 'tensorflow'"):
        convert("--checkpoint", "a", "--output", "b", "--from", "tensorflow")
    with pytest.raises(UsageError, match="--from_format is not an option"):
        convert("--checkpoint", "a", "--output", "b", "--from_format", "nemo")
