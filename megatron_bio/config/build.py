"""Options of `corpus build`, which turns documents into a corpus to train on."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

_LANGUAGE = re.compile(r"[a-z]{3}")
_MOST_SHARD_MEGABYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class BuildCorpusOptions:
    """Documents in; clean, filtered, deduplicated and decontaminated shards out, split into train, validation and test."""

    inputs: list[str]
    """Documents files or glob patterns (JSONL, plain or compressed); may be given without the flag. Of copies with
    the same letters and digits the first is kept, but an article before anything else; of near duplicates the longest
    text, of about equally long ones the first, articles before all else; a document made of copied sentences is dropped
    for those before it, and articles come before all else."""
    output: Path
    """Folder to make; manifest.json in it is written last and vouches for the rest."""
    benchmarks: list[str] = field(default_factory=list)
    """Benchmark files; documents with their PMIDs or their text are dropped."""
    benchmark_ngram: int = 13
    """Words in a row that a document shares with a benchmark item to count as containing it."""
    languages: list[str] = field(default_factory=lambda: ["eng"])
    """Languages to keep, in PubMed's three-letter codes; "any" keeps all. The language of the text counts; what the meta
    data says is asked only where the text is too short to tell."""
    minimum_words: int = 20
    """Drop texts with fewer words than this (words are separated by white space)."""
    maximum_words: int = 0
    """Drop texts with more words than this; 0 sets no limit."""
    drop_boilerplate: bool = True
    """Drop notices instead of texts: errata, retraction notices, "no abstract available", copyright lines."""
    drop_retracted: bool = True
    """Drop documents that their meta data marks as retracted or as having a withdrawn abstract."""
    drop_title_only: bool = True
    """Drop records whose only text is their title."""
    symbol_fraction: float = 0.5
    """Drop texts of whose characters, white space apart, more than this part are no letters; 1 keeps all."""
    repeated_fraction: float = 0.3
    """Drop texts of whose characters more than this part stands in lines that came before in the same text; 1 keeps all."""
    near_duplicate_similarity: float = 0.6
    """Drop documents whose sets of word sequences resemble a kept document's by this much (Jaccard); 0 drops none."""
    copied_sentence_fraction: float = 0.5
    """Drop documents of whose words this part stands in sentences of kept documents before them; 0 drops none."""
    split: tuple[float, float, float] = (0.98, 0.01, 0.01)
    """Fractions of the documents for train, validation and test; they sum to 1."""
    shard_megabytes: int = 512
    """About how many megabytes of JSON, before compression, go into one shard."""
    keep_dropped: bool = False
    """Write what was dropped, with the reason, to dropped.jsonl.zst."""
    workers: int = 1
    """Processes at the same time; the output does not depend on their number."""
    resume: bool = True
    """Use what an interrupted run of the same command has finished (it lies in OUTPUT.unfinished); false starts anew."""
    overwrite: bool = False
    """Replace a corpus that was built from other inputs or with other options; refused while its folder holds files that
    are not its own."""
    on_error: Literal["stop", "keep"] = "stop"
    """At a damaged line or file, stop with an error; or keep what is intact, count and name the loss, and exit with 3."""
    progress: bool = True
    """Show a progress bar on stderr when stderr is a terminal."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        if not self.inputs:
            raise ConfigurationError("--inputs: expected at least one file or glob pattern, found none.")
        if not self.languages:
            raise ConfigurationError(
                "--languages: expected at least one code such as eng, or any; found none."
            )
        wrong = [code for code in self.languages if not _LANGUAGE.fullmatch(code)]
        if wrong:
            raise ConfigurationError(
                f"--languages: expected PubMed's three-letter codes such as eng, or any; found {', '.join(wrong)}."
            )
        for name, value, least in (
            ("benchmark_ngram", self.benchmark_ngram, 4),
            ("minimum_words", self.minimum_words, 0),
            ("maximum_words", self.maximum_words, 0),
            ("shard_megabytes", self.shard_megabytes, 1),
            ("workers", self.workers, 1),
        ):
            if value < least:
                raise ConfigurationError(f"--{name}: expected {least} or more, found {value}.")
        if self.shard_megabytes > _MOST_SHARD_MEGABYTES:
            raise ConfigurationError(
                f"--shard_megabytes: expected at most {_MOST_SHARD_MEGABYTES}, found {self.shard_megabytes}."
            )
        if 0 < self.maximum_words < self.minimum_words:
            raise ConfigurationError(
                f"--maximum_words {self.maximum_words} is below --minimum_words {self.minimum_words}; nothing could be kept."
            )
        self._check_fractions()
        if self.on_error not in ("stop", "keep"):
            raise ConfigurationError(f"--on_error: expected 'stop' or 'keep', found '{self.on_error}'.")

    def _check_fractions(self) -> None:
        for name, value in (
            ("symbol_fraction", self.symbol_fraction),
            ("repeated_fraction", self.repeated_fraction),
            ("near_duplicate_similarity", self.near_duplicate_similarity),
            ("copied_sentence_fraction", self.copied_sentence_fraction),
        ):
            if not 0 <= value <= 1:
                raise ConfigurationError(f"--{name}: expected a number from 0 to 1, found {value:g}.")
        if 0 < self.near_duplicate_similarity < 0.5:
            raise ConfigurationError(
                f"--near_duplicate_similarity: expected 0 or at least 0.5, found {self.near_duplicate_similarity:g}; documents "
                "less alike are not found reliably."
            )
        if len(self.split) != 3 or min(self.split) < 0 or abs(sum(self.split) - 1.0) > 1e-6:
            raise ConfigurationError(
                f"--split: expected three fractions of 0 or more that sum to 1 (train, validation, test), found "
                f"{', '.join(f'{part:g}' for part in self.split)} with sum {sum(self.split):g}."
            )
