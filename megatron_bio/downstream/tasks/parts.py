"""Parts of a data set: the files they are of, ids that are there once, and a development part where none is published."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.tasks.form import Example, Examples, PartName, UsedFile
from megatron_bio.tokens.data_file import DataFile

IN_ANOTHER_PART = "example that is in the development or test part too"
_HELD_OUT = 10
Value = TypeVar("Value")


def used(file: DataFile) -> UsedFile:
    """Path and hash for the results."""
    return UsedFile(path=file.path, sha256=file.sha256)


def opened(files: Mapping[PartName, Sequence[Path]]) -> dict[PartName, list[DataFile]]:
    """The files of each part. Raises DamagedFileError."""
    return {part: [DataFile(path) for path in paths] for part, paths in files.items() if paths}


def with_development(
    parts: dict[PartName, Examples[Example]], key: Callable[[Example], str]
) -> dict[PartName, Examples[Example]]:
    """If there is no development part, take one tenth of the training part for it, of at least two examples.

    Those whose `key` has the smallest sha256: the choice depends on nothing but the data, and equal keys stay together.
    """
    train = parts.get("train")
    if train is None or "development" in parts:
        return parts
    order = sorted(
        {key(example) for example in train.examples}, key=lambda text: hashlib.sha256(text.encode()).digest()
    )
    if len(order) < 2:
        return parts
    chosen = set(order[: max(1, len(order) // _HELD_OUT)])
    kept = tuple(example for example in train.examples if key(example) not in chosen)
    held_out = tuple(example for example in train.examples if key(example) in chosen)
    return {
        **parts,
        "train": replace(train, examples=kept),
        "development": Examples(examples=held_out, files=train.files),
    }


def without_overlap(
    parts: dict[PartName, Examples[Example]], key: Callable[[Example], str]
) -> dict[PartName, Examples[Example]]:
    """Leave out, and count, training examples of the other parts, and development examples of the test part.

    Raises ConfigurationError for a part of which nothing is left: it is another one under a second name.
    """
    result = dict(parts)
    later: set[str] = set()
    for part in ("test", "development", "train"):
        if part not in parts:
            continue
        examples = parts[part].examples
        kept = tuple(example for example in examples if key(example) not in later)
        if examples and not kept:
            files = ", ".join(str(file.path) for file in parts[part].files)
            raise ConfigurationError(
                f"{files}: expected a {part} part with examples of its own, found all {len(examples):,} in a later part too. "
                "Take it out of the folder, or give the right file this name."
            )
        left_out = Counter(parts[part].left_out)
        left_out[IN_ANOTHER_PART] += len(examples) - len(kept)
        result[part] = replace(parts[part], examples=kept, left_out=+left_out)
        later |= {key(example) for example in examples}
    return result


def once(pairs: Iterable[tuple[str, Value]], where: str) -> dict[str, Value]:
    """The values by id. Raises ConfigurationError for an id that is there twice; `where` names the files."""
    values: dict[str, Value] = {}
    for name, value in pairs:
        if name in values:
            raise ConfigurationError(
                f"{where}: expected each id once, found {name!r} again. Name each file once, and none that holds another."
            )
        values[name] = value
    return values


def names_of(files: Iterable[DataFile]) -> str:
    """The paths, for a message."""
    return ", ".join(str(file.path) for file in files)
