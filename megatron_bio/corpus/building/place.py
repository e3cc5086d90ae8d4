"""The folder of a corpus: what may stand there before, and how the finished corpus gets there all at once."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from megatron_bio.corpus.building.manifest import MANIFEST, is_whole, read_manifest
from megatron_bio.corpus.built_corpus import BuiltCorpus
from megatron_bio.corpus.errors import CorpusError

COPIES, DROPPED = "copies.jsonl.zst", "dropped.jsonl.zst"
REPLACED = ".replaced"
"""Ending of the folder beside the output where the old corpus waits until the new one has its name."""
STRANGERS_SHOWN = 5


def check_output(output: Path, inputs: Sequence[Path], overwrite: bool) -> dict[str, Any] | None:
    """The manifest of the corpus that stands at `output` and need not be replaced; None when there is none.

    Raises CorpusError for a file, a folder of something else, an input inside it, and with `overwrite` for a corpus with
    files in its folder that are not its own.
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
    if manifest is not None and overwrite:
        _check_no_strangers(output)
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


def move_into_place(corpus: Path, output: Path) -> None:
    """Renames the finished corpus to `output`; an earlier one waits beside it meanwhile and is removed then.

    Of the earlier one only what its manifest names is removed. A kill between the renames leaves both corpora whole;
    `undo_replacement` clears up after it. Raises CorpusError when the system refuses, or when files that are not the
    earlier corpus's own have come into its folder.
    """
    replaced = _replaced(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.is_dir() and any(output.iterdir()):
            _check_no_strangers(output)
            output.rename(replaced)
        corpus.rename(output)
        _remove_corpus(replaced)
    except OSError as error:
        raise CorpusError(
            f"--output {output}: the finished corpus cannot be moved from {corpus} to there, or the earlier one not "
            f"removed from {replaced}: {error.strerror}. Move away what stands in the way and run the same command again."
        ) from error


def undo_replacement(output: Path) -> None:
    """After a kill while a corpus was replaced: gives the old one its name back if the new one does not have it yet.

    Else removes what is left of the old one. Call it when no other run writes `output`.
    """
    replaced = _replaced(output)
    if output.exists():
        _remove_corpus(replaced)
    elif read_manifest(replaced) is not None:
        replaced.rename(output)


def _replaced(output: Path) -> Path:
    return output.with_name(output.name + REPLACED)


def _own_files(corpus: Path) -> set[Path]:
    """All files that `corpus build` may have written there."""
    named = {file.path for file in BuiltCorpus.read(corpus).files}
    return named | {corpus / name for name in (MANIFEST, COPIES, DROPPED)}


def _own_folders(corpus: Path, files: Collection[Path]) -> set[Path]:
    return {folder for path in files for folder in path.parents if folder.is_relative_to(corpus)} - {corpus}


def _check_no_strangers(corpus: Path) -> None:
    files = _own_files(corpus)
    strangers = sorted(set(corpus.rglob("*")) - files - _own_folders(corpus, files))
    if strangers:
        shown = ", ".join(str(path.relative_to(corpus)) for path in strangers[:STRANGERS_SHOWN])
        more = f" and {len(strangers) - STRANGERS_SHOWN:,} more" if len(strangers) > STRANGERS_SHOWN else ""
        raise CorpusError(
            f"--output {corpus}: expected only files of the corpus that --overwrite true replaces, found others: "
            f"{shown}{more}. Nothing was removed. Move them out of that folder and run the same command again, or give "
            "another --output."
        )


def _remove_corpus(corpus: Path) -> None:
    """Removes the files that the manifest names, then the manifest, then the folders that are empty; if there is one."""
    if read_manifest(corpus) is None:
        return
    files = _own_files(corpus)
    for path in sorted(files, key=lambda path: path.name == MANIFEST):
        path.unlink(missing_ok=True)
    for folder in sorted((*_own_folders(corpus, files), corpus), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
