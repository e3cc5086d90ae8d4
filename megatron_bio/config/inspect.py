"""Options of the verb that says what a file or folder is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """A file, folder or prefix in, a description out."""

    path: Path
    """What to look at: documents, a corpus, a tokenizer folder, token data (prefix, .bin or .idx), a run, checkpoint or
    exported folder, or OUTPUT.unfinished. With --samples: token data, a run's folder or a recipe (.yaml) of pretrain."""
    tokenizer: Path | None = None
    """Tokenizer folder, or a WordPiece vocabulary, to show token data as text; without it --samples takes the one that
    PREFIX.json names."""
    json: bool = False
    """Print JSON instead of a table."""
    verify: bool = False
    """Read everything: compare the files of a corpus or checkpoint with their checksums, check a whole index, count all
    documents."""
    samples: int | None = None
    """Show so many rows as training gets them, decoded, with what is masked; of a run with the run's own options."""
    first: int = 0
    """With --samples: global sample index of the first row. Step t of a run reads (t - 1) x training.global_batch_size and
    the rows after it."""
    part: Literal["train", "validation"] = "train"
    """With --samples: whose rows; those of validation are counted from the first that is evaluated."""
    architecture: Literal["bert", "gpt"] | None = None
    """With --samples of token data: which model's rows; without it bert for one sequence per sentence, otherwise gpt."""
    data: list[str] = field(default_factory=list)
    """With --samples: options of pretrain's data group as NAME=VALUE, instead of their defaults or the run's own. Of token
    data all documents are shown unless split=[...] or --part validation is given."""

    def __post_init__(self) -> None:
        """Refuse what cannot be shown, before anything is read."""
        if self.tokenizer is not None and not self.tokenizer.exists():
            raise ConfigurationError(
                f"--tokenizer: expected a tokenizer folder, found no folder {self.tokenizer}."
            )
        if self.samples is None:
            for name, given in (
                ("first", self.first),
                ("part", self.part != "train"),
                ("architecture", self.architecture),
                ("data", self.data),
            ):
                if given:
                    raise ConfigurationError(
                        f"--{name} says which rows to show; give --samples N with it, for how many."
                    )
            return
        if self.samples < 1:
            raise ConfigurationError(f"--samples: expected at least 1 row, found {self.samples}.")
        if self.first < 0:
            raise ConfigurationError(
                f"--first: expected a global sample index from 0 on, found {self.first}."
            )
        if self.verify:
            raise ConfigurationError("--verify checks files and --samples shows rows: give one of the two.")
        for word in self.data:
            name, equals, _ = word.partition("=")
            if not equals or not name:
                raise ConfigurationError(
                    f"--data: expected NAME=VALUE, as sequence_length=128, found '{word}'."
                )
