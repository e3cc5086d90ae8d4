"""The files of a tokenizer folder → a tokenizer of the tokenizers library.

Read in this order: tokenizer.json; vocab.txt (WordPiece); vocab.json with merges.txt (byte-level BPE, as GPT-2).
tokenizer_config.json is optional, and stands above tokenizer.json about lower-casing, as in transformers.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Core
from tokenizers import decoders, models, normalizers, pre_tokenizers

from megatron_bio.tokens.errors import TokenizerError

BERT_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
END_OF_TEXT = "<|endoftext|>"
CONTINUATION = "##"
"""Of WordPiece pieces that go on with a word."""
MOST_UNUSABLE_PIECES = 0.01
"""Part of a lower-cased vocabulary that may have capitals before it is taken for a cased one."""
FEWEST_IDS_TO_REFUSE = 1000
"""A vocabulary may have this many ids without a token, or as many as it has tokens."""
TRAINING_RECORD = "vocabulary_training.json"
"""How a vocabulary was made; nothing reads it but people."""
TOKENIZER_FILES = frozenset(
    {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        TRAINING_RECORD,
    }
)


@dataclass(frozen=True, kw_only=True)
class LoadedFiles:
    """What the files say: the tokenizer, and the token that ends a document, if one is named."""

    core: Core
    end_of_document: str | None
    repeated: tuple[str, ...] = ()
    """Tokens on more than one line of vocab.txt."""


def read_tokenizer_files(path: Path, lowercase: bool | None, allow_repeats: bool = False) -> LoadedFiles:
    """Read a folder, or the folder of tokenizer.json or vocab.json, or a lone WordPiece vocabulary file.

    `lowercase` overrides what the files say, for WordPiece. Where nothing says it, a vocabulary with hardly any capital
    letters is lower-cased. A token on two lines of vocab.txt is an error, or with `allow_repeats` has the id of the last one, as
    in transformers.
    """
    folder, vocabulary = _locate(path)
    config = (
        read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
    )
    specials = folder / "special_tokens_map.json"
    eos = config.get("eos_token") or (read_json(specials).get("eos_token") if specials.exists() else None)
    if lowercase is None and isinstance(config.get("do_lower_case"), bool):
        lowercase = config["do_lower_case"]
    repeated: tuple[str, ...] = ()
    if vocabulary.name == "tokenizer.json":
        core = _from_tokenizer_json(vocabulary, lowercase)
    elif vocabulary.suffix == ".txt":
        tokens, repeated = _read_vocabulary(vocabulary, allow_repeats)
        core = build_wordpiece(tokens, lowercase)
    else:
        core = _from_merges(folder, add_prefix_space=config.get("add_prefix_space") is True)
    return LoadedFiles(
        core=core, end_of_document=eos["content"] if isinstance(eos, dict) else eos, repeated=repeated
    )


def build_wordpiece(vocabulary: dict[str, int], lowercase: bool | None) -> Core:
    """A BERT tokenizer of this vocabulary (token → id); without `lowercase`, capitals in it decide.

    A few do not make it a cased one: SciBERT's uncased vocabulary has 37 pieces such as "##TM".
    """
    if lowercase is None:
        lowercase = len(cased_pieces(vocabulary)) <= MOST_UNUSABLE_PIECES * len(vocabulary)
    core = Core(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.add_special_tokens([token for token in BERT_SPECIAL_TOKENS if token in vocabulary])
    return core


def build_byte_level(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], *, add_prefix_space: bool
) -> Core:
    """A GPT-2 tokenizer of this vocabulary (token → id) and these merges, the most frequent first."""
    core = Core(models.BPE(vocab=vocabulary, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([token for token in (END_OF_TEXT,) if token in vocabulary])
    return core


def cased_pieces(vocabulary: dict[str, int]) -> list[str]:
    """The pieces with an ASCII capital, which lower-cased text can never use; tokens in brackets do not count."""
    return [
        piece
        for piece in vocabulary
        if not (piece.startswith("[") and piece.endswith("]"))
        and any("A" <= character <= "Z" for character in piece)
    ]


def missing_bytes(core: Core) -> list[str]:
    """The characters of bytes that a byte-level vocabulary lacks, unless it has an unknown token to write for them."""
    if not isinstance(core.model, models.BPE) or core.model.unk_token is not None:
        return []
    if "ByteLevel" not in repr(core.pre_tokenizer):
        return []
    return [byte for byte in sorted(pre_tokenizers.ByteLevel.alphabet()) if core.token_to_id(byte) is None]


def unfit_model(core: Core) -> str | None:
    """What a model does that would make data wrong without a word; None if nothing."""
    model = core.model
    if isinstance(model, models.BPE) and model.dropout:
        return (
            f"expected the same ids for a text each time, found a BPE model with dropout {model.dropout}, which draws them; a "
            f'resumed run would write others. Set "dropout" to null in tokenizer.json'
        )
    if isinstance(model, models.WordPiece) and model.continuing_subword_prefix != CONTINUATION:
        return (
            f"expected pieces that go on with a word to begin with {CONTINUATION}, found the mark "
            f"{model.continuing_subword_prefix!r}; words could not be masked whole. Rename those pieces in the vocabulary"
        )
    return None


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object; a key that stands twice is an error, for one of the two would be lost silently."""

    def refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            keys = [key for key, _ in pairs]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise TokenizerError(
                f"{path}: expected each key once, found {repeated!r} twice in one object. One of its values would be "
                f"lost: correct the file."
            )
        return result

    try:
        content = json.loads(_read_text(path), object_pairs_hook=refuse_repeats)
    except json.JSONDecodeError as error:
        raise TokenizerError(
            f"{path}: expected JSON, found at line {error.lineno}, column {error.colno}: {error.msg}. Copy or make the "
            f"tokenizer again."
        ) from error
    if not isinstance(content, dict):
        raise TokenizerError(
            f"{path}: expected a JSON object, found {type(content).__name__}. This is another file."
        )
    return content


