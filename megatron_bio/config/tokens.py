"""Options of the verbs that train vocabularies and turn documents into tokens."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

SMALLEST_VOCABULARY = {"wordpiece": 16, "bpe": 257}
LARGEST_VOCABULARY = 1_000_000
MOST_WORKERS = 512
TOKEN_SUFFIXES = (".bin", ".idx", ".json")


def _biomedical_words() -> list[str]:
    return [
        "acetylcholinesterase",
        "hyperglycemia",
        "immunohistochemistry",
        "cyclooxygenase",
        "thrombocytopenia",
    ]


@dataclass(frozen=True, kw_only=True)
class TrainVocabularyOptions:
    """Documents in; out a vocabulary in a tokenizer folder, which Hugging Face's AutoTokenizer loads as it stands."""

    inputs: list[str]
    """Documents files (JSONL, plain or compressed) or glob patterns; for wordpiece they are read twice."""
    output: Path
    """Folder to write; an earlier tokenizer folder is replaced, any other folder is refused."""
    type: Literal["wordpiece", "bpe"] = "wordpiece"
    """wordpiece for BERT; bpe, byte-level as in GPT-2, for GPT."""
    size: int = 30_000
    """Number of tokens, special tokens included; a small corpus may give fewer."""
    lowercase: bool = False
    """wordpiece: lower-case the text and strip its accents."""
    minimum_frequency: int = 2
    """Two pieces that stand together less often than this are not joined to a new one."""
    alphabet: int = 1000
    """wordpiece: characters to keep, the most frequent ones; a word with any other becomes [UNK]."""
    show_words: list[str] = field(default_factory=_biomedical_words)
    """Words whose splitting is printed at the end."""
    progress: bool = True
    """Show the progress on stderr when stderr is a terminal."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        _check_inputs(self.inputs)
        if self.type not in SMALLEST_VOCABULARY:
            raise ConfigurationError(f"--type: expected 'wordpiece' or 'bpe', found '{self.type}'.")
        smallest = SMALLEST_VOCABULARY[self.type]
        if not smallest <= self.size <= LARGEST_VOCABULARY:
            raise ConfigurationError(
                f"--size: expected {smallest:,} to {LARGEST_VOCABULARY:,} tokens for {self.type}, found {self.size:,}. "
                f"Usual are 30,000 to 50,000."
            )
        if self.lowercase and self.type == "bpe":
            raise ConfigurationError("--lowercase: byte-level bpe keeps the case. Leave --lowercase out.")
        if self.minimum_frequency < 1:
            raise ConfigurationError(
                f"--minimum_frequency: expected 1 or more, found {self.minimum_frequency}."
            )
        if self.alphabet < 1:
            raise ConfigurationError(f"--alphabet: expected 1 or more characters, found {self.alphabet}.")


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions:
    """Documents and a tokenizer in; out token data (.bin, .idx, .json) to pretrain on, in one pass."""

    inputs: list[str]
    """Documents files (JSONL, plain or compressed) or glob patterns; the token data keep their order."""
    tokenizer: Path
    """Tokenizer folder, or a WordPiece vocabulary file."""
    output: Path
    """Path of the token data without .bin, .idx and .json; earlier files are replaced when all is done."""
    split_sentences: bool | None = None
    """One sequence per sentence, as BERT needs it, instead of one per document; by default true for wordpiece only."""
    append_eod: bool | None = None
    """Put the end-of-document token after each document; by default true where sentences are not split."""
    workers: int = 1
    """Processes that tokenise; the output does not depend on their number. 1 works in this process."""
    progress: bool = True
    """Show the progress on stderr when stderr is a terminal."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        _check_inputs(self.inputs)
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ConfigurationError(
                f"--workers: expected 1 to {MOST_WORKERS} processes, found {self.workers}. Take the number of cores."
            )
        if self.output.suffix in TOKEN_SUFFIXES or not self.output.name:
            raise ConfigurationError(
                f"--output: expected a path without {', '.join(TOKEN_SUFFIXES)}, which are added to it, found "
                f"'{self.output}'. Write for example --output tokens/pubmed."
            )


def _check_inputs(inputs: list[str]) -> None:
    if not inputs or not all(inputs):
        raise ConfigurationError(f"--inputs: expected at least one file or glob pattern, found {inputs}.")
