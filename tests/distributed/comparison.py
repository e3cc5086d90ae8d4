"""When two runs are equal: per tensor, with Q, K and V apart and key biases absolutely."""

from torch import Tensor

TOLERANCE = 1e-5
HEADS = 4
"""Attention heads of every model of these tests."""


def parts(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Split a fused query-key-value tensor, whose rows are [heads, 3, D]."""
    if "query_key_value" not in name:
        return {name: tensor}
    fused = tensor.unflatten(0, (HEADS, 3, -1))
    return {f"{name}[{part}]": fused[:, i] for i, part in enumerate(("query", "key", "value"))}


def compare(ours: dict[str, Tensor], reference: dict[str, Tensor], key_bias_tolerance: float) -> list[str]:
    """Return the tensors that differ, ‖a − b‖ > TOLERANCE ‖b‖.

    Key biases have no true gradient: they, and what an optimizer keeps of them, are compared absolutely.
    """
    assert reference and ours.keys() == reference.keys()
    wrong = []
    for name in ours:
        expected = parts(name, reference[name].detach())
        for part, value in parts(name, ours[name]).items():
            difference = (value - expected[part]).norm()
            if "bias" in part and part.endswith("[key]"):
                good = (value - expected[part]).abs().max() <= key_bias_tolerance
            else:
                good = difference <= TOLERANCE * expected[part].norm()
            if not good:
                wrong.append(f"{part}: {(difference / expected[part].norm()).item():.2e}")
    return wrong
