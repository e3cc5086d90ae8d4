"""The words of a command line, in the forms that shells and people use, read as `--name=value`.

--inputs a.xml b.xml        a list takes the words up to the next flag
--inputs a.xml --inputs b   or is given repeatedly
--json                      a switch alone means true
--train-steps 100           dashes and underscores are the same
PATH                        one option may be given without its flag, a list by several words
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.schema import Option, unknown_option

HELP, CONFIG, PRINT_CONFIG, TRACEBACK = "help", "config", "print_config", "traceback"
_ALONE = (HELP, PRINT_CONFIG, TRACEBACK)
_BOOLEAN_WORDS = ("true", "false", "yes", "no")


class UsageError(ConfigurationError):
    """The command line or the recipe cannot be understood: an option is unknown, missing or of another type."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What a command line says, before types are checked."""

    values: Mapping[str, Sequence[str]]
    """Option name to the words given for it: those of the last use, or of all uses of a list."""
    recipes: Sequence[str]
    """Files given with --config, in order."""
    alone: frozenset[str]
    """Which of --help, --print_config and --traceback were given."""

    def canonical(self, options: Mapping[str, Option]) -> list[str]:
        """Return the words as `--name=value`, one per option."""
        return [f"--{name}={_one_word(options[name], words)}" for name, words in self.values.items()]


def read_arguments(
    words: Sequence[str], options: Mapping[str, Option], program: str, positional: str | None = None
) -> Arguments:
    """Sort the words of a command line by option; raise `UsageError` at the first that belongs to none.

    A word without a flag is the value of the option `positional`, or one of its values if that is a list.
    """
    values: dict[str, list[str]] = {}
    recipes: list[str] = []
    alone: set[str] = set()
    rest = _Words(words)
    for word in rest:
        if not _is_flag(word):
            several = positional is not None and options[positional].kind == "list"
            if positional is None or (positional in values and not several):
                raise UsageError(f"expected a flag (--name), found '{word}'. All options: {program} --help")
            values.setdefault(positional, []).append(word)
            continue
        flag, equals, value = word.partition("=")
        name = HELP if flag == "-h" else flag[2:].replace("-", "_")
        if name in _ALONE:
            alone.add(name)
        elif name == CONFIG:
            recipes += [value] if equals else rest.take(flag, "the name of a YAML file")
        elif name not in options:
            raise UsageError(unknown_option(name, options, program, "--"))
        else:
            found = rest.take_values(flag, options[name], [value] if equals else [])
            earlier = values.get(name, []) if options[name].kind == "list" else []
            values[name] = earlier + found
    return Arguments(values=values, recipes=recipes, alone=frozenset(alone))


class _Words(Iterator[str]):
    """The words not read yet."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def __next__(self) -> str:
        if not self._words:
            raise StopIteration
        return self._words.pop(0)

    def take(self, flag: str, expected: str) -> list[str]:
        """Return the next word, or explain that a value is missing."""
        if not self._words or _is_flag(self._words[0]):
            found = f"'{self._words[0]}'" if self._words else "nothing"
            raise UsageError(f"{flag}: expected {expected}, found {found}.")
        return [next(self)]

    def take_values(self, flag: str, option: Option, attached: list[str]) -> list[str]:
        """Return the words that belong to an option, the one after its = included."""
        if option.kind == "switch":
            given = self._words and self._words[0].lower() in _BOOLEAN_WORDS
            return attached or ([next(self)] if given else ["true"])
        found = attached or self.take(flag, option.expected)
        while option.kind == "list" and self._words and not _is_flag(self._words[0]):
            found.append(next(self))
        return found


def _is_flag(word: str) -> bool:
    return word.startswith("--") or word == "-h"


def _one_word(option: Option, words: Sequence[str]) -> str:
    if option.kind != "list":
        return words[0]
    if len(words) == 1 and _is_json_list(words[0]):
        return words[0]
    return f"[{', '.join(map(_quoted, words))}]"


def _quoted(word: str) -> str:
    """Return a word in the quotes of JSON, but with characters like emoji as they are: YAML knows no surrogate pairs."""
    inside = "".join(char if ord(char) > 0xFFFF else json.dumps(char)[1:-1] for char in word)
    return f'"{inside}"'


def _is_json_list(word: str) -> bool:
    try:
        return isinstance(json.loads(word), list)
    except ValueError:
        return False
