"""What `preprocess` is told to read → the files, and which output the documents of each belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.building.split import SPLIT_NAMES
from megatron_bio.corpus.built_corpus import MANIFEST, BuiltCorpus
from megatron_bio.corpus.inputs import check_different_files, expand_inputs
from megatron_bio.tokens.errors import PreprocessError


@dataclass(frozen=True, kw_only=True)
class TokenInputs:
    """Files to read, in order."""

    files: list[Path]
    parts: list[int]
    """Which of `SPLIT_NAMES` each belongs to; 0 for all where the inputs do not say."""
    are_split: bool
    """Whether they say."""


def find_inputs(inputs: Sequence[str], split_asked: bool) -> TokenInputs:
    """Files, patterns and folders of `corpus build`; a folder of one split in it, as corpus/train, is its shards.

    Raises CorpusError for what is not there or there twice, PreprocessError for inputs that do not go together.
    """
    corpora = [text for text in inputs if (Path(text) / MANIFEST).is_file()]
    if corpora and len(corpora) < len(inputs):
        other = next(text for text in inputs if text not in corpora)
        raise PreprocessError(
            f"--inputs: expected either whole corpora, which are split, or files, found the corpus {corpora[0]} beside "
            f"{other}. Give the shards that you mean, for example '{corpora[0]}/train'."
        )
    if corpora and split_asked:
        raise PreprocessError(
            f"--split: {corpora[0]} is a corpus that is split already. Leave --split out, or give its shards as "
            f"'{corpora[0]}/*/*.jsonl.zst'."
        )
    if corpora:
        return _shards_of([Path(text) for text in corpora])
    for folder in {Path(text).parent for text in inputs if _is_split(Path(text))}:
        _check_whole(BuiltCorpus.read(folder))
    files = [file for text in inputs for file in _files_of(Path(text))]
    files = list(dict.fromkeys(files))
    check_different_files(files)
    return TokenInputs(files=files, parts=[0] * len(files), are_split=False)


def _shards_of(folders: list[Path]) -> TokenInputs:
    files, parts = [], []
    for folder in folders:
        corpus = BuiltCorpus.read(folder)
        _check_whole(corpus)
        for file in corpus.files:
            if file.split in SPLIT_NAMES:
                files.append(file.path)
                parts.append(SPLIT_NAMES.index(file.split))
    if not files:
        raise PreprocessError(
            f"--inputs: expected corpora with documents, found none in {', '.join(map(str, folders))}."
        )
    check_different_files(files)
    return TokenInputs(files=files, parts=parts, are_split=True)


def _check_whole(corpus: BuiltCorpus) -> None:
    if problems := corpus.problems(read=False):
        raise PreprocessError(f"{problems[0]}. The corpus {corpus.folder} is not whole: build it again.")


def _is_split(path: Path) -> bool:
    return path.is_dir() and path.name in SPLIT_NAMES and (path.parent / MANIFEST).is_file()


def _files_of(path: Path) -> list[Path]:
    if _is_split(path):
        return [file.path for file in BuiltCorpus.read(path.parent).files if file.split == path.name]
    return expand_inputs([path])
