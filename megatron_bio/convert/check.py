"""Does the checkpoint that was written compute what the one that was read does?

Both are computed on the same tokens, layer by layer; a foreign format by its own library where there is one and it is
installed. Then every weight is compared bit for bit.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from megatron_bio.config.model import padded_vocab_size
from megatron_bio.convert import our_computation
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.formats import FORMATS
from megatron_bio.convert.probe import LOGITS, Trace, make_probe
from megatron_bio.convert.sources import Checkpoint
from megatron_bio.tokens.tokenizer import Tokenizer

TOLERANCE = 1e-5
"""Largest difference allowed, as a part of the largest value at the same place; float32 rounds to 6e-8."""


@dataclass(frozen=True)
class Difference:
    """How far two checkpoints are from each other at one place of the computation."""

    place: str
    """Name in the trace."""
    absolute: float
    """Largest |a - b|."""
    largest: float
    """Largest |a|."""

    @property
    def relative(self) -> float:
        """The first as a part of the second."""
        return self.absolute / self.largest if self.largest else self.absolute

    @property
    def is_allowed(self) -> bool:
        """Whether it is within `TOLERANCE`; NaN is not."""
        return self.absolute <= TOLERANCE * self.largest

    def __str__(self) -> str:
        return (
            f"largest difference {self.absolute:.2e} at largest |{self.place}| {self.largest:.3g} "
            f"(relative {self.relative:.1e})"
        )


class _Side:
    """One checkpoint and how it is computed: by the format's own library, or by ours."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
        self.checkpoint = checkpoint
        self._module = our_computation
        self.library: str | None = None
        self.missing: ImportError | None = None
        known = FORMATS[checkpoint.format]
        if not known.reference:
            return
        module = known.computation()
        try:
            if checkpoint.tokenizer == checkpoint.path:
                module.require_same_tokens(checkpoint.path, tokenizer)
            else:
                __import__(module.LIBRARY)
        except ImportError as error:
            self.missing = error
        else:
            self._module, self.library = module, module.LIBRARY

    def trace(self, dtype: torch.dtype, stored: torch.dtype) -> Trace:
        """Compute in `dtype` with the weights rounded to `stored`."""
        probe = make_probe(self.checkpoint.model)
        found: Trace = self._module.trace(self.checkpoint, probe, dtype, stored)
        return found


def check(source: Checkpoint, target: Checkpoint, tokenizer: Tokenizer) -> str:
    """Compare what was written, opened by its own reader, with the source and return the verdict in sentences.

    Raises `ConvertError` for other tokens, other weights, or other values of a model that both can compute exactly.
    """
    before, after = _Side(source, tokenizer), _Side(target, tokenizer)
    stored = next(iter(target.weights.described().values())).dtype
    ours, theirs = before.trace(torch.float32, stored), after.trace(torch.float32, stored)
    places = compare(ours, theirs)
    approximate = _approximate_places(source, target)
    exact = [place for place in places if place.place not in approximate]
    verdict = _require_equal(before, after, stored, exact)
    _require_same_weights(source, target)
    if approximate:
        told = "; ".join(str(place) for place in places if place.place in approximate)
        verdict += f" Approximate, as asked, in float32: {told}."
    if stored is not torch.float32:
        lost = compare(before.trace(torch.float32, torch.float32), ours)
        verdict += f" Rounding the weights to {stored} alone: {_summary(lost)}."
    return verdict + _not_checked(before, after)


def _approximate_places(source: Checkpoint, target: Checkpoint) -> tuple[str, ...]:
    """Return what differs because the target has one activation for MLP and masked-LM head; the writer was told so."""
    return () if source.model.activation_name == target.model.activation_name else (LOGITS,)


def compare(ours: Trace, theirs: Trace) -> list[Difference]:
    """Return the differences at the places that both have, in the order of the computation."""
    return [
        Difference(place, _largest(value.double() - theirs[place].double()), _largest(value))
        for place, value in ours.items()
        if place in theirs
    ]


def _require_equal(before: _Side, after: _Side, stored: torch.dtype, places: list[Difference]) -> str:
    how = _how(before, after)
    if all(place.is_allowed for place in places):
        return f"{how} in float32: {_summary(places)}, allowed {TOLERANCE:g}."
    # A deep model can amplify the rounding of float32 itself; in float64 only wrong weights or mathematics are left.
    names = {place.place for place in places}
    in_double = compare(before.trace(torch.float64, stored), after.trace(torch.float64, stored))
    in_double = [place for place in in_double if place.place in names]
    if all(place.is_allowed for place in in_double):
        return (
            f"{how} in float64: {_summary(in_double)}, allowed {TOLERANCE:g}. In float32 rounding makes more: "
            f"{_summary(places)}."
        )
    first = next(place for place in in_double if not place.is_allowed)
    raise ConvertError(
        f"The converted model is not the checkpoint's: the difference first appears at {first.place}: {first} in float64; at "
        f"the end {_summary(in_double)}, allowed {TOLERANCE:g}. Nothing was written. Please report this with the versions of "
        f"torch ({torch.__version__}){_versions(before, after)}; --check false writes the folder all the same."
    )


def _how(before: _Side, after: _Side) -> str:
    libraries = {before.library, after.library} - {None}
    by = " and ".join(sorted(str(library) for library in libraries))
    return f"{by or 'this library'} gives the hidden states and logits of the checkpoint"


def _summary(places: list[Difference]) -> str:
    """Tell the worst of the logits, and the worst of the hidden states before them."""
    logits = [place for place in places if "logits" in place.place]
    hidden = [place for place in places if place not in logits]
    worst = [max(group, key=lambda place: place.relative) for group in (logits, hidden) if group]
    return "; ".join(str(place) for place in worst)


def _versions(before: _Side, after: _Side) -> str:
    libraries = {side.library for side in (before, after) if side.library}
    return "".join(f" and {name} ({__import__(name).__version__})" for name in sorted(libraries))


def _not_checked(before: _Side, after: _Side) -> str:
    errors = [side.missing for side in (before, after) if side.missing]
    if not errors:
        return ""
    return (
        f" Not compared with transformers, for it cannot be imported ({errors[0]}): both sides were computed by this library. "
        f"Install it with pip install 'megatron-bio[hf]' and convert again to be sure that it computes the same."
    )


def _require_same_weights(source: Checkpoint, target: Checkpoint) -> None:
    """Compare all weights, and moments where both have them, with those of the source in the dtype of the target."""
    rows = source.model.vocab_size, padded_vocab_size(source.model.vocab_size or 1)
    pairs = [(source.weights, target.weights)]
    if source.moments is not None and target.moments is not None:
        pairs.append((source.moments, target.moments))
    for ours, theirs in pairs:
        for name, described in theirs.described().items():
            real = rows[0] if described.shape[0] == rows[1] and _is_vocabulary(name) else described.shape[0]
            # Reading ours takes its own size, other formats more for a moment: ours comes when the other one is there.
            found = None if target.format == "megatron_bio" else theirs.read(name)
            expected = ours.read(name)
            found = theirs.read(name) if found is None else found
            if not torch.equal(expected.to(described.dtype)[:real], found[:real]):
                raise ConvertError(
                    f"{target.path}: {name} was not written as it was read from {source.path}. Nothing was written; please "
                    f"report this."
                )
            del expected, found


def _is_vocabulary(name: str) -> bool:
    return name.startswith(("embeddings.word_embeddings.weight", "masked_lm_head.bias"))


def _largest(value: Tensor) -> float:
    return value.abs().max().item()
