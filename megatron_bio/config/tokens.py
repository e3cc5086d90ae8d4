"""Options of the verbs that train vocabularies and turn documents into tokens."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

SMALLEST_VOCABULARY = {"wordpiece": 16, "bpe": 257}
LARGEST_VOCABULARY = 1_000_000
USUAL_ALPHABET = 1000
USUAL_SIZE = {"wordpiece": 30_000, "bpe": 28_896}
MOST_WORKERS = 512
TOKEN_SUFFIXES = (".bin", ".idx", ".json")
DOCUMENT_KEYS = ("title", "text")
SPLIT_PARTS = 3


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
    """Documents files (JSONL, plain or compressed) or glob patterns; they are read once or twice, and once more for a
    sample."""
    output: Path
    """Folder to write; an earlier tokenizer folder is replaced, any other folder is refused."""
    type: Literal["wordpiece", "bpe"] = "wordpiece"
    """wordpiece for BERT; bpe, byte-level as in GPT-2, for GPT."""
    method: Literal["direct", "sentencepiece"] = "direct"
    """How the pieces of wordpiece are learned: by the WordPiece trainer of the tokenizers library, or as BPE by
    SentencePiece and then turned into WordPiece, as BioMegatron's vocabularies were."""
    size: int | None = None
    """Number of tokens, special tokens included; a small corpus may give fewer. By default 30,000 for wordpiece, and
    28,896 for bpe, which is BioMedLM's."""
    lowercase: bool = False
    """wordpiece: lower-case the text and strip its accents."""
    minimum_frequency: int = 2
    """Two pieces that stand together less often than this are not joined to a new one."""
    alphabet: int = USUAL_ALPHABET
    """wordpiece: characters to keep, the most frequent ones; a word with any other becomes [UNK]."""
    unused: int = 0
    """wordpiece: tokens [unused0], [unused1], … after the special ones, to be given a meaning later; they are part of
    size."""
    sample: int = 0
    """Train on a sample of the documents of about this size; 0 takes all. Which documents they are depends on their ids
    and the seed alone, not on the order or number of the files."""
    sample_unit: Literal["documents", "characters"] = "documents"
    """What sample counts."""
    seed: int = 1
    """Another seed gives another sample; everything else about a vocabulary depends on the documents alone."""
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
        if not smallest <= self.tokens <= LARGEST_VOCABULARY:
            raise ConfigurationError(
                f"--size: expected {smallest:,} to {LARGEST_VOCABULARY:,} tokens for {self.type}, found {self.tokens:,}. "
                f"Usual are 30,000 to 50,000."
            )
        self._check_kind()
        self._check_sample()
        if self.minimum_frequency < 1:
            raise ConfigurationError(
                f"--minimum_frequency: expected 1 or more, found {self.minimum_frequency}."
            )
        if self.alphabet < 1:
            raise ConfigurationError(f"--alphabet: expected 1 or more characters, found {self.alphabet}.")

    @property
    def tokens(self) -> int:
        """The size asked for, or the usual one."""
        return USUAL_SIZE[self.type] if self.size is None else self.size

    def _check_kind(self) -> None:
        if self.method not in ("direct", "sentencepiece"):
            raise ConfigurationError(
                f"--method: expected 'direct' or 'sentencepiece', found '{self.method}'."
            )
        if self.unused < 0:
            raise ConfigurationError(f"--unused: expected 0 or more tokens, found {self.unused}.")
        if self.type != "bpe":
            return
        if self.lowercase:
            raise ConfigurationError("--lowercase: byte-level bpe keeps the case. Leave --lowercase out.")
        if self.method != "direct":
            raise ConfigurationError(
                f"--method {self.method} makes a WordPiece vocabulary. Leave --type bpe or --method out."
            )
        if self.unused:
            raise ConfigurationError(
                f"--unused {self.unused}: only WordPiece vocabularies have such tokens. Leave --unused or --type bpe out."
            )
        if self.alphabet != USUAL_ALPHABET:
            raise ConfigurationError(
                f"--alphabet {self.alphabet}: the alphabet of byte-level bpe is the 256 bytes. Leave --alphabet or --type bpe out."
            )

    def _check_sample(self) -> None:
        if self.sample_unit not in ("documents", "characters"):
            raise ConfigurationError(
                f"--sample_unit: expected 'documents' or 'characters', found '{self.sample_unit}'."
            )
        if self.sample < 0:
            raise ConfigurationError(
                f"--sample: expected 0 for all documents, or the size of a sample; found {self.sample}."
            )


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions:
    """Documents and a tokenizer in; out token data (.bin, .idx, .json) to pretrain on, in one pass."""

    inputs: list[str]
    """Documents files (JSONL, plain or compressed), glob patterns, or folders of corpus build; the token data keep their
    order. A whole corpus gives OUTPUT_train, OUTPUT_validation and OUTPUT_test."""
    tokenizer: Path
    """Tokenizer folder, or a WordPiece vocabulary file."""
    output: Path
    """Path of the token data without .bin, .idx and .json; earlier files are replaced when all is done."""
    keys: list[str] = field(default_factory=lambda: list(DOCUMENT_KEYS))
    """Keys of a document whose texts become its tokens, in this order. What is under title is one sentence or line."""
    split_sentences: bool | None = None
    """One sequence per sentence, as BERT needs it, instead of one per document; by default true for wordpiece only."""
    append_eod: bool | None = None
    """Put the end-of-document token after each document; by default true where sentences are not split."""
    lowercase: bool | None = None
    """wordpiece: lower-case the text and strip its accents, or not; by default as the tokenizer's files say."""
    split: list[float] = field(default_factory=list)
    """Shares of documents for train, validation and test, as 0.9 0.05 0.05: three token data, OUTPUT_train and so on,
    drawn by a hash of the id, so a growing corpus moves no document. By default one for all."""
    seed: int = 1
    """Another seed draws another split."""
    workers: int = 1
    """Processes that tokenise; the output does not depend on their number. 1 works in this process."""
    resume: bool = True
    """Go on with what a killed run of the same command left in OUTPUT.unfinished; false throws it away."""
    progress: bool = True
    """Show the progress on stderr when stderr is a terminal."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        _check_inputs(self.inputs)
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ConfigurationError(
                f"--workers: expected 1 to {MOST_WORKERS} processes, found {self.workers}. Take the number of cores."
            )
        _check_output(self.output)
        if not self.keys or not all(self.keys) or len(set(self.keys)) != len(self.keys):
            raise ConfigurationError(f"--keys: expected different keys of a document, found {self.keys}.")
        if self.split and (
            len(self.split) != SPLIT_PARTS
            or not all(share >= 0 for share in self.split)
            or not self._adds_up()
        ):
            raise ConfigurationError(
                f"--split: expected three shares from 0 to 1 with the sum 1, for train, validation and test, found "
                f"{self.split}. Write for example --split 0.9 0.05 0.05."
            )

    def _adds_up(self) -> bool:
        return math.isclose(sum(self.split), 1, abs_tol=1e-9)


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """Several token data in, one out: their documents in the order of the inputs."""

    inputs: list[str]
    """Prefixes of token data (or their .idx files), of this library or of Megatron-LM, or glob patterns of .idx files."""
    output: Path
    """Path of the token data without .bin, .idx and .json; earlier files are replaced when all is done."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        _check_inputs(self.inputs)
        _check_output(self.output)


def _check_output(output: Path) -> None:
    if output.suffix in TOKEN_SUFFIXES or not output.name:
        raise ConfigurationError(
            f"--output: expected a path without {', '.join(TOKEN_SUFFIXES)}, which are added to it, found "
            f"'{output}'. Write for example --output tokens/pubmed."
        )


def _check_inputs(inputs: list[str]) -> None:
    if not inputs or not all(inputs):
        raise ConfigurationError(f"--inputs: expected at least one file or glob pattern, found {inputs}.")
