"""A plan as a table, as JSON and as lines of a recipe."""

import json
from dataclasses import asdict
from typing import Any

from megatron_bio.config.costs import FLOPS_FORMULA, parameter_count
from megatron_bio.config.model import PRESETS, ModelConfig
from megatron_bio.config.plan import PlanOptions
from megatron_bio.planning.layout import Layout
from megatron_bio.planning.reasons import why_best
from megatron_bio.planning.search import GIB, Candidate, Plan, without_attention_dropout

CAVEAT = (
    "Speeds rest on two constants fitted to published runs of other libraries, not on measurements with this one; see "
    "docs/planning.md. Memory is counted from what this library keeps."
)
RECIPE_HEADING = "For the recipe: save these lines as layout.yaml, to be given after it: --config recipe.yaml --config layout.yaml:"
_TRILLION, _DAY = 1e12, 86_400.0


def listed(plan: Plan, shown: int) -> list[Candidate]:
    """Return one microbatch and recomputation of each way to deal the ranks, `shown` of them, fastest first.

    It is the fastest, but the best layout of all stands for its own way and is always in the list.
    """
    best = plan.best
    ways = {_way(best): best}
    for one in plan.fitting:
        ways.setdefault(_way(one), one)
    others = [one for one in ways.values() if one is not best]
    return sorted([best, *others[: shown - 1]], key=lambda one: one.time.total)


def _way(one: Candidate) -> tuple[object, ...]:
    parallel = one.layout.parallel
    return (
        parallel.tensor_parallel,
        parallel.pipeline_parallel,
        parallel.pipeline_schedule,
        parallel.stages_per_rank,
        parallel.zero,
        parallel.data_parallel_shard,
    )


def as_text(plan: Plan, options: PlanOptions) -> str:
    """Return the whole report."""
    shown = listed(plan, options.shown)
    best = plan.best
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for number, one in enumerate(shown, 1):
        rows.append((f"{'* ' if one is best else ''}{number}", *_cells(plan, options, one)))
    lines = [*_about(plan, options), "", *_aligned(rows), ""]
    if options.token_budget is None:
        lines += ["Days and GPU-hours: give --token_budget.", ""]
    lines += [f"* Best: {layout_words(best.layout)}. {why_best(plan)}", *_advice(plan), ""]
    lines += [_share_line(best), ""]
    if plan.refused:
        lines += [
            "Left out (splits, or their microbatches and recomputations one by one where the split itself is possible):",
            *(f"  {count:>6}  {reason}" for reason, count in plan.refused.most_common()),
            "",
        ]
    return "\n".join([*lines, RECIPE_HEADING, *recipe_lines(plan, options), "", CAVEAT])


def as_json(plan: Plan, options: PlanOptions) -> str:
    """Return the same as JSON; sizes in bytes, times in seconds."""
    return json.dumps(
        {
            "parameters": parameter_count(plan.workload.model),
            "cluster": asdict(plan.cluster),
            "usable_memory": plan.usable,
            "flops_formula": f"{FLOPS_FORMULA}, A = S²",
            "layouts": [_entry(plan, options, one) for one in listed(plan, options.shown)],
            "best": _entry(plan, options, plan.best) | {"why": why_best(plan)},
            "recipe": "\n".join(recipe_lines(plan, options)),
            "fitting": len(plan.fitting),
            "left_out": dict(plan.refused),
            "caveat": CAVEAT,
        },
        indent=2,
    )


def _entry(plan: Plan, options: PlanOptions, one: Candidate) -> dict[str, Any]:
    return {
        "parallel": asdict(one.layout.parallel),
        "micro_batch_size": one.layout.micro_batch_size,
        "microbatches": one.layout.microbatches(plan.workload),
        "memory": one.memory.by_part() | {"total": one.memory.total},
        "time": asdict(one.time) | {"total": one.time.total},
        "mfu": one.mfu,
        **speed(plan, options, one),
    }


