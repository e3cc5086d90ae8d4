"""A fingerprint of what a tokenizer does: equal for equal ids, whatever files it came from."""

import hashlib
import json
from typing import Any

from tokenizers import Tokenizer as Core


def fingerprint(core: Core) -> str:
    """SHA-256 (64 hex digits) over vocabulary, merges, normaliser and pre-tokenizer in one canonical form.

    Left out: formatting, decoder, post-processor, truncation, and special tokens as such, for ids are made without them.
    """
    content: dict[str, Any] = json.loads(core.to_str())
    model = content["model"]
    canonical = {
        "model": model["type"],
        "vocabulary": sorted(
            (number, token) for token, number in core.get_vocab(with_added_tokens=True).items()
        ),
        "merges": [
            merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges", [])
        ],
        "rules": {name: model.get(name) or None for name in _rules(model["type"])},
        "normaliser": _canonical_normalizer(content["normalizer"]),
        "pre_tokenizer": _canonical_pre_tokenizer(content["pre_tokenizer"]),
        "added": [token for token in content["added_tokens"] if not token["special"]],
    }
    text = json.dumps(canonical, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _rules(model: str) -> tuple[str, ...]:
    """The settings of a model that change its ids; false, empty and absent are the same for all of them."""
    if model == "WordPiece":
        return "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"
    return (
        "unk_token",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "fuse_unk",
        "byte_fallback",
        "ignore_merges",
    )


def _canonical_normalizer(content: dict[str, Any] | None) -> dict[str, Any] | None:
    if content and content["type"] == "BertNormalizer" and content["strip_accents"] is None:
        # BERT's normaliser strips accents where it lower-cases, unless told.
        return content | {"strip_accents": content["lowercase"]}
    return content


def _canonical_pre_tokenizer(content: dict[str, Any] | None) -> dict[str, Any] | None:
    if content and content["type"] == "ByteLevel":
        # trim_offsets moves offsets, never ids.
        return {name: value for name, value in content.items() if name != "trim_offsets"}
    return content
