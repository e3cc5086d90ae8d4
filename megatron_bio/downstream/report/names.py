"""What a model is called where others stand beside it."""

from collections.abc import Sequence

from megatron_bio.downstream.report.read import Result


def named(result: Result, among: Sequence[Result]) -> str:
    """The model's name, whether its weights are random, and the file where this is not enough."""
    names = [_with_weights(other) for other in among]
    name = _with_weights(result)
    return name if names.count(name) == 1 else f"{name} ({result.path})"


def _with_weights(result: Result) -> str:
    return f"{result.model} (random weights)" if result.identity["random_weights"] else result.model
