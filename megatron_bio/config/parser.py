"""The jsonargparse parser of an options dataclass, with a help text that shows flags, meanings and defaults only."""

import shutil
from argparse import SUPPRESS, Action, RawDescriptionHelpFormatter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from megatron_bio.config.schema import Option

HELP_WIDTH = 110
HELP_COLUMN = 32

_GENERAL = MappingProxyType(
    {
        "--help": (None, "Show this text."),
        "--config": (
            "FILE.yaml",
            "Take options from a YAML file that names them as below; flags given beside it stand. May be repeated.",
        ),
        "--print_config": ("", "Print all options as YAML, a start for --config, and do nothing else."),
        "--traceback": (
            None,
            "Show where in the code an error comes from (or set MEGATRON_BIO_TRACEBACK=1).",
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a parser says about its verb."""

    name: str
    """How it is called: `megatron-bio pretrain`."""
    description: str
    """What it does, for --help; line breaks are kept."""
    positional: str | None = None
    """The option that may be given without its flag."""


def build_parser(
    options_class: type, options: Mapping[str, Option], program: Program, defaults: Mapping[str, Any]
) -> ArgumentParser:
    """Return the parser of one options dataclass; `defaults` stand instead of the dataclass's own."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog=program.name,
        usage=_usage(options, program).replace("%", "%%"),
        description=program.description.replace("%", "%%"),
        formatter_class=_HelpFormatter,
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("-h", "--help", action="help")
    parser.add_argument("--config", action="config")
    parser.add_argument("--traceback", action="store_true", default=SUPPRESS)
    parser.add_class_arguments(options_class)
    parser.set_defaults(dict(defaults))
    parser._optionals.title = "general"
    if own := (parser.groups or {}).get(options_class.__name__):
        own.title = "options"
    _rename(parser, options)
    for action in parser._actions:
        _describe(action, options)
    return parser


def _rename(parser: ArgumentParser, options: Mapping[str, Option]) -> None:
    """Call the options whose name no field can have as users do; the parser has them under the names of the fields."""
    called = {option.field: option.name for option in options.values() if option.field != option.name}
    for action in parser._actions:
        if name := called.get(action.dest):
            for flag in action.option_strings:
                del parser._option_string_actions[flag]
            action.option_strings = [f"--{name}"]
            action.dest = name
            parser._option_string_actions[f"--{name}"] = action


def _describe(action: Action, options: Mapping[str, Option]) -> None:
    flag = action.option_strings[-1]
    if option := options.get(action.dest):
        action.metavar = option.metavar
        if option.required:
            action.help = f"{action.help} (required)"
        elif action.default is not None:
            action.help = f"{action.help} (default: {_shown(action.default)})"
    elif flag in _GENERAL:
        action.metavar, action.help = _GENERAL[flag]
    else:  # --model and the like take a file for a whole group; --config does that already
        action.help = SUPPRESS


def _usage(options: Mapping[str, Option], program: Program) -> str:
    if any("." in name for name in options):  # too many for one line: a recipe is the way to give them
        return f"{program.name} --config FILE.yaml [options]"
    words = [program.name]
    for option in options.values():
        if option.name == program.positional:
            words.insert(1, option.name.upper())
        elif option.required:
            words.append(f"--{option.name} {option.metavar}")
    return " ".join([*words, "[options]"])


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, (list, tuple)):
        return " ".join(_shown(item) for item in default) or "none"
    return str(default)


class _HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """One flag, its values, its meaning and its default; no Python types."""

    def __init__(self, prog: str, **settings: Any) -> None:
        width = min(HELP_WIDTH, shutil.get_terminal_size().columns - 2)
        super().__init__(prog, **(settings | {"max_help_position": HELP_COLUMN, "width": width}))  # type: ignore[no-untyped-call]

    def _format_action_invocation(self, action: Action) -> str:
        flags = ", ".join(flag for flag in action.option_strings if not flag.endswith("+"))
        return f"{flags} {action.metavar}" if action.metavar else flags

    def _expand_help(self, action: Action) -> str:
        return " ".join((action.help or "").split())
