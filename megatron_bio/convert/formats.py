"""The formats of checkpoints and where each is read and written: one table, whose packages are imported when needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.sources import Checkpoint, Told


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format: a package with `open.py` and, if it can be written, `write.py`.

    `open.py` has `recognises(path) -> bool`, which is cheap and goes by content, and
    `open_checkpoint(path, vocab_size) -> Checkpoint`; `write.py` has `write_checkpoint(checkpoint, folder, options)`.
    """

    name: str
    """What users call it, and `Checkpoint.format`."""
    title: str
    """What people call it, in messages."""
    package: str
    reference: bool = False
    """Whether the package has `reference.py`: the foreign library's own computation of a checkpoint, for the check."""

    @property
    def is_here(self) -> bool:
        """Whether this installation has the package."""
        return find_spec(self.package) is not None

    def recognises(self, path: Path) -> bool:
        """Whether the file or folder is of this format, by its content."""
        return self.is_here and bool(self._module("open").recognises(path))

    def open(self, path: Path, vocab_size: int | None = None, told: Told | None = None) -> Checkpoint:
        """Open a checkpoint; `vocab_size`, the tokenizer's number of tokens, and `told` are for formats that may not know it.

        Raises `ConvertError` for `told` of a checkpoint whose format always says it.
        """
        words = (told,) if told and told.anything else ()
        if words and self.name != "megatron_lm":
            raise ConvertError(
                f"--num_attention_heads, --activation: a checkpoint of {self.title} says them itself."
            )
        checkpoint: Checkpoint = self._module("open").open_checkpoint(path, vocab_size, *words)
        return checkpoint

    def write(self, checkpoint: Checkpoint, folder: Path, options: ConvertOptions) -> None:
        """Write a checkpoint of any format into an existing empty folder."""
        self._module("write").write_checkpoint(checkpoint, folder, options)

    def computation(self) -> ModuleType:
        """Return the module with the foreign library's own computation."""
        return self._module("reference")

    def _module(self, part: str) -> ModuleType:
        try:
            return import_module(f"{self.package}.{part}")
        except ModuleNotFoundError as error:
            if error.name is None or not f"{self.package}.{part}".startswith(error.name):
                raise
            does = {"open": "read", "write": "write"}.get(part, "compute")
            raise ConvertError(f"{self.title}: this version of megatron-bio cannot {does} it.") from error


_PACKAGE = "megatron_bio.convert"
FORMATS = {
    known.name: known
    for known in (
        Format(name="megatron_bio", title="megatron-bio", package=f"{_PACKAGE}.native_checkpoint"),
        Format(name="hugging_face", title="Hugging Face", package=f"{_PACKAGE}.hugging_face", reference=True),
        Format(name="megatron_lm", title="Megatron-LM", package=f"{_PACKAGE}.megatron_lm"),
        Format(name="megatron_core", title="Megatron Core", package=f"{_PACKAGE}.megatron_core"),
        Format(name="nemo", title="NeMo", package=f"{_PACKAGE}.nemo"),
    )
}


def recognised_format(path: Path) -> Format | None:
    """Return the format of a file or folder, by its content; None if it is none of them."""
    return next(_recognising(path), None)


def format_of(path: Path, name: str | None) -> Format:
    """Return the format that `--from` names or that the content shows; raises `ConvertError` for none or more than one."""
    if not path.exists():
        raise ConvertError(f"--checkpoint {path}: expected a checkpoint; found nothing of that name.")
    if name is not None:
        return FORMATS[name]
    found = list(_recognising(path))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(known.name for known in found)
        raise ConvertError(f"--checkpoint {path}: it has checkpoints of {names}. Say which with --from.")
    names = ", ".join(f"{known.name} ({known.title})" for known in FORMATS.values())
    seen = sorted(entry.name for entry in path.iterdir())[:8] if path.is_dir() else ["a file"]
    raise ConvertError(
        f"--checkpoint {path}: expected a checkpoint of {names}; found {', '.join(seen) or 'an empty folder'}. Give the "
        f"checkpoint's folder or file, or its format with --from to see what is missing."
    )


def _recognising(path: Path) -> Iterator[Format]:
    return (known for known in FORMATS.values() if known.recognises(path))
