"""PREFIX.json beside .bin and .idx: who made the token data, with which tokenizer, and what is in them.

It is renamed last and holds the sizes and checksums of the other two, so that files of two runs are told apart.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from megatron_bio import __version__
from megatron_bio.tokens.errors import TokenDataError
from megatron_bio.tokens.indexed import CHUNK, IndexedReader, data_path, index_path
from megatron_bio.tokens.pending_files import FileDigest
from megatron_bio.tokens.tokenizer import Tokenizer

FORMAT = "megatron-bio token data 1"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_files(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"bin", "idx"}
        and all(isinstance(digest, dict) and set(digest) == {"size", "sha256"} for digest in value.values())
        and all(_is_count(digest["size"]) and _is_text(digest["sha256"]) for digest in value.values())
    )


_IS_RIGHT: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "kind": lambda value: value in ("sentences", "documents"),
        "tokenizer": _is_text,
        "tokenizer_kind": lambda value: value in ("wordpiece", "bpe"),
        "tokenizer_fingerprint": _is_text,
        "eod": lambda value: value is None or _is_count(value),
        **dict.fromkeys(("vocab_size", "documents", "sequences", "tokens", "unknown_tokens"), _is_count),
        "skipped": lambda value: isinstance(value, dict) and all(map(_is_count, value.values())),
        "files": _are_files,
        "lowercase": lambda value: value is None or isinstance(value, bool),
        "options": lambda value: isinstance(value, dict),
        "inputs": lambda value: isinstance(value, list) and all(isinstance(entry, dict) for entry in value),
        "version": _is_text,
    }
)


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What PREFIX.json says."""

    kind: Literal["sentences", "documents"]
    """What one sequence is."""
    tokenizer: str
    """Path of the tokenizer as it was given; for messages only."""
    tokenizer_kind: Literal["wordpiece", "bpe"]
    """The tokenizer's `kind`."""
    tokenizer_fingerprint: str
    """The tokenizer's `fingerprint`."""
    vocab_size: int
    """Ids are below this number."""
    eod: int | None
    """Id of the token after each document, if there is one."""
    documents: int
    """Number of documents."""
    sequences: int
    """Number of sequences."""
    tokens: int
    """Number of tokens, those of `eod` included."""
    unknown_tokens: int
    """Number of [UNK] among them."""
    skipped: Mapping[str, int]
    """Documents left out, by reason."""
    files: Mapping[str, FileDigest]
    """Size and SHA-256 of the files, by "bin" and "idx"."""
    lowercase: bool | None = None
    """Whether the tokenizer lower-cases text; None where that is not known."""
    options: Mapping[str, object] = field(default_factory=dict)
    """The options that decide what is in the data."""
    inputs: Sequence[Mapping[str, object]] = ()
    """What was read, in order: {"file": path as it was given, "bytes": its size}."""
    version: str = __version__
    """The version of this library."""

    def to_json(self) -> bytes:
        """The content of the file."""
        return (json.dumps({"format": FORMAT} | asdict(self), indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def read(cls, prefix: Path) -> Self | None:
        """Read PREFIX.json; None if there is none. Raises TokenDataError if it is anything else."""
        path = sidecar_path(prefix)
        try:
            content = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:  # the last: nested too deeply
            raise TokenDataError(
                f"{path}: expected the JSON that `megatron-bio preprocess` writes, found that it cannot be read: {error}. "
                f"Make the token data again."
            ) from error
        found = content.pop("format", None) if isinstance(content, dict) else None
        if found != FORMAT:
            raise TokenDataError(
                f'{path}: expected "format": "{FORMAT}", found {found!r}. This file is of another program: '
                f"move it, or give another path to the token data."
            )
        expected = set(cls.__dataclass_fields__)
        if set(content) != expected:
            raise TokenDataError(
                f"{path}: expected the keys {', '.join(sorted(expected))}, found missing {sorted(expected - set(content))} "
                f"and unknown {sorted(set(content) - expected)}. Make the token data again."
            )
        wrong = [name for name, is_right in _IS_RIGHT.items() if not is_right(content[name])]
        if wrong:
            raise TokenDataError(
                f"{path}: expected what `megatron-bio preprocess` writes, found under {wrong[0]!r}: "
                f"{json.dumps(content[wrong[0]])[:60]}. The file is damaged: copy it again or make the token data again."
            )
        files = {name: FileDigest(**digest) for name, digest in content.pop("files").items()}
        return cls(files=files, **content)

    def check_sizes(self, prefix: Path) -> None:
        """Raise TokenDataError if .bin or .idx are not the files this one was written for, told by their sizes."""
        for path, digest in ((data_path(prefix), self.files["bin"]), (index_path(prefix), self.files["idx"])):
            size = path.stat().st_size if path.exists() else 0
            if size != digest.size:
                raise TokenDataError(
                    f"{path}: expected {digest.size} bytes, as {sidecar_path(prefix).name} says, found {size}. The three files "
                    f"are not of one run, perhaps because a run was killed while it replaced them: make the token data again."
                )

    def check_index(self, prefix: Path) -> None:
        """Check the sizes of both files and the content of .idx, without which tokens would be cut at wrong places."""
        self.check_sizes(prefix)
        path = index_path(prefix)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.files["idx"].sha256:
            raise TokenDataError(
                f"{path}: expected the file that {sidecar_path(prefix).name} was written for, found another content (sha256 "
                f"{found[:12]} instead of {self.files['idx'].sha256[:12]}). It is damaged or of another run: copy all three "
                f"files again or make the token data again."
            )


def sidecar_path(prefix: Path) -> Path:
    """PREFIX.json; the prefix may contain dots."""
    return prefix.with_name(prefix.name + ".json")


def check_tokenizer(prefix: Path | str, tokenizer: Tokenizer) -> str:
    """Raise TokenDataError if the token data were made with another tokenizer; returns what was checked, in a sentence.

    Data of other programs have no PREFIX.json; for them all ids are read and compared with the vocabulary's size.
    """
    prefix = Path(prefix)
    sidecar = Sidecar.read(prefix)
    if sidecar is None:
        return _check_largest_id(prefix, tokenizer)
    sidecar.check_index(prefix)
    if sidecar.tokenizer_fingerprint != tokenizer.fingerprint:
        raise TokenDataError(
            f"{prefix}: expected token data of the tokenizer {tokenizer.name} ({_description(tokenizer)}), found data made "
            f"with {sidecar.tokenizer} ({sidecar.tokenizer_kind}, {sidecar.vocab_size} tokens, fingerprint "
            f"{sidecar.tokenizer_fingerprint[:12]}). Give that tokenizer, or make the token data again with this one."
        )
    return f"{prefix}: made with this tokenizer (fingerprint {tokenizer.fingerprint[:12]})"


def _check_largest_id(prefix: Path, tokenizer: Tokenizer) -> str:
    smallest, largest = id_range(IndexedReader(prefix))
    if smallest < 0 or largest >= tokenizer.vocab_size:
        raise TokenDataError(
            f"{prefix}: expected ids from 0 to {tokenizer.vocab_size - 1}, for the tokenizer {tokenizer.name} "
            f"({_description(tokenizer)}), found {smallest} to {largest}. The data were made with another tokenizer: give "
            f"that one, or make the token data again."
        )
    return (
        f"{prefix}: there is no {sidecar_path(prefix).name} that names the tokenizer; checked only that the largest id, "
        f"{largest}, is below the {tokenizer.vocab_size} tokens of {tokenizer.name}"
    )


def id_range(reader: IndexedReader) -> tuple[int, int]:
    """The smallest and the largest id, read in chunks; (0, -1) for no tokens."""
    tokens = reader.tokens
    chunks = [tokens[start : start + CHUNK] for start in range(0, len(tokens), CHUNK)]
    return (
        min((int(chunk.min()) for chunk in chunks), default=0),
        max((int(chunk.max()) for chunk in chunks), default=-1),
    )


def _description(tokenizer: Tokenizer) -> str:
    return f"{tokenizer.kind}, {tokenizer.vocab_size} tokens, fingerprint {tokenizer.fingerprint[:12]}"