def _locate(path: Path) -> tuple[Path, Path]:
    """The folder, and the file in it that holds the vocabulary."""
    if path.is_file():
        # Another name, as gpt2-vocab.json, would be read as vocab.json of its folder, which may be of another tokenizer.
        if path.suffix == ".txt" or path.name in ("tokenizer.json", "vocab.json"):
            return path.parent, path
        raise TokenizerError(
            f"{path}: expected a folder, or a file named tokenizer.json, vocab.json (with merges.txt beside it) or *.txt (a "
            f"WordPiece vocabulary), found a file of another name. Copy it to a folder of its own under one of these names."
        )
    if not path.exists():
        replaced = sorted(path.parent.glob(f".{path.name}.*.replaced")) if path.parent.is_dir() else []
        remedy = (
            f"An interrupted run left it as {replaced[-1]}: rename that." if replaced else "Check the name."
        )
        raise TokenizerError(
            f"{path}: expected a tokenizer folder or a vocabulary file, found nothing. {remedy}"
        )
    for name in ("tokenizer.json", "vocab.txt", "vocab.json"):
        if (path / name).is_file():
            return path, path / name
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "no file"
    raise TokenizerError(
        f"{path}: expected tokenizer.json, or vocab.txt, or vocab.json with merges.txt, found {found}. Give the folder of "
        f"a tokenizer, for example one made by `megatron-bio vocabulary train`."
    )


def _read_text(path: Path) -> str:
    try:
        # A byte order mark is no part of the first token, and JSON must not have one.
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except OSError as error:
        raise TokenizerError(
            f"{path}: expected a tokenizer's file, found that it cannot be read: {error}."
        ) from error
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path}: expected UTF-8, found the byte 0x{error.object[error.start]:02x} at offset {error.start}. This is no "
            f"vocabulary, or not as text."
        ) from error


