"""A .nemo archive of BERT or GPT as a `Checkpoint`."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.archive import Archive, is_archive
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import our_shapes, require_shapes
from megatron_bio.convert.megatron_lm.query_key_value import ORDERS
from megatron_bio.convert.megatron_lm.ranks import Cut, JoinedRanks, Parts
from megatron_bio.convert.megatron_lm.table import (
    CLASSIFIER,
    POOLER,
    TOKEN_TYPES,
    WORD_EMBEDDINGS,
    megatron_table,
    without_missing_head,
)
from megatron_bio.convert.nemo.configuration import CONFIG, LARGEST_CONFIG, NemoConfig
from megatron_bio.convert.nemo.parts import read_parts
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.convert.table import AsOurs, Table, foreign_shapes
from megatron_bio.convert.zero_token_types import WithZeroTokenTypes
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.tokenizer import Tokenizer

_ARTIFACT = "nemo:"
_LEAST_PADDING = 1024


def recognises(path: Path) -> bool:
    """Whether it is a tar archive, plain or compressed; no other format is one."""
    return path.is_file() and is_archive(path)


def open_checkpoint(path: Path, vocab_size: int | None) -> Checkpoint:
    """Open an archive; rows of the vocabulary beyond its tokens are padding and left out.

    The number of tokens is `vocab_size`, else that of the vocabulary in the archive. Vocabulary files are copied to a temporary
    folder that is removed when nothing refers to the checkpoint any more, as is the content of a compressed archive.
    A masked-LM head that the archive does not have is missing from `weights` and named in the facts.
    """
    archive = Archive(path)
    config = NemoConfig(f"{path}: {CONFIG}", archive.read(CONFIG, LARGEST_CONFIG))
    tokenizer = _tokenizer(archive, config)
    parts = read_parts(archive)
    rows = _vocabulary_rows(path, parts)
    tokens = _tokens(path, config, rows, vocab_size, tokenizer)
    names = {name for part in parts.values() for name in part}
    model = config.model(tokens, order_head=CLASSIFIER in names)
    tensor, stages = (1 + max(rank[axis] for rank in parts) for axis in (0, 1))
    order = ORDERS[0] if config.legacy_order else ORDERS[2]
    joined: TensorSource = JoinedRanks(
        path, parts, Cut(tensor, model.num_attention_heads, order), owner=archive
    )
    if model.architecture == "bert" and TOKEN_TYPES not in names:
        joined = WithZeroTokenTypes(joined, TOKEN_TYPES, WORD_EMBEDDINGS)
    table, missing = without_missing_head(megatron_table(model, rows), names)
    left_out = [] if CLASSIFIER in names else [name for name in POOLER if name in names]
    _require_tensors(
        path, model, table, {name: t for name, t in joined.described().items() if name not in left_out}
    )
    return Checkpoint(
        format="nemo",
        path=path,
        model=model,
        weights=AsOurs(table, joined),
        tokenizer=tokenizer,
        facts={
            "version": config.get("nemo_version"),
            "class": config.get("target"),
            "tensor_parallel": tensor,
            "pipeline_parallel": stages,
            "order_of_query_key_value": order,
            "vocabulary_rows": rows,
            "missing": missing,
            "left_out": left_out,
            "notes": []
            if TOKEN_TYPES in names or model.architecture == "gpt"
            else ["the model has no token types; ours have zeros, which change nothing"],
        },
    )


def _tokenizer(archive: Archive, config: NemoConfig) -> Path | None:
    """Copy the vocabulary that the archive has to a temporary folder; None if it has none that we read."""
    settings = config.section("tokenizer")
    files = {}
    for key, name in (("vocab_file", "vocab"), ("merge_file", "merges")):
        artifact = settings.get(key)
        if isinstance(artifact, str) and artifact.startswith(_ARTIFACT):
            member = artifact.removeprefix(_ARTIFACT)
            files[member] = f"{name}.json" if member.endswith(".json") else f"{name}.txt"
    if not files or set(files.values()) == {"merges.txt"}:
        return None
    folder = archive.extracted(files)
    kind = f"{settings.get('type')} {settings.get('tokenizer_name')}".lower()
    if "vocab.txt" in files.values() and ("case" in kind):
        lowercase = "lowercase" in kind or "uncased" in kind
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"do_lower_case": lowercase}), encoding="utf-8"
        )
    return folder


def _vocabulary_rows(path: Path, parts: Parts) -> int:
    pieces = [
        part[WORD_EMBEDDINGS] for (_, stage), part in parts.items() if stage == 0 and WORD_EMBEDDINGS in part
    ]
    if not pieces or any(len(piece.shape) != 2 for piece in pieces):
        raise ConvertError(f"{path}: expected a table of word embeddings, {WORD_EMBEDDINGS}; it is missing.")
    return sum(piece.shape[0] for piece in pieces)


def _tokens(path: Path, config: NemoConfig, rows: int, given: int | None, tokenizer: Path | None) -> int:
    """Return the number of tokens: what the caller says, else the vocabulary, else all rows."""
    tokens = given
    if tokens is None and tokenizer is not None:
        try:
            tokens = Tokenizer.load(tokenizer).vocab_size
        except TokenizerError as error:
            raise ConvertError(
                f"{path}: its vocabulary cannot be used: {error} Or give another tokenizer with --tokenizer."
            ) from error
    if tokens is None:
        return rows
    parallel = config.size("tensor_model_parallel_size", 1)
    most = max(_LEAST_PADDING, config.size("make_vocab_size_divisible_by", 128) * parallel)
    if not 0 <= rows - tokens <= most:
        raise ConvertError(
            f"{path}: the table of word embeddings has {rows:,} rows, the tokenizer {tokens:,} tokens; it is another tokenizer. "
            f"Give the right one with --tokenizer."
        )
    return tokens


def _require_tensors(path: Path, model: ModelConfig, table: Table, found: Mapping[str, Tensor]) -> None:
    require_shapes(
        path,
        foreign_shapes(table, our_shapes(model)),
        {name: tuple(value.shape) for name, value in found.items()},
    )
    for name, value in found.items():
        if not value.dtype.is_floating_point:
            raise ConvertError(f"{path}: {name} is stored as {value.dtype}, expected floating-point numbers.")