def speed(plan: Plan, options: PlanOptions, one: Candidate) -> dict[str, float | int | None]:
    """Return tokens per second and, for a token budget, steps, days and GPU-hours."""
    tokens = plan.workload.tokens / one.time.total
    steps = days = hours = None
    if options.token_budget is not None:
        steps = train_steps(plan, options.token_budget)
        seconds = steps * one.time.total
        days, hours = seconds / _DAY, seconds / 3600 * one.layout.ranks
    return {"tokens_per_second": tokens, "train_steps": steps, "days": days, "gpu_hours": hours}


def train_steps(plan: Plan, tokens: float) -> int:
    """Return the steps that see at least so many tokens."""
    return int(-(-tokens // plan.workload.tokens))


def layout_words(layout: Layout) -> str:
    """Return a layout in a few words."""
    parallel = layout.parallel
    words = [f"tensor_parallel {parallel.tensor_parallel}"]
    if parallel.pipeline_parallel > 1:
        words.append(f"pipeline_parallel {parallel.pipeline_parallel} ({parallel.pipeline_schedule})")
    words.append(f"data_parallel {layout.data_parallel}")
    if layout.data_parallel > 1:
        words.append(f"zero {parallel.zero}")
    if parallel.data_parallel_shard:
        words.append(f"shared by {parallel.data_parallel_shard}")
    words.append(f"micro_batch_size {layout.micro_batch_size}")
    if parallel.recompute != "none":
        words.append(f"recompute {_recompute(layout)}")
    return ", ".join(words)


def recipe_lines(plan: Plan, options: PlanOptions) -> list[str]:
    """Return a file with the best layout and what was planned, to be read after a recipe."""
    layout, parallel = plan.best.layout, plan.best.layout.parallel
    split: dict[str, Any] = {"tensor_parallel": parallel.tensor_parallel}
    if parallel.tensor_parallel > 1:
        split["sequence_parallel"] = str(parallel.sequence_parallel).lower()
    if parallel.pipeline_parallel > 1:
        split |= {
            "pipeline_parallel": parallel.pipeline_parallel,
            "pipeline_schedule": f'"{parallel.pipeline_schedule}"',
        }
        if parallel.stages_per_rank:
            split["stages_per_rank"] = parallel.stages_per_rank
    split["data_parallel"] = layout.data_parallel
    if parallel.data_parallel_shard:
        split["data_parallel_shard"] = parallel.data_parallel_shard
    split["zero"] = parallel.zero
    if parallel.recompute != "none":
        split |= {"recompute": parallel.recompute, "recompute_every": parallel.recompute_every}
    training: dict[str, Any] = {
        "global_batch_size": plan.workload.global_batch_size,
        "micro_batch_size": layout.micro_batch_size,
        "precision": plan.workload.precision,
    }
    if options.token_budget is not None:
        training["train_steps"] = train_steps(plan, options.token_budget)
    data: dict[str, Any] = {"sequence_length": plan.workload.sequence_length}
    if plan.workload.model.architecture == "bert":
        data["masked_lm_probability"] = options.masked_lm_probability
    if not plan.workload.model.order_head:
        data["sentence_order"] = "none"
    optimizer = {"implementation": "fused"} if plan.workload.fused_optimizer else {}
    sections = {"model": _model_lines(plan.workload.model), "data": data, "parallel": split}
    sections |= {"optimizer": optimizer, "training": training}
    return [f"{name}: {_flow(values)}" for name, values in sections.items() if values]


def _model_lines(model: ModelConfig) -> dict[str, Any]:
    """Return what is not the preset's or the default, without the vocabulary, which the tokenizer gives."""
    usual = vars(ModelConfig(**dict(PRESETS[model.preset]) if model.preset else {}))
    given = {name: value for name, value in vars(model).items() if value != usual[name]}
    return {name: value for name, value in given.items() if name != "vocab_size"}


_HEADINGS = (
    *("", "tp", "pp", "dp", "zero", "schedule", "rows", "recompute"),
    *("weights", "grads", "optim", "activ", "logits", "buffers", "GiB"),
    *("step s", "tokens/s", "MFU", "days", "GPU-hours"),
)


def _cells(plan: Plan, options: PlanOptions, one: Candidate) -> tuple[str, ...]:
    parallel, figures = one.layout.parallel, speed(plan, options, one)
    zero = str(parallel.zero) if one.layout.data_parallel > 1 else "-"
    if parallel.data_parallel_shard:
        zero += f"/{parallel.data_parallel_shard}"
    schedule = str(parallel.pipeline_schedule) if parallel.pipeline_parallel > 1 else "-"
    if parallel.stages_on_rank > 1:
        schedule += f" x{parallel.stages_on_rank}"
    days, hours = figures["days"], figures["gpu_hours"]
    return (
        *map(str, (parallel.tensor_parallel, parallel.pipeline_parallel, one.layout.data_parallel)),
        *(zero, schedule, str(one.layout.micro_batch_size), _recompute(one.layout)),
        *(f"{size / GIB:.1f}" for size in (*one.memory.by_part().values(), one.memory.total)),
        f"{one.time.total:.3g}",
        f"{figures['tokens_per_second']:,.0f}",
        f"{one.mfu:.1%}",
        f"{days:.2f}" if days is not None else "-",
        f"{hours:,.0f}" if hours is not None else "-",
    )


def _about(plan: Plan, options: PlanOptions) -> list[str]:
    work, cluster = plan.workload, plan.cluster
    count = sum(parameter_count(work.model).values())
    nodes = (
        f"{cluster.gpus // cluster.gpus_per_node} nodes of " if cluster.gpus > cluster.gpus_per_node else ""
    )
    slots = "" if work.model.architecture == "gpt" else f" ({work.predictions} masked slots)"
    return [
        f"{work.model.architecture} of {count:,} parameters; {work.global_batch_size} rows of {work.sequence_length} tokens{slots} "
        f"per step, {work.precision}",
        f"{nodes}{cluster.gpus_per_node} x {cluster.name}: peak {cluster.peak:g} TFLOP/s, {cluster.memory:g} GiB of which "
        f"{plan.usable / GIB:.1f} are used, {cluster.intra_node:g} GB/s inside a node"
        + (f", {cluster.inter_node:g} between nodes" if nodes else ""),
        f"{len(plan.fitting)} layouts fit; memory in GiB of the GPU that needs most. MFU counts {FLOPS_FORMULA}, A = S².",
    ]


def _advice(plan: Plan) -> list[str]:
    seconds = without_attention_dropout(plan)
    if seconds is None or seconds > 0.95 * plan.best.time.total:
        return []
    return [
        f"Attention dropout takes {1 - seconds / plan.best.time.total:.0%} of the step, because it runs apart from the "
        f"attention kernel; with model.attention_dropout 0 a step takes {seconds:.3g} s."
    ]


def _share_line(one: Candidate) -> str:
    names = {
        "compute": "computing",
        "tensor_parallel": "tensor-parallel messages",
        "pipeline": "sends between stages",
        "bubble": "pipeline bubble",
        "data_parallel": "data-parallel messages that nothing hides",
        "optimizer": "optimizer",
    }
    parts = [f"{names[name]} {value / one.time.total:.1%}" for name, value in vars(one.time).items() if value]
    return f"Its step: {', '.join(parts)}."


def _recompute(layout: Layout) -> str:
    parallel = layout.parallel
    return parallel.recompute + (f"/{parallel.recompute_every}" if parallel.recompute_every > 1 else "")


def _flow(values: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {_number(value)}" for name, value in values.items()) + "}"


def _number(value: Any) -> str:
    """Return a value as YAML reads it: 1e-05 would be a text there, 1.0e-05 is a number."""
    text = str(value)
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
