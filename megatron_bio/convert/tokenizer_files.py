"""The tokenizer of a model: found, compared with the checkpoint, written beside the weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.formats import Format
from megatron_bio.convert.sources import Checkpoint, Told
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import TOKENIZER_FILES, read_json, read_tokenizer_files
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder
from megatron_bio.tokens.trained_with import require_trained_with, tokenizer_place

_CONFIG = "tokenizer_config.json"


def open_with_tokenizer(
    known: Format, path: Path, given: Path | None, told: Told | None = None
) -> Checkpoint:
    """Open a checkpoint with the tokenizer that belongs to it: `given`, the one that came with it, or the run's.

    `told` as in `Format.open`. Raises `UserError` for one that is missing or does not fit.
    """
    size = Tokenizer.load(given).vocab_size if given else None
    checkpoint = known.open(path, size, told)
    place = tokenizer_place(checkpoint.path, checkpoint.tokenizer, given)
    tokenizer = Tokenizer.load(place)
    if given is None and tokenizer.vocab_size != checkpoint.model.vocab_size:
        # The configuration may count rows of padding; the tokenizer that came with it tells.
        checkpoint = known.open(path, tokenizer.vocab_size, told)
    require_trained_with(
        tokenizer,
        model=checkpoint.path,
        vocab_size=checkpoint.model.vocab_size,
        fingerprint=checkpoint.training.get("tokenizer_fingerprint"),
    )
    _require_casing(checkpoint, tokenizer)
    return replace(checkpoint, tokenizer=place)


def _require_casing(checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
    """Raise `ConvertError` for a WordPiece that is not of the casing that Megatron-LM's arguments name."""
    stated = checkpoint.facts.get("tokenizer_type")
    lowercase = {"BertWordPieceLowerCase": True, "BertWordPieceCase": False}.get(str(stated))
    if lowercase is not None and tokenizer.kind == "wordpiece" and tokenizer.lowercase != lowercase:
        does = "lower-cases" if tokenizer.lowercase else "keeps capitals"
        raise ConvertError(
            f"{tokenizer.name}: the tokenizer {does}, but {checkpoint.path} was trained with {stated}; it would give other ids "
            f"to the same text. Give the right one with --tokenizer: a folder whose tokenizer_config.json says "
            f'"do_lower_case": {str(lowercase).lower()}.'
        )


def longest_sequence(checkpoint: Checkpoint) -> int:
    """Return the longest sequence trained, in tokens, or that the positions reach where nothing tells it."""
    reach = checkpoint.model.max_position_embeddings
    length = checkpoint.training.get("config", {}).get("data", {}).get("sequence_length", reach)
    return min(length, reach)


def megatron_tokenizer_type(checkpoint: Checkpoint) -> str:
    """Return Megatron-LM's `--tokenizer-type` for the checkpoint's tokenizer.

    It refuses a checkpoint that names another one than its own command line.
    """
    if checkpoint.model.architecture == "gpt":
        return "GPT2BPETokenizer"
    lowercase = checkpoint.tokenizer is not None and Tokenizer.load(checkpoint.tokenizer).lowercase
    return "BertWordPieceLowerCase" if lowercase else "BertWordPieceCase"


def write_tokenizer(source: Path, target: Path, longest: int) -> None:
    """Write the files of the tokenizer at `source` into `target`, with the longest sequence as `model_max_length`.

    A vocabulary without tokenizer_config.json gets all files: transformers would lower-case it, whatever it is.
    """
    if (source / _CONFIG).is_file():
        _copy(source, target, longest)
        return
    with TemporaryDirectory() as temporary:
        made = Path(temporary) / "tokenizer"
        write_tokenizer_folder(made, read_tokenizer_files(source, lowercase=None).core)
        _copy(made, target, longest)


def _copy(source: Path, target: Path, longest: int) -> None:
    for name in sorted(TOKENIZER_FILES - {_CONFIG}):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    settings = read_json(source / _CONFIG)
    settings["model_max_length"] = longest
    (target / _CONFIG).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
