"""The tokenizer of a run: found, compared with the checkpoint, written beside the weights."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.run import Run
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import TOKENIZER_FILES, read_json, read_tokenizer_files
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder

_CONFIG = "tokenizer_config.json"


def find_tokenizer(run: Run, given: Path | None) -> tuple[Path, Tokenizer]:
    """Return the path and the tokenizer that the model was trained with; raises `ConvertError` for another one."""
    path = given or Path(run.config.data.tokenizer)
    if given is None and not path.exists():
        raise ConvertError(
            f"{path}: the run had its tokenizer there, but nothing is there now (relative paths start at {Path.cwd()}). "
            f"Give its present place with --tokenizer."
        )
    tokenizer = Tokenizer.load(path)
    if tokenizer.vocab_size != run.model.vocab_size:
        raise ConvertError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, the model of {run.folder} was trained with "
            f"{run.model.vocab_size}; it is another tokenizer. Give the right one with --tokenizer."
        )
    if tokenizer.fingerprint != run.tokenizer_fingerprint:
        raise ConvertError(
            f"{path}: the tokenizer has fingerprint {tokenizer.fingerprint}, the model of {run.folder} was trained with "
            f"{run.tokenizer_fingerprint}; it would give other ids to the same text. Give the right one with --tokenizer."
        )
    return path, tokenizer


def write_tokenizer(source: Path, target: Path, run: Run) -> None:
    """Write the files of the tokenizer at `source` into `target`, with the longest sequence trained as `model_max_length`.

    A vocabulary without tokenizer_config.json gets all files: transformers would lower-case it, whatever it is.
    """
    if (source / _CONFIG).is_file():
        _copy(source, target, run)
        return
    with TemporaryDirectory() as temporary:
        made = Path(temporary) / "tokenizer"
        write_tokenizer_folder(made, read_tokenizer_files(source, lowercase=None).core)
        _copy(made, target, run)


def _copy(source: Path, target: Path, run: Run) -> None:
    for name in sorted(TOKENIZER_FILES - {_CONFIG}):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    settings = read_json(source / _CONFIG)
    settings["model_max_length"] = min(run.config.data.sequence_length, run.model.max_position_embeddings)
    (target / _CONFIG).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
