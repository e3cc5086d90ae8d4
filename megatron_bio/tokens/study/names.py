"""What the command line names: PATH or NAME=PATH → a short name for the tables, and the path."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from megatron_bio.tokens.errors import TokenizerError

PLAIN_NAMES = frozenset({"tokenizer.json", "vocab.txt", "vocab.json", "train", "training"})
"""Names of files that say nothing, before or after their endings are taken away; their folder's name does."""


def name_inputs(flag: str, entries: Sequence[str]) -> dict[str, Path]:
    """Names and paths in the order given. Raises TokenizerError when two would have the same name."""
    named = [_name(entry) for entry in entries]
    repeated = [name for name, times in Counter(name for name, _ in named).items() if times > 1]
    if repeated:
        paths = " and ".join(str(path) for name, path in named if name == repeated[0])
        raise TokenizerError(
            f"{flag}: expected a name of its own for each, found {repeated[0]!r} for {paths}. Write NAME=PATH."
        )
    return dict(named)


def _name(entry: str) -> tuple[str, Path]:
    name, sign, path = entry.partition("=")
    if sign and name and path and not Path(entry).exists():
        return name, Path(path)
    whole = Path(entry)
    # Of a file, not of a folder, everything behind the first dot is its kind: train.tsv.gz.
    stem = whole.name if whole.is_dir() else whole.name.partition(".")[0]
    if {whole.name, stem} & PLAIN_NAMES:
        stem = whole.absolute().parent.name
    return stem or entry, whole
