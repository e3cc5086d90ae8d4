"""What a run says when it ends because its gradients are not finite step after step."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from megatron_bio.config.errors import UserError

_SHOWN = 8
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


class NonFiniteError(UserError):
    """Too many steps in a row could not be made."""


def bad_parameters(model: nn.Module) -> list[str]:
    """Return the parameters with a non-finite gradient on any rank, those nearest to the loss first; all ranks call it.

    The first of them is where the backward met it first: it flows from the heads through the layers, last to first, into the
    embeddings.
    """
    bad = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not _finite(parameter.grad)
    ]
    names = list(dict.fromkeys(name for part in _gathered(bad) for name in part))
    names.reverse()
    return sorted(names, key=_depth, reverse=True)


def bad_rows(
    microbatches: Sequence[dict[str, Tensor]],
    rows: NDArray,
    losses_of: Callable[[dict[str, Tensor]], Tensor],
) -> list[int]:
    """Return the global sample indices whose rows alone have a loss that is not finite; all ranks call it.

    `rows` [microbatches, micro_batch_size] holds this rank's indices; `losses_of` gives the summed losses of one row.
    """
    bad = []
    with torch.no_grad():
        for batch, indices in zip(microbatches, rows.tolist(), strict=True):
            for row, index in enumerate(indices):
                alone = {name: field[row : row + 1] for name, field in batch.items()}
                if not _finite(losses_of(alone)):
                    bad.append(index)
    return sorted({index for part in _gathered(bad) for index in part})


def diagnosis(
    *,
    step: int,
    skipped: int,
    losses: dict[str, float],
    parameters: list[str],
    num_parameters: int,
    samples: range,
    rows: list[int] | None,
    precision: str,
) -> NonFiniteError:
    """Return the error that ends the run at `step` after `skipped` steps in a row that were not made.

    `losses` are this step's means; `rows` those of `samples` that are bad by themselves, None when that is not known.
    """
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    shown = ", ".join(f"{name} {value:g}" for name, value in losses.items())
    if rows:
        which = f"alone with a non-finite loss are {_few(rows)}"
    elif rows is None:
        which = "which of them is to blame is not known in a pipeline"
    else:
        which = "the loss of each alone is finite"
    parts = [
        f"The gradients of {skipped} steps in a row (training.max_skipped_steps) were not finite, the last being step "
        f"{step}, so none of these steps was made and the run ends.",
        f"Losses of step {step}: {shown}{f' (not finite: {_few(wrong)})' if wrong else ' (finite)'}.",
        f"Parameters with non-finite gradients: {len(parameters)} of {num_parameters}, nearest to the loss first: "
        f"{_few(parameters)}.",
        f"Global samples of step {step}: {samples.start} to {samples.stop - 1}; {which}.",
        f"The newest checkpoint is from before these steps. {_remedy(rows, precision)}",
    ]
    return NonFiniteError(" ".join(parts))


def _remedy(rows: list[int] | None, precision: str) -> str:
    steps = (
        "A larger training.max_skipped_steps steps over them and may be given to the same run; if the weights have "
        "diverged, start anew with a lower optimizer.lr or a longer warmup"
    )
    wider = "" if precision == "fp32" else f", or another training.precision than {precision}"
    if rows:
        return f"Look at those samples (docs/training.md shows how). {steps}{wider}."
    return f"{steps}{wider}."


def _few(items: Iterable[object]) -> str:
    words = [str(item) for item in items]
    rest = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return (", ".join(words[:_SHOWN]) or "none") + rest


def _depth(name: str) -> float:
    """Return how far from the input a parameter is."""
    if found := _LAYER.search(name):
        return float(found[1])
    return -1.0 if "embeddings" in name else math.inf


def _finite(tensor: Tensor) -> bool:
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return bool(torch.isfinite(local).all())


def _gathered(part: list) -> list[list]:
    parts: list[list] = [[]] * dist.get_world_size()
    dist.all_gather_object(parts, part)
    return parts
