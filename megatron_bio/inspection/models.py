"""`megatron-bio inspect` on checkpoints of all formats: what the format's own reader says.

Nothing but descriptions is read: no tensor, however large the checkpoint is.
"""

from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megatron_bio.config.errors import UserError
from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.inspection.description import Description, InspectionError

TAR_MARK = slice(257, 262)
"""Where a tar archive says that it is one."""

if TYPE_CHECKING:
    from megatron_bio.convert.formats import Format
    from megatron_bio.convert.sources import Checkpoint


def foreign_format(path: Path) -> "Format | None":
    """Return the format of another program that a file or folder is of, by its content."""
    from megatron_bio.convert.formats import recognised_format

    found = recognised_format(path)
    return None if found is None or found.name == "megatron_bio" else found


def describe_foreign(path: Path, known: "Format") -> Description:
    """Describe a checkpoint of another program; raise `InspectionError` if it is damaged or of no model of ours."""
    try:
        checkpoint = known.open(path)
    except UserError as error:
        raise InspectionError(
            f"{path}: a checkpoint of {known.title} that cannot be used. {error}"
        ) from error
    tensors = {name: tuple(value.shape) for name, value in checkpoint.weights.described().items()}
    facts = {"format": known.title} | model_facts(checkpoint)
    if path.is_dir():
        facts["bytes_on_disk"] = sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
    else:
        facts["bytes_on_disk"] = path.stat().st_size
    return Description(kind=f"{known.title} checkpoint", facts=facts, tensors=tensors)


def own_facts(path: Path) -> dict[str, Any]:
    """Return what our reader knows of a checkpoint of ours; of one that it cannot use, why."""
    from megatron_bio.convert.formats import FORMATS

    try:
        facts = model_facts(FORMATS["megatron_bio"].open(path))
    except UserError as error:
        return {"cannot_be_converted": str(error)}
    return {name: value for name, value in facts.items() if name not in ("model", "parameters", "step")}


def may_be_checkpoint(file: Path) -> bool:
    """Whether a file begins as archives and pickles do, so that the readers of checkpoints are worth asking."""
    with file.open("rb") as stream:
        start = stream.read(TAR_MARK.stop)
    return start.startswith((b"PK", b"\x80")) or start[TAR_MARK] == b"ustar" or file.suffix == ".nemo"


def model_facts(checkpoint: "Checkpoint") -> dict[str, Any]:
    """Return what a reader knows of a checkpoint besides its files."""
    from megatron_bio.convert.new_heads import missing_weights

    described = checkpoint.weights.described()
    moments = checkpoint.moments.described() if checkpoint.moments else {}
    facts = dict(checkpoint.facts) | {
        "step": checkpoint.step,
        "vocabulary": _vocabulary(checkpoint.model),
        "parameters": sum(prod(value.shape) for value in described.values()),
        "stored_as": sorted({str(value.dtype).removeprefix("torch.") for value in described.values()}),
        "tensors_of_the_optimizer": len(moments),
        "missing": missing_weights(checkpoint),
        "model": {name: value for name, value in asdict(checkpoint.model).items() if value is not None},
        "tokenizer": checkpoint.tokenizer and str(checkpoint.tokenizer),
    }
    return {name: value for name, value in facts.items() if value not in (None, [], {})}


def _vocabulary(model: ModelConfig) -> str:
    assert model.vocab_size is not None
    rows = padded_vocab_size(model.vocab_size)
    return f"{model.vocab_size:,} tokens, {rows - model.vocab_size} rows of padding in our tables"
