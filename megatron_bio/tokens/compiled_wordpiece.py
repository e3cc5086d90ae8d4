"""WordPiece by compiled code (`csrc/wordpiece.cpp`): the ids of the tokenizers library, which is asked about each character."""

import json
import unicodedata
from typing import Any

from tokenizers import Tokenizer as Core

from megatron_bio import native
from megatron_bio.tokens.compiled_encoder import CompiledEncoder, LibraryIds

_NORMALIZER = {"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}
_MODEL = {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"}


class CompiledWordPiece(CompiledEncoder):
    """Text → ids, for tokenizers that `load` accepts."""

    def __init__(self, core: Core, model: dict[str, Any]) -> None:
        """Take a tokenizer and the `model` of its tokenizer.json. Raises ValueError if it is not built as BERT's."""
        assert native.compiled is not None
        self._compiled = native.compiled.WordPiece(
            list(model["vocab"].items()),
            model["continuing_subword_prefix"],
            model["vocab"][model["unk_token"]],
            model["max_input_chars_per_word"],
            _CharacterRules(core),
            LibraryIds(core),
        )


def load(core: Core) -> CompiledWordPiece | None:
    """The compiled form of a tokenizer; None without compiled parts, and for one that has anything not known here."""
    if native.compiled is None:
        return None
    content = json.loads(core.to_str())
    normalizer, pre_tokenizer, model = (
        content[name] or {} for name in ("normalizer", "pre_tokenizer", "model")
    )
    if not (
        normalizer.get("type") == "BertNormalizer"
        and normalizer.keys() == _NORMALIZER
        and pre_tokenizer == {"type": "BertPreTokenizer"}
        and model.get("type") == "WordPiece"
        and model.keys() == _MODEL
        and model["unk_token"] in model["vocab"]
        # Tokens added by hand are found before words are parted; special tokens in a text are text here.
        and core.encode_special_tokens
        and all(token["special"] for token in content["added_tokens"])
    ):
        return None
    try:
        return CompiledWordPiece(core, model)
    except ValueError:
        return None


class _CharacterRules:
    """What normaliser and pre-tokenizer make of a character between two letters, and whether it is the same everywhere."""

    def __init__(self, core: Core) -> None:
        self._normalizer, self._pre_tokenizer = core.normalizer, core.pre_tokenizer

    def __call__(self, point: int) -> tuple[str, str]:
        """Its kind, one of `CharacterRule::Kind`, and the text that it becomes."""
        normalized = self._normalizer.normalize_str(f"a{chr(point)}a")
        match [word for word, _ in self._pre_tokenizer.pre_tokenize_str(normalized)]:
            case ["a", "a"]:
                return "white_space", ""
            case ["a", text, "a"]:
                kind = "alone"
            case [word] if len(word) > 1 and word[0] == word[-1] == "a":
                kind, text = "inside", word[1:-1]
            case _:
                return "unsure", ""
        # Characters that combine change places among themselves when accents are stripped; what a character not yet assigned
        # does the library may know better. Zero ends the words in the table of the compiled code.
        if point == 0 or any(unicodedata.combining(c) or unicodedata.category(c) == "Cn" for c in text):
            return "unsure", ""
        return kind, text
