"""The tokenizer of a run, written beside the weights."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from megatron_bio.checkpoint.run import Run
from megatron_bio.tokens.tokenizer_files import TOKENIZER_FILES, read_json, read_tokenizer_files
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder

_CONFIG = "tokenizer_config.json"


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
