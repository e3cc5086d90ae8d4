"""A trained tokenizer → the folder that Hugging Face's AutoTokenizer and `Tokenizer.load` read."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tokenizers import Tokenizer as Core
from tokenizers import models, normalizers, processors

from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.pending_files import sync_folder
from megatron_bio.tokens.tokenizer_files import BERT_SPECIAL_TOKENS, END_OF_TEXT, TOKENIZER_FILES

BERT_LENGTH = 512
GPT2_LENGTH = 1024
NO_OTHERS: Mapping[str, str] = MappingProxyType({})


def check_replaceable(folder: Path) -> None:
    """Raise TokenizerError unless the path is free, an empty folder, or a folder of nothing but tokenizer files."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TokenizerError(f"{folder}: expected a folder or nothing, found a file. Give another --output.")
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in TOKENIZER_FILES)
    if others:
        raise TokenizerError(
            f"{folder}: expected a tokenizer folder to replace, found other things in it: {', '.join(others[:5])}"
            f"{', …' if len(others) > 5 else ''}. Give another --output, so that nothing is lost."
        )


def write_tokenizer_folder(folder: Path, core: Core, others: Mapping[str, str] = NO_OTHERS) -> None:
    """Write all files beside the folder and put them in its place; an earlier folder stays whole until then.

    `others` are the contents of files to write along, by name; they must be among TOKENIZER_FILES.
    A kill between the two renames leaves the earlier folder as `.NAME.RANDOM.replaced`.
    """
    check_replaceable(folder)
    files = _wordpiece_files(core) if isinstance(core.model, models.WordPiece) else _byte_level_files(core)
    files |= others
    assert files.keys() <= TOKENIZER_FILES, "or the folder could not be replaced"
    mark = secrets.token_hex(4)
    pending = folder.with_name(f".{folder.name}.{mark}.partial")
    replaced = folder.with_name(f".{folder.name}.{mark}.replaced")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        pending.mkdir()
        for name, content in files.items():
            with (pending / name).open("wb") as stream:
                stream.write(content.encode())
                stream.flush()
                os.fsync(stream.fileno())
        sync_folder(pending)
        if folder.exists():
            folder.rename(replaced)
        pending.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise TokenizerError(
            f"{folder}: cannot be written: {error.strerror or error}. An earlier folder was left as it was; check the free "
            f"space and the permissions of {folder.parent}."
        ) from error
    finally:
        shutil.rmtree(pending, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def _wordpiece_files(core: Core) -> dict[str, str]:
    normalizer = core.normalizer
    assert isinstance(normalizer, normalizers.BertNormalizer), "WordPiece is trained with BERT's normaliser"
    pad, unknown, cls, sep, mask = BERT_SPECIAL_TOKENS
    core.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(token, core.token_to_id(token)) for token in (cls, sep)],
    )
    specials = {
        "pad_token": pad,
        "unk_token": unknown,
        "cls_token": cls,
        "sep_token": sep,
        "mask_token": mask,
    }
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": bool(normalizer.lowercase),
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": BERT_LENGTH,
        **specials,
    }
    vocabulary = _tokens_by_id(core)
    return _common_files(core, config, specials) | {
        "vocab.txt": "".join(f"{token}\n" for token in vocabulary)
    }


def _byte_level_files(core: Core) -> dict[str, str]:
    core.post_processor = processors.ByteLevel(trim_offsets=False)
    specials = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT}
    config = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "model_max_length": GPT2_LENGTH,
        **specials,
    }
    vocabulary = dict(sorted(core.get_vocab().items(), key=lambda item: item[1]))
    merges = json.loads(core.to_str())["model"]["merges"]
    return _common_files(core, config, specials) | {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges),
    }


def _common_files(core: Core, config: dict[str, Any], specials: dict[str, str]) -> dict[str, str]:
    return {
        "tokenizer.json": core.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
        "special_tokens_map.json": json.dumps(specials, indent=2) + "\n",
    }


def _tokens_by_id(core: Core) -> list[str]:
    """The lines of vocab.txt, whose numbers are the ids. Raises TokenizerError if an id has no token."""
    tokens = {number: token for token, number in core.get_vocab().items()}
    if absent := sorted(set(range(max(tokens) + 1)) - tokens.keys()):
        raise TokenizerError(
            f"vocab.txt: expected a token for each id up to {max(tokens)}, found none for {len(absent)} of them, as {absent[0]}. "
            f"A token takes its id from its line there: give the missing ids names such as [unused0] in tokenizer.json."
        )
    return [tokens[number] for number in sorted(tokens)]
