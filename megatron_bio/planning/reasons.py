"""Why one layout is better than the others, and why none fits, in sentences."""

from dataclasses import replace

from megatron_bio.config.errors import UserError
from megatron_bio.planning.candidates import why_no_split
from megatron_bio.planning.layout import Layout
from megatron_bio.planning.memory import Memory, peak_memory
from megatron_bio.planning.search import AS_FAST, GIB, ZERO_ORDER, Candidate, Plan

_CAUSES = {
    "compute": "it computes longer (smaller products, recomputation or more casts of weights)",
    "tensor_parallel": "it waits for tensor-parallel messages in every layer",
    "pipeline": "it waits for sends between stages",
    "bubble": "its pipeline has a longer bubble",
    "data_parallel": "more of its data-parallel messages cannot be hidden",
    "optimizer": "its optimizer updates more elements on each GPU",
}


class NothingFitsError(UserError):
    """No layout of the cluster can train the model with this batch."""


def why_best(plan: Plan) -> str:
    """Say what the best layout needs, and why not another split, sharing or recomputation."""
    best = plan.best
    needs = f"It needs {best.memory.total / GIB:.1f} of {plan.usable / GIB:.1f} GiB and takes {best.time.total:.3g} s per step."
    sentences = [needs, _why_split(plan), _why_zero(plan), _why_recompute(plan)]
    return " ".join(sentence for sentence in sentences if sentence)


def _why_split(plan: Plan) -> str:
    best = plan.best
    other = next((one for one in plan.fitting if _split(one) != _split(best)), None)
    if other is None:
        return "Nothing that splits the model otherwise fits."
    slower = other.time.total / best.time.total - 1
    words = f"tensor_parallel {other.layout.parallel.tensor_parallel}, pipeline_parallel {other.layout.parallel.pipeline_parallel}"
    if slower < AS_FAST - 1:
        return f"With {words} it is no more than 1 % faster."
    cause = max(vars(best.time), key=lambda name: getattr(other.time, name) - getattr(best.time, name))
    return f"The fastest other split ({words}) takes {slower:.0%} longer, mostly because {_CAUSES[cause]}."


def _why_zero(plan: Plan) -> str:
    """Say what each simpler way to share the state lacks; nothing where there is no choice."""
    best = plan.best
    zero = best.layout.parallel.zero
    if best.layout.data_parallel == 1:
        return ""
    if plan.options.zero is not None:
        return f"zero {zero} is given by --zero."
    simpler = [
        other for other in ZERO_ORDER[: ZERO_ORDER.index(zero)] if not (other == 2 and _split(best)[1] > 1)
    ]
    if not simpler:
        return f"zero {zero}: sharing otherwise is no more than 1 % faster."
    return f"zero {zero}: {'; '.join(_lack(plan, other) for other in simpler)}."


def _lack(plan: Plan, zero: int) -> str:
    best = plan.best
    alike = [one for one in plan.fitting if _split(one) == _split(best) and one.layout.parallel.zero == zero]
    if not alike:
        return f"{zero} does not fit with this split"
    return f"{zero} takes {alike[0].time.total / best.time.total - 1:.1%} longer"


def _why_recompute(plan: Plan) -> str:
    """Say what the layout would need without recomputation, and what smaller microbatches without it cost."""
    best = plan.best
    layout, parallel = best.layout, best.layout.parallel
    if parallel.recompute == "none":
        return ""
    if plan.options.recompute is not None:
        return f"recompute {parallel.recompute} is given by --recompute."
    without = replace(layout, parallel=replace(parallel, recompute="none", recompute_every=1))
    needed = peak_memory(plan.workload, without).total / GIB
    sentence = f"recompute {parallel.recompute}: without it micro_batch_size {layout.micro_batch_size} needs {needed:.1f} GiB"
    none = [one for one in plan.fitting if one.layout.parallel.recompute == "none"]
    if not none:
        return f"{sentence}, and no other layout fits without."
    return (
        f"{sentence}; the fastest layout without takes {none[0].time.total / best.time.total - 1:.0%} longer."
    )


def _split(one: Candidate) -> tuple[int, int]:
    return one.layout.parallel.tensor_parallel, one.layout.parallel.pipeline_parallel


def nothing_fits(plan: Plan, layout_words: str) -> NothingFitsError:
    """Return the error that names the closest layout and what to change."""
    reasons = "; ".join(f"{count} x {reason}" for reason, count in plan.refused.most_common())
    cluster = plan.cluster
    where = f"{cluster.gpus} x {cluster.name} ({plan.usable / GIB:.1f} GiB usable of {cluster.memory:g})"
    if plan.closest is None and not plan.refused:
        return NothingFitsError(
            f"No layout on {where} is valid: {why_no_split(plan.options, cluster)}. Change or free the option."
        )
    if plan.closest is None:
        advice = "free the options that you fixed (--tensor_parallel, --pipeline_parallel, --recompute, --micro_batch_size …)"
        if "divide the global batch" in reasons:
            advice = f"choose a --global_batch_size that data-parallel size x micro_batch_size divides, or {advice}"
        return NothingFitsError(f"No layout on {where} is valid. Left out: {reasons}. To mend it, {advice}.")
    layout, memory = plan.closest
    parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in memory.by_part().items())
    return NothingFitsError(
        f"No layout fits on {where}. The closest is {layout_words}: it needs {memory.total / GIB:.1f} GiB ({parts}). "
        f"{_remedy(plan, layout, memory)} Left out: {reasons}."
    )


def _remedy(plan: Plan, layout: Layout, memory: Memory) -> str:
    state = memory.weights + memory.gradients + memory.optimizer
    if state > 0.5 * memory.total:
        return f"Most of it is weights, gradients and optimizer state, {_share_state(plan, memory)}, or GPUs with more memory."
    parallel = layout.parallel
    freed = []
    if layout.micro_batch_size > 1:
        freed.append(f"--micro_batch_size below {layout.micro_batch_size}")
    if parallel.recompute != "full":
        freed.append("--recompute full")
    if parallel.tensor_parallel < plan.cluster.gpus_per_node:
        freed.append(f"--tensor_parallel above {parallel.tensor_parallel}")
    allow = f"allow {' or '.join(freed)}, " if freed else ""
    return f"Most of it is activations and logits: {allow}shorten --sequence_length, or take GPUs with more memory."


def _share_state(plan: Plan, memory: Memory) -> str:
    """Say how the state can be shared by more GPUs: by a number of whole nodes, or by freeing what forbids it."""
    options = plan.options
    split = {"tensor_parallel": options.tensor_parallel, "pipeline_parallel": options.pipeline_parallel}
    if options.zero == 0 and None not in split.values():
        fixed = " ".join(f"--{name} {value}" for name, value in ({"zero": 0} | split).items())
        return f"which more GPUs do not share with {fixed}: free one of them"
    gpus = -(-memory.total * plan.cluster.gpus // int(plan.usable))
    node = options.cluster.gpus_per_node
    if gpus > node:
        gpus = -(-gpus // node) * node
    return f"which more GPUs share: try about --cluster.gpus {gpus}"
