"""The numbers of all documents → results.json and a table."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from megatron_bio.downstream.language_modelling.unfinished import Group, Measured

_MOST_EXPONENT = 700.0


def summary(groups: Sequence[Group], kind: str, exact: bool) -> dict[str, Any]:
    """Return the sums over documents and the measures made of them; `exact` if all of the text was predicted.

    `loss` is in nats per predicted token, `accuracy` in per cent. A measure with nothing to divide by is null.
    """
    documents = [document for group in groups for document in group.documents]
    nats = math.fsum(document.nats for document in documents)
    tokens = sum(document.tokens for document in documents)
    words = sum(document.words for document in documents)
    size = sum(document.bytes for document in documents)
    predicted = _predicted_bytes(documents)
    loss = _ratio(nats, tokens)
    return {
        "kind": kind,
        "loss": loss,
        "perplexity": None if loss is None else math.exp(min(loss, _MOST_EXPONENT)),
        "accuracy": _ratio(100 * sum(document.right for document in documents), tokens),
        "bits_per_byte": _ratio(nats / math.log(2), size if exact else None),
        "nats_per_word": _ratio(nats, words),
        "bits_per_predicted_byte": _ratio(nats / math.log(2), predicted),
        "tokens": tokens,
        "words": words,
        "predicted_bytes": predicted,
        "bytes": size,
        "documents": len(documents),
        "pieces": sum(document.pieces for document in documents),
        "unknown_pieces": sum(document.unknown for document in documents),
    }


def left_out(groups: Sequence[Group]) -> dict[str, int]:
    """Return how many documents were left out, by reason."""
    counts: Counter[str] = Counter()
    for group in groups:
        counts.update(group.left_out)
    return dict(counts)


def table(found: Mapping[str, Any]) -> str:
    """Return the measures as lines for people."""
    masked = found["kind"] == "masked"
    rows = [
        ("loss, nats per predicted token", _decimal(found["loss"])),
        ("perplexity", _decimal(found["perplexity"])),
        ("accuracy, %", _decimal(found["accuracy"])),
        ("bits per byte", _decimal(found["bits_per_byte"])),
        (f"nats per {'masked ' if masked else ''}word", _decimal(found["nats_per_word"])),
        (f"bits per {'masked ' if masked else 'predicted '}byte", _decimal(found["bits_per_predicted_byte"])),
        ("predicted tokens", f"{found['tokens']:,}"),
        ("documents", f"{found['documents']:,}"),
        ("bytes", f"{found['bytes']:,}"),
        ("unknown pieces of text", f"{found['unknown_pieces']:,} of {found['pieces']:,}"),
    ]
    rows = [(name, value) for name, value in rows if value]
    wide, long = max(len(name) for name, _ in rows), max(len(value) for _, value in rows)
    return "\n".join(f"{name:<{wide}}  {value:>{long}}" for name, value in rows)


def _predicted_bytes(documents: Sequence[Measured]) -> int | None:
    sizes = [document.predicted_bytes for document in documents if document.predicted_bytes is not None]
    return sum(sizes) if len(sizes) == len(documents) else None


def _ratio(above: float, below: int | None) -> float | None:
    return above / below if below else None


def _decimal(value: float | None) -> str:
    return "" if value is None else f"{value:,.4f}"
