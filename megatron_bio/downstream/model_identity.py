"""Which model it was: hashes and sizes, for results that must be found again."""

import hashlib
import json
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_bio.config.errors import ConfigurationError

_MARKER = "megatron_bio.json"
_BLOCK_BYTES = 1 << 20
_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"),
)


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """What results.json says of a model besides its name and path."""

    sha256: str
    """Of the file of weights, or of the list of names and hashes if there are several."""
    config_sha256: str
    """Of config.json's settings, sorted, without the name and version that saving adds."""
    type: str
    """As transformers calls it: bert, megatron-bert, roberta, gpt2."""
    parameters: int
    """Numbers in the model without its heads, each tied tensor once."""
    tokenizer_sha256: str
    """Of the list of names and hashes of the tokenizer's files."""
    vocabulary: int
    """Tokens of the tokenizer, added ones too."""
    pretraining_step: int | None
    """The step that an export of this library names."""


def model_identity(folder: Path, tokenizer: Path | None = None) -> ModelIdentity:
    """Describe a Hugging Face folder, whose tokenizer is in `tokenizer` if that is another folder; no weights are loaded.

    Raises `UserError` for a folder without weights or tokenizer, and for a model that this transformers does not know.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from megatron_bio.convert.hugging_face.files import weight_files

    place = tokenizer or folder
    build: Any = AutoModel.from_config
    files = weight_files(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            model = build(config)
        tokenizer_found: Any = AutoTokenizer.from_pretrained(place, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"{folder}: expected a model and a tokenizer ({place}) that transformers opens; found: "
            f"{str(error).splitlines()[0]}"
        ) from error
    # Transformers 5 makes a tokenizer of special tokens alone where the files are missing.
    if tokenizer_found.get_vocab().keys() <= set(tokenizer_found.all_special_tokens):
        raise ConfigurationError(
            f"{place}: expected the files of a tokenizer (tokenizer.json or vocab.txt and the like), found no token but special "
            "ones. Put them beside the model, or give --tokenizer."
        )
    return ModelIdentity(
        sha256=file_sha256(files[0]) if len(files) == 1 else listed_sha256(files),
        config_sha256=_config_sha256(folder / "config.json"),
        type=str(config.model_type),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        tokenizer_sha256=listed_sha256(place / name for name in _TOKENIZER_FILES if (place / name).is_file()),
        vocabulary=len(tokenizer_found),
        pretraining_step=_step(folder / _MARKER),
    )


@contextmanager
def opening_weights(folder: Path | str) -> Iterator[None]:
    """Raise `ConfigurationError` for weights that transformers cannot read: cut off, or of another shape than the configuration."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigurationError(
            f"{folder}: expected whole weights of the model that config.json describes, found: {said[0]} Download or export "
            "the model again."
        ) from error


def file_sha256(path: Path) -> str:
    """Return the hash of a file's bytes; raises `ConfigurationError` if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def listed_sha256(files: Iterable[Path]) -> str:
    """Return the hash of the lines `SHA256  NAME`, sorted by name, as `sha256sum` would print them."""
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in sorted(files, key=lambda path: path.name)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _config_sha256(path: Path) -> str:
    settings = json.loads(path.read_text(encoding="utf-8"))
    for added in ("_name_or_path", "transformers_version"):
        settings.pop(added, None)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _step(marker: Path) -> int | None:
    try:
        step = json.loads(marker.read_text(encoding="utf-8")).get("step")
    except (OSError, ValueError, AttributeError):
        return None
    return step if isinstance(step, int) and step > 0 else None
