"""The folder of a corpus: what may stand there before, and how the finished corpus gets there all at once."""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from megatron_bio.corpus.building.manifest import is_whole, read_manifest
from megatron_bio.corpus.errors import CorpusError

REPLACED = "replaced"


def check_output(output: Path, inputs: Sequence[Path], overwrite: bool) -> dict[str, Any] | None:
    """The manifest of the corpus that stands at `output` and need not be replaced; None when there is none.

    Raises CorpusError for a file, a folder of something else, and an input inside it.
    """
    for path in inputs:
        if path.resolve().is_relative_to(output.resolve()):
            raise CorpusError(f"{path} is an input and lies in --output {output}. Give another --output.")
    if output.exists() and not output.is_dir():
        raise CorpusError(
            f"--output {output}: expected a folder or nothing, found a file. Give another --output."
        )
    manifest = read_manifest(output)
    if manifest is None and output.is_dir() and any(output.iterdir()):
        raise CorpusError(
            f"--output {output}: expected an empty folder, a corpus or nothing, found other files and no manifest. "
            "Give another --output or empty the folder."
        )
    return None if overwrite else manifest


def check_same(output: Path, manifest: dict[str, Any], made_from: str) -> None:
    """Raises CorpusError if the corpus at `output` is another than the one asked for, or is damaged."""
    if manifest["made_from"] != made_from:
        raise CorpusError(
            f"--output {output}: expected no corpus, found one of other inputs, options or another version "
            f"({manifest.get('program')}; see its manifest.json). Give another --output, or --overwrite true to replace it."
        )
    if not is_whole(output, manifest):
        raise CorpusError(
            f"--output {output}: the corpus there lacks files that its manifest names, or they have other sizes. "
            "Give --overwrite true to build it again."
        )


def remove_strangers(corpus: Path, expected: Collection[str]) -> None:
    """Removes what earlier runs with other options left in the corpus in the making."""
    for path in sorted(corpus.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif str(path.relative_to(corpus)) not in expected:
            path.unlink()


def move_into_place(corpus: Path, output: Path, work: Path) -> None:
    """Renames the finished corpus to `output`; an earlier one is moved into the work folder, which is removed next.

    Raises CorpusError when the system refuses.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.is_dir() and any(output.iterdir()):
            replaced = work / REPLACED
            shutil.rmtree(replaced, ignore_errors=True)
            output.rename(replaced)
        corpus.rename(output)
    except OSError as error:
        raise CorpusError(
            f"--output {output}: the finished corpus is in {corpus} but cannot be moved there: {error.strerror}. "
            "Give an --output that is not yet there."
        ) from error
