"""From a command line and YAML recipes to an options dataclass.

Of the values given for an option the last in this list stands: default of the dataclass, `model.preset`, recipes
(`--config`, in order), flags. jsonargparse builds the parser from the dataclass, converts and checks types; the help
texts are the docstrings of the fields.
"""

import re
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from megatron_bio.config.arguments import HELP, PRINT_CONFIG, Arguments, UsageError, read_arguments
from megatron_bio.config.model import PRESETS
from megatron_bio.config.parser import Program, build_parser
from megatron_bio.config.recipe import Entry, read_recipe
from megatron_bio.config.schema import FLAG, Option, options_of

OptionsClass = TypeVar("OptionsClass")


def parse_options(options_class: type[OptionsClass], words: Sequence[str], program: Program) -> OptionsClass:
    """Return the options that a command line and its recipes give.

    Prints and raises SystemExit(0) for --help and --print_config. Raises `UsageError` for what cannot be understood and
    lets the dataclass's own `ConfigurationError` pass.
    """
    options = options_of(options_class)
    arguments = read_arguments(words, options, program.name, program.positional)
    if HELP in arguments.alone:
        build_parser(options_class, options, program, _preset_defaults(arguments.values, {})).print_help()
        raise SystemExit(0)
    recipes = {Path(recipe): read_recipe(Path(recipe), options, program.name) for recipe in arguments.recipes}
    given = _Given(arguments=arguments, recipes=recipes, options=options, program=program)
    parser = build_parser(options_class, options, program, _preset_defaults(arguments.values, given.entries))
    try:
        namespace = parser.parse_args(given.canonical_words())
    except ArgumentError as error:
        raise UsageError(given.explain(str(error))) from error
    values = parser.instantiate(namespace)
    names = {field.name: field.metadata.get(FLAG, field.name) for field in fields(options_class)}  # type: ignore[arg-type]
    return options_class(**{field: values[name] for field, name in names.items()})


@dataclass(frozen=True, kw_only=True)
class _Given:
    """All that the user gave, to find the place of an error."""

    arguments: Arguments
    recipes: Mapping[Path, Mapping[str, Entry]]
    options: Mapping[str, Option]
    program: Program

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries of all recipes by option name; the last recipe that names an option counts."""
        return {name: entry for recipe in self.recipes.values() for name, entry in recipe.items()}

    def canonical_words(self) -> list[str]:
        """The command line in the one form that jsonargparse reads: recipes first, so that flags override them."""
        words = [f"--config={path}" for path, entries in self.recipes.items() if entries]
        words += self.arguments.canonical(self.options)
        return words + (["--print_config"] if PRINT_CONFIG in self.arguments.alone else [])

    def explain(self, message: str) -> str:
        """Say in one sentence what jsonargparse's message means, with the place and the value found."""
        if missing := re.search(r"following arguments are required: (.*)", message):
            flags = ", ".join(f"--{name}" for name in missing[1].split(", "))
            return (
                f"{flags} must be given, as flags or in a YAML file (--config). "
                f"What they mean: {self.program.name} --help"
            )
        key = re.search(r'Parser key "([^"]+)"', message)
        option = self.options.get(key[1]) if key else None
        if option is None:
            return " ".join(message.split())
        if option.name in self.arguments.values:
            place, found = f"--{option.name}", " ".join(self.arguments.values[option.name])
        else:
            entry = self.entries[option.name]
            place, found = f"{entry.place}: {option.name}", entry.text
        return f"{place}: expected {option.expected}, found '{found}'.{self._hint(option)}"

    def _hint(self, option: Option) -> str:
        if option.name in self.arguments.values:
            return ""
        if option.kind == "list":
            return " Write a list as [a, b]."
        return " Write it in quotes." if option.element is str else ""


def _preset_defaults(values: Mapping[str, Sequence[str]], entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Return the values of the preset that was asked for; an unknown one is left for `ModelConfig` to refuse."""
    name = None
    if "model.preset" in values:
        name = values["model.preset"][-1]
    elif "model.preset" in entries:
        name = entries["model.preset"].text
    return {f"model.{key}": value for key, value in PRESETS.get(name or "", {}).items()}