def _read_vocabulary(path: Path, allow_repeats: bool) -> tuple[dict[str, int], tuple[str, ...]]:
    """One token per line; the line's number from 0 is its id. Also the tokens on several lines, if that is allowed."""
    tokens = [line.removesuffix("\r") for line in _read_text(path).split("\n")]
    while tokens and not tokens[-1]:
        tokens.pop()
    vocabulary: dict[str, int] = {}
    repeated: dict[str, None] = {}
    for number, token in enumerate(tokens):
        if token in vocabulary and allow_repeats:
            repeated.setdefault(token)
        elif token in vocabulary:
            raise TokenizerError(
                f"{path}: expected each token on one line, found {token!r} on lines {vocabulary[token] + 1} and "
                f"{number + 1}. All ids after it may be shifted by one: get the vocabulary from its first source."
            )
        vocabulary[token] = number
    return vocabulary, tuple(repeated)


def _from_tokenizer_json(path: Path, lowercase: bool | None) -> Core:
    content = read_json(path)
    model = content.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if (
        kind not in ("WordPiece", "BPE")
        or not isinstance(model, dict)
        or not isinstance(model.get("vocab"), dict)
    ):
        raise TokenizerError(
            f"{path}: expected a model of type WordPiece or BPE with a vocabulary, found type {kind!r}. Other kinds of "
            f"tokenizer cannot be used here."
        )
    _refuse_wrong_ids(path, model["vocab"])
    try:
        core = Core.from_str(json.dumps(content))
    except Exception as error:  # the library raises nothing more special; the message has its words
        raise TokenizerError(
            f"{path}: expected a tokenizer that the tokenizers library reads, found one it refuses: {error}. Make the "
            f"folder again or take its files from where it was made."
        ) from error
    normalizer = core.normalizer
    if lowercase is not None and isinstance(normalizer, normalizers.BertNormalizer):
        normalizer.lowercase = lowercase
    return core


def _from_merges(folder: Path, *, add_prefix_space: bool) -> Core:
    if not (folder / "merges.txt").is_file():
        raise TokenizerError(
            f"{folder}: expected merges.txt beside vocab.json, found none. Byte-level BPE needs both: copy it as well."
        )
    vocabulary = read_json(folder / "vocab.json")
    _refuse_wrong_ids(folder / "vocab.json", vocabulary)
    merges = []
    for number, line in enumerate(_read_text(folder / "merges.txt").split("\n"), start=1):
        if (number == 1 and line.startswith("#version")) or not line.strip():
            continue
        left, _, right = line.removesuffix("\r").partition(" ")
        unknown = [token for token in (left, right, left + right) if token not in vocabulary]
        if unknown:
            raise TokenizerError(
                f"{folder / 'merges.txt'}: line {number}: expected two tokens of vocab.json whose join is one too, found "
                f"{line!r}, where {unknown[0]!r} is not in vocab.json. The two files are not of one tokenizer."
            )
        merges.append((left, right))
    return build_byte_level(vocabulary, merges, add_prefix_space=add_prefix_space)


def _refuse_wrong_ids(path: Path, vocabulary: dict[str, Any]) -> None:
    """Each token has an id of its own from 0 on. Some ids may be without a token; they cost a row of the embedding each."""
    tokens: dict[int, str] = {}
    for token, number in vocabulary.items():
        if type(number) is not int or number in tokens:
            raise TokenizerError(
                f"{path}: expected an id of its own for each token, found {number!r} for {token!r}"
                + (f" and for {tokens[number]!r}" if number in tokens else "")
                + ". Correct the file or get it from its first source."
            )
        tokens[number] = token
    for number in (min(tokens, default=0), max(tokens, default=0)):
        if not 0 <= number < FEWEST_IDS_TO_REFUSE + 2 * len(tokens):
            raise TokenizerError(
                f"{path}: expected ids from 0 to about {len(tokens) - 1}, one for each of {len(tokens)} tokens, found {number} "
                f"for {tokens[number]!r}; a model needs a row for every id. Correct the file or get it from its first source."
            )
