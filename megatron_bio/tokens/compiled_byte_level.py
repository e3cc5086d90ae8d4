"""Byte-level BPE by compiled code (`csrc/byte_level.cpp`): the ids of the tokenizers library, asked about each character."""

import json
from typing import Any

from tokenizers import Tokenizer as Core

from megatron_bio import native
from megatron_bio.tokens.compiled_encoder import CompiledEncoder, LibraryIds

_PRE_TOKENIZER = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_MODEL = {
    "type",
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
    "vocab",
    "merges",
}
_OFF = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
)


class CompiledByteLevel(CompiledEncoder):
    """Text → ids, for tokenizers that `load` accepts."""

    def __init__(self, core: Core, model: dict[str, Any]) -> None:
        """Take a tokenizer and the `model` of its tokenizer.json.

        Raises ValueError if it does not part text as GPT-2 does, KeyError if the vocabulary lacks a byte or a piece of a merge.
        """
        assert native.compiled is not None
        vocabulary = model["vocab"]
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        self._compiled = native.compiled.ByteLevel(
            [vocabulary[character] for character in _byte_characters()],
            [(vocabulary[left], vocabulary[right], vocabulary[left + right]) for left, right in pairs],
            _CharacterKinds(core),
            LibraryIds(core),
        )


def load(core: Core) -> CompiledByteLevel | None:
    """The compiled form of a tokenizer; None without compiled parts, and for one that has anything not known here."""
    if native.compiled is None:
        return None
    content = json.loads(core.to_str())
    pre_tokenizer, model = content["pre_tokenizer"] or {}, content["model"]
    if not (
        content["normalizer"] is None
        and {name: value for name, value in pre_tokenizer.items() if name != "trim_offsets"} == _PRE_TOKENIZER
        and model.get("type") == "BPE"
        and model.keys() == _MODEL
        and not any(model[name] for name in _OFF)
        # Tokens added by hand are found before text is parted; special tokens in a text are text here.
        and core.encode_special_tokens
        and all(token["special"] for token in content["added_tokens"])
    ):
        return None
    try:
        return CompiledByteLevel(core, model)
    except (ValueError, KeyError):
        return None


def _byte_characters() -> list[str]:
    """The character that stands for each of the 256 bytes in a vocabulary: itself if it can be printed, else one from U+0100 on."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printed else next(others)) for byte in range(256)]


class _CharacterKinds:
    """What a character is to GPT-2's pattern: it stays together with its like, and white space with nothing."""

    def __init__(self, core: Core) -> None:
        self._pre_tokenizer = core.pre_tokenizer

    def __call__(self, point: int) -> str:
        """`letter`, `number`, `other` or `white_space`. Raises ValueError if it is more than one of them."""
        likes = (("letter", "a"), ("number", "1"), ("other", "!"))
        joined = [name for name, like in likes if self._parts(like, point) == 1]
        if len(joined) > 1:
            raise ValueError(
                f"U+{point:04X} is of more kinds than GPT-2's pattern knows: {', '.join(joined)}"
            )
        return joined[0] if joined else "white_space"

    def _parts(self, like: str, point: int) -> int:
        return len(self._pre_tokenizer.pre_tokenize_str(f"{like}{chr(point)}{like}"))
