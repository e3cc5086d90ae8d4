"""Any model that a user names → a folder that Hugging Face opens."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.errors import ConfigurationError

_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_PICKLES = ["*.json", "*.txt", "*.model", "pytorch_model*.bin"]


@dataclass(frozen=True)
class ModelFolder:
    """What transformers opens."""

    path: Path
    """Folder of configuration and weights."""
    tokenizer: Path
    """Folder of the tokenizer, mostly the same."""


@contextmanager
def hugging_face_folder(model: str, tokenizer: Path | None, converted: Path | None) -> Iterator[ModelFolder]:
    """Give the folder of a Hugging Face model: `model` itself, its copy from the hub, or a checkpoint's conversion.

    A checkpoint of this library or of a format that `convert` reads is converted, with its check, to the folder `converted`,
    or to a temporary one that is gone on leaving. `tokenizer` is that of the model where it is elsewhere; a conversion takes
    it along. Raises `UserError` for what is no model.
    """
    if find_spec("transformers") is None:
        raise ConfigurationError(
            "transformers is not installed, and models are opened with it. Install it with pip install 'megatron-bio[hf]'."
        )
    path = Path(model)
    if not path.exists():
        copy = _from_hub(model)
        yield ModelFolder(copy, tokenizer or copy)
    elif (path / "config.json").is_file():
        yield ModelFolder(path, tokenizer or path)
    elif converted is not None:
        yield _converted(path, tokenizer, converted)
    else:
        with TemporaryDirectory(prefix="megatron-bio-") as temporary:
            yield _converted(path, tokenizer, Path(temporary) / "model")


def _converted(checkpoint: Path, tokenizer: Path | None, output: Path) -> ModelFolder:
    from megatron_bio.convert.conversion import convert

    options = ConvertOptions(
        checkpoint=checkpoint, output=output, to_format="hugging_face", tokenizer=tokenizer
    )
    # stdout is for results.
    with redirect_stdout(sys.stderr):
        convert(options)
    return ModelFolder(output, output)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=_FILES))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=_PICKLES))
    # ValueError: no possible name; OSError: all that the network and the hub refuse.
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"--model {name}: expected a folder or a model on the hub; found no folder of that name, and the hub: "
            f"{str(error).splitlines()[0]}. Correct the name, or download the model and give its folder."
        ) from error
    return folder
