"""What a pickle made, as a whole: not too deep, not within itself, not so branched that nobody could walk through it."""

from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from megatron_bio.convert.torch_file.refusal import Refused
from megatron_bio.convert.torch_file.values import Placeholder

_DEEPEST = 100
_LARGEST = 20_000_000


def check_structure(root: Any) -> None:
    """Raise `Refused` for a structure that programs which walk through it could not survive.

    What placeholders hold is checked by itself: they may refer to each other in circles, as OmegaConf's do.
    """
    sizes: dict[int, int] = {}
    roots = [root]
    seen: set[int] = set()
    while roots:
        root = roots.pop()
        for found in _measure(root, sizes):
            if id(found) not in seen:
                seen.add(id(found))
                roots.extend(_held(found))


def _measure(root: Any, sizes: dict[int, int]) -> list[Placeholder]:
    """Count what a value holds, each time it is reached, and return the placeholders in it.

    `sizes` has the counts of the containers that were walked before, by their identity.
    """
    placeholders: list[Placeholder] = []
    path: list[tuple[Any, Iterable[Any]]] = []
    on_path: set[int] = set()
    counts = [0]
    pending: Any = iter([root])
    while True:
        for value in pending:
            if isinstance(value, Placeholder):
                placeholders.append(value)
            children = _children(value)
            if children is None or id(value) in sizes:
                counts[-1] += sizes.get(id(value), 1)
                continue
            if id(value) in on_path:
                raise Refused("its values hold each other in a circle")
            if len(path) >= _DEEPEST:
                raise Refused(f"its values are nested more than {_DEEPEST} deep")
            path.append((value, pending))
            on_path.add(id(value))
            counts.append(1)
            pending = iter(children)
            break
        else:
            if not path:
                return placeholders
            value, pending = path.pop()
            on_path.discard(id(value))
            sizes[id(value)] = count = counts.pop()
            counts[-1] += count
        if counts[-1] > _LARGEST:
            raise Refused(f"its values repeat each other to more than {_LARGEST:,}")


def _children(value: Any) -> Iterable[Any] | None:
    """Return what a container holds, None for anything else. Keys are flat, so are sets."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, Namespace):
        return vars(value).values()
    return None


def _held(placeholder: Placeholder) -> list[Any]:
    return [
        *(placeholder.arguments, placeholder.keywords, placeholder.state),
        *(placeholder.items, placeholder.elements),
    ]
