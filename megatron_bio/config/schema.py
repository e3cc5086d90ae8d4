"""What the options of a dataclass are called, what each expects, and which name a mistaken one was meant to be.

An option is called as its field is. A word that no field may have (`from`) stands in the field's metadata:
`field(default=None, metadata={FLAG: "from"})`.
"""

import difflib
import types
from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

FLAG = "flag"
"""Key of a field's metadata: how users call the option, where Python does not allow it as a field's name."""

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
_METAVARS = {int: "N", float: "X", bool: "true|false", str: "TEXT", Path: "PATH"}


@dataclass(frozen=True, kw_only=True)
class Option:
    """One field of an options dataclass, nested ones with dots: `model.hidden_size`."""

    name: str
    """How users call it, on the command line and in YAML."""
    field: str
    """The dotted names of the fields; the same, unless the metadata say otherwise."""
    hint: Any
    required: bool

    @property
    def kind(self) -> Literal["switch", "list", "value"]:
        """How many words follow the flag: none or one, one or more, exactly one."""
        base = _without_none(self.hint)
        if base is bool:
            return "switch"
        return "list" if get_origin(base) in (list, tuple) else "value"

    @property
    def element(self) -> Any:
        """The type of one word behind the flag."""
        base = _without_none(self.hint)
        return get_args(base)[0] if self.kind == "list" else base

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        base = _without_none(self.hint)
        if get_origin(base) is Literal:
            return " or ".join(repr(choice) for choice in get_args(base))
        if self.kind == "list":
            count = _fixed_length(base)
            word = _WORDS.get(self.element, str(self.element))
            return f"{count or 'one or more'} values ({word} each)"
        return _WORDS.get(base, str(base))

    @property
    def metavar(self) -> str:
        """What stands for the value in help texts."""
        base = _without_none(self.hint)
        if get_origin(base) is Literal:
            return "|".join(str(choice) for choice in get_args(base))
        one = _METAVARS.get(self.element, "VALUE")
        if self.kind != "list":
            return one
        count = _fixed_length(base)
        return " ".join([one] * count) if count else f"{one} [{one} ...]"


def options_of(options_class: type, prefix: str = "") -> dict[str, Option]:
    """Return the options of a dataclass and of the dataclasses inside it, by dotted name."""
    hints = get_type_hints(options_class)
    options: dict[str, Option] = {}
    for field in fields(options_class):
        name, hint = prefix + field.metadata.get(FLAG, field.name), hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            options |= options_of(hint, f"{name}.")
        else:
            required = field.default is MISSING and field.default_factory is MISSING
            options[name] = Option(name=name, field=prefix + field.name, hint=hint, required=required)
    return options


def unknown_option(name: str, known: Collection[str], program: str, dashes: str = "") -> str:
    """Return the message for a name that is no option: the known name nearest to it, and where all of them are."""
    last = name.rpartition(".")[2]
    last_parts = {other.rpartition(".")[2]: other for other in known}
    near = (
        [last_parts[last]] if last in last_parts else difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    )
    if not near:
        near = [last_parts[part] for part in difflib.get_close_matches(last, last_parts, n=1)]
    meant = f"; did you mean {dashes}{near[0]}?" if near else "."
    verb = program.partition(" ")[2]
    return f"{dashes}{name} is not an option of {verb}{meant} All options: {program} --help"


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _fixed_length(hint: Any) -> int | None:
    parts = get_args(hint)
    return len(parts) if get_origin(hint) is tuple and Ellipsis not in parts else None
