"""A recipe, the YAML file of a verb: which options it names and where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from megatron_bio.config.arguments import UsageError
from megatron_bio.config.schema import Option, unknown_option


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One option as a recipe gives it."""

    file: Path
    line: int
    text: str

    @property
    def place(self) -> str:
        """Where the entry stands, for messages."""
        return f"{self.file}, line {self.line}"


def read_recipe(path: Path, options: Mapping[str, Option], program: str) -> dict[str, Entry]:
    """Return the entries of a YAML file by dotted option name.

    Raises `UsageError` for a file that cannot be read, for names that are no options of the verb, and for names given
    twice (YAML would silently take the last).
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--config: expected a readable YAML file, found {path}: {_reason(error)}."
        ) from error
    except yaml.YAMLError as error:
        raise UsageError(f"--config: {path} is not YAML: {' '.join(str(error).split())}.") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(f"--config: expected lines 'name: value' in {path}, found '{_text(root)}'.")
    groups = {name[:at] for name in options for at, letter in enumerate(name) if letter == "."}
    entries: dict[str, Entry] = {}
    for name, node, line in _leaves(root, options, ""):
        entry = Entry(file=path, line=line, text=_text(node))
        if name in groups:
            raise UsageError(
                f"{entry.place}: {name} is a group of options; expected indented lines 'name: value' under it, "
                f"found '{entry.text}'."
            )
        if name not in options:
            raise UsageError(f"{entry.place}: {unknown_option(name, options, program)}")
        if name in entries:
            raise UsageError(
                f"{entry.place}: {name} stands already in line {entries[name].line}; remove one of them."
            )
        entries[name] = entry
    return entries


def _leaves(
    node: yaml.MappingNode, options: Mapping[str, Option], prefix: str
) -> Iterator[tuple[str, yaml.Node, int]]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode) and value.value and name not in options:
            yield from _leaves(value, options, f"{name}.")
        else:
            yield name, value, key.start_mark.line + 1


def _text(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return f"[{', '.join(_text(item) for item in node.value)}]"
    return "a mapping"


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8 text"
