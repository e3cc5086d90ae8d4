"""dropout(softmax(scale * scores)) over the keys that a query may see: attention probabilities with dropout.

scores [R, n, Q, S] of n heads, mask bool [R, 1, Q, S]. What is dropped is what `kernels.dropout.attention_dropout` drops, bit
for bit.
"""

import torch
from torch import Tensor

from megatron_bio.kernels.dropout import DropoutPlace, attention_dropout
from megatron_bio.kernels.fallback import announce
from megatron_bio.kernels.library import LONGEST_ROW, Library, cuda_library, require_alike


def reference(scores: Tensor, mask: Tensor, scale: float, place: DropoutPlace, first_head: int) -> Tensor:
    """Scale, mask, normalise and drop: the definition. `first_head` is the number of this rank's first head."""
    return _dropped(probabilities_of(scores, mask, scale), place, first_head)


def probabilities_of(scores: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Return the probabilities before dropout; NaN for a query that sees nothing."""
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32)) * scale
    return wide.masked_fill(~mask, float("-inf")).softmax(dim=-1).to(scores.dtype)


def softmax_dropout(
    scores: Tensor, mask: Tensor, scale: float, place: DropoutPlace, first_head: int
) -> Tensor:
    """Do as `reference`, on CUDA by the kernel; more than `LONGEST_ROW` keys go to the reference, which is told once."""
    if scores.shape[-1] > LONGEST_ROW:
        announce("softmax_dropout", f"{scores.shape[-1]} keys; it takes up to {LONGEST_ROW}")
        return reference(scores, mask, scale, place, first_head)
    return _forward(scores, mask, scale, *place.arguments, first_head)[0 if place.probability == 0.0 else 1]


def launch_forward(
    library: Library, scores: Tensor, mask: Tensor, scale: float, place: DropoutPlace, first_head: int
) -> tuple[Tensor, Tensor]:
    """Return the probabilities and what dropout leaves of them, which without dropout is an empty tensor."""
    rows, _, queries, keys = scores.shape
    scores, mask = scores.contiguous(), mask.to(torch.bool).expand(rows, 1, queries, keys).contiguous()
    probabilities = torch.empty_like(scores)
    dropped = torch.empty_like(scores) if place.probability > 0.0 else scores.new_empty(0)
    if scores.numel():
        tensors = (scores, mask, probabilities, dropped)
        sizes = (first_head, *scores.shape)
        library.launch(
            "softmax_dropout_forward", *tensors, float(scale), *place.of_kernel, *sizes, scores.dtype
        )
    return probabilities, dropped


def launch_backward(
    library: Library,
    gradient: Tensor,
    probabilities: Tensor,
    scale: float,
    place: DropoutPlace,
    first_head: int,
) -> Tensor:
    """Return the gradient of the scores for that of what `softmax_dropout` returns."""
    require_alike(probabilities, gradient)
    gradient, of_scores = gradient.contiguous(), torch.empty_like(probabilities)
    if gradient.numel():
        tensors, sizes = (gradient, probabilities, of_scores), (first_head, *probabilities.shape)
        library.launch(
            "softmax_dropout_backward", *tensors, float(scale), *place.of_kernel, *sizes, gradient.dtype
        )
    return of_scores


def _dropped(probabilities: Tensor, place: DropoutPlace, first_head: int) -> Tensor:
    return attention_dropout(
        probabilities,
        place.probability,
        place.keys,
        layer=place.layer,
        site=place.site,
        first_head=first_head,
    )


@torch.library.custom_op("megatron_bio::softmax_dropout", mutates_args=(), device_types="cpu")
def _forward(
    scores: Tensor,
    mask: Tensor,
    scale: float,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_head: int,
) -> tuple[Tensor, Tensor]:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    probabilities = probabilities_of(scores.contiguous(), mask, scale)
    if probability == 0.0:
        return probabilities, scores.new_empty(0)
    return probabilities, _dropped(probabilities, place, first_head)


@_forward.register_kernel("cuda")
def _(
    scores: Tensor,
    mask: Tensor,
    scale: float,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_head: int,
) -> tuple[Tensor, Tensor]:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    return launch_forward(cuda_library(), scores, mask, scale, place, first_head)


@_forward.register_fake
def _(scores: Tensor, mask: Tensor, scale: float, probability: float, *_: object) -> tuple[Tensor, Tensor]:
    return scores.new_empty(scores.shape), scores.new_empty(scores.shape if probability > 0.0 else (0,))


@torch.library.custom_op("megatron_bio::softmax_dropout_backward", mutates_args=(), device_types="cpu")
def _backward(
    gradient: Tensor,
    probabilities: Tensor,
    scale: float,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_head: int,
) -> Tensor:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    wide = torch.promote_types(gradient.dtype, torch.float32)
    # Dropout multiplies by numbers that do not depend on its input, so its gradient is itself.
    incoming, shares = _dropped(gradient.to(wide), place, first_head), probabilities.to(wide)
    of_scores = shares * (incoming - (incoming * shares).sum(-1, keepdim=True)) * scale
    return of_scores.to(gradient.dtype).contiguous()


@_backward.register_kernel("cuda")
def _(
    gradient: Tensor,
    probabilities: Tensor,
    scale: float,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_head: int,
) -> Tensor:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    return launch_backward(cuda_library(), gradient, probabilities, scale, place, first_head)


@_backward.register_fake
def _(gradient: Tensor, probabilities: Tensor, *_: object) -> Tensor:
    return probabilities.new_empty(probabilities.shape)


def _keep(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]
) -> None:
    _, _, ctx.scale, ctx.probability, keys, ctx.layer, layer_of_graph, ctx.site, ctx.first_head = inputs
    ctx.save_for_backward(output[0], keys, layer_of_graph)
    ctx.mark_non_differentiable(output[0 if ctx.probability > 0.0 else 1])
    ctx.set_materialize_grads(False)


def _gradients(
    ctx: torch.autograd.function.FunctionCtx, of_probabilities: Tensor | None, of_dropped: Tensor | None
) -> tuple[Tensor | None, ...]:
    probabilities, keys, layer_of_graph = ctx.saved_tensors
    gradient = of_probabilities if ctx.probability == 0.0 else of_dropped
    if gradient is None:  # nothing depends on the result
        return (None,) * 9
    place = (ctx.probability, keys, ctx.layer, layer_of_graph, ctx.site)
    return _backward(gradient, probabilities, ctx.scale, *place, ctx.first_head), *[None] * 8


_forward.register_autograd(_gradients, setup_context=_keep)
