"""File names and glob patterns from the command line → the files to read, in a fixed order."""

import glob
from collections.abc import Sequence
from pathlib import Path

from megatron_bio.corpus.errors import CorpusError


def expand_inputs(patterns: Sequence[str | Path]) -> list[Path]:
    """Files in the order of the patterns, the matches of one pattern sorted by name, a file named twice only once.

    A name that exists is taken as it stands, even with brackets in it. `**` matches folders of any depth.
    Raises CorpusError for a pattern without a match and for a folder.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        for path in _matches(str(pattern)):
            found.setdefault(path)
    return list(found)


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        raise CorpusError(
            f"{path}: expected a file, found a folder. Give its files, for example '{path}/*.gz'."
        )
    if path.exists():
        return [path]
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    files = sorted(path for path in map(Path, names) if path.is_file())
    if not files:
        raise CorpusError(
            f"'{pattern}': no file matches, looking from the folder {Path.cwd()}. Check the spelling and the folder; "
            "put patterns in quotes only if the shell must not expand them."
        )
    return files


def check_distinct_names(paths: Sequence[Path], remedy: str) -> None:
    """Raises CorpusError when two files have the same name, for readers that make ids of documents from it."""
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.name, path)
        if other != path:
            raise CorpusError(
                f"{path}: expected a name of its own, because ids of documents are made from it, found the name of "
                f"{other}. {remedy}."
            )


def check_different_files(paths: Sequence[Path]) -> None:
    """Raises CorpusError when two paths lead to one file, by links of any kind, whose documents would count twice."""
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        status = path.stat()  # of the file that a link points to
        other = seen.setdefault((status.st_dev, status.st_ino), path)
        if other != path:
            raise CorpusError(
                f"expected every file once, found {other} and {path}, which are the same file. Leave one out, or "
                f"copy it if its documents shall count twice."
            )
