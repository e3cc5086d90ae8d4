"""Options of `vocabulary study`, which compares vocabularies."""

from dataclasses import dataclass, field
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError


def _words_of_the_paper() -> list[str]:
    return ["chromatography", "cytotoxicity", "Immunohistochemistry", "photosynthesis", "probiotic"]


@dataclass(frozen=True, kw_only=True)
class StudyVocabularyOptions:
    """Vocabularies and texts in; out how finely each vocabulary cuts them."""

    vocabularies: list[str]
    """Tokenizer folders, tokenizer.json or vocab.txt, each as PATH or NAME=PATH; may be given without the flag."""
    entities: list[str] = field(default_factory=list)
    """Data sets of named entities in IOB or CoNLL form, a token and its tag a line, each as PATH or NAME=PATH; the paper
    takes the training sets."""
    texts: list[str] = field(default_factory=list)
    """Documents files (JSONL, plain or compressed) or glob patterns, for tokens per word of free text."""
    words: list[str] = field(default_factory=_words_of_the_paper)
    """Words whose pieces are shown."""
    output: Path | None = None
    """Folder for study.txt, study.json, study.md and study.png."""
    picture: bool = True
    """Draw study.png; needs matplotlib."""
    progress: bool = True
    """Show the progress on stderr when stderr is a terminal."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        if not self.vocabularies or not all(self.vocabularies):
            raise ConfigurationError(
                f"--vocabularies: expected at least one folder or file, found {self.vocabularies}."
            )
        empty = [word for word in self.words if not word.strip()]
        if empty:
            raise ConfigurationError(f"--words: expected words, found {empty[0]!r}.")
