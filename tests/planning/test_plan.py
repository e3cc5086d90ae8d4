"""The verb: what it finds is what training takes, and what it says can be pasted, parsed and understood."""

import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from megatron_bio.cli import main
from megatron_bio.config.command_line import parse_options
from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import PRESETS, ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.parser import Program
from megatron_bio.config.plan import ClusterOptions, PlanOptions
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import OptimizerConfig, TrainingConfig
from megatron_bio.planning.candidates import splits
from megatron_bio.planning.layout import Layout, layout_problem
from megatron_bio.planning.memory import peak_memory, rank_memory
from megatron_bio.planning.reasons import NothingFitsError, why_best
from megatron_bio.planning.report import listed, recipe_lines
from megatron_bio.planning.search import GIB, cluster_of, search, workload_of

SMALL = [
    *("plan", "--model.preset", "biomegatron-345m", "--model.vocab_size", "30000"),
    *("--global_batch_size", "256", "--cluster.gpu", "A100-40GB"),
]


def options(gpus: int = 8, gpu: str = "A100-40GB", **more: Any) -> PlanOptions:
    cluster = more.pop("cluster", {})
    vocabulary = {"vocab_size": more.pop("vocab_size")} if "vocab_size" in more else {}
    model = ModelConfig(**dict(PRESETS[more.pop("preset", "biomedlm-2.7b")]) | vocabulary)
    values = {"global_batch_size": 128} | more
    return PlanOptions(model=model, cluster=ClusterOptions(gpu=gpu, gpus=gpus, **cluster), **values)


def pretrain_takes(plan: PlanOptions, layout: Layout) -> bool:
    """Whether the real configuration of a run accepts a layout."""
    try:
        PretrainConfig(
            model=plan.model,
            data=DataConfig(prefixes=["x"], tokenizer="x", sequence_length=plan.row_length),
            parallel=layout.parallel,
            training=TrainingConfig(
                output="x",
                train_steps=1,
                global_batch_size=plan.global_batch_size,
                micro_batch_size=layout.micro_batch_size,
            ),
        )
        rows, rest = divmod(plan.global_batch_size, layout.data_parallel * layout.micro_batch_size)
        layout.parallel.shard_size(layout.data_parallel)
        layout.parallel.check_microbatches(rows)
    except ConfigurationError:
        return False
    return rest == 0


def test_planner_and_training_refuse_the_same_layouts() -> None:
    plan = options(sequence_length=1020)
    grid = product(
        (1, 2, 4, 8),
        (1, 2, 4, 32),
        ("1f1b", "interleaved", "zero_bubble", "zbv"),
        (1, 2, 3, 8),
        (1, 3),
        (True, False),
    )
    accepted = refused = 0
    for tp, pp, schedule, data, rows, sequence in grid:
        parallel = ParallelConfig(
            tensor_parallel=tp,
            pipeline_parallel=pp,
            pipeline_schedule=schedule,  # type: ignore[arg-type]
            data_parallel=data,
            sequence_parallel=sequence,
        )
        layout = Layout(parallel=parallel, micro_batch_size=rows)
        problem = layout_problem(workload_of(plan), layout)
        assert (problem is None) == pretrain_takes(plan, layout), (parallel, rows, problem)
        accepted, refused = accepted + (problem is None), refused + (problem is not None)
    assert accepted > 20 and refused > 20


def test_everything_that_fits_is_valid_uses_all_gpus_and_is_in_order() -> None:
    plan = options(gpus=16, cluster={"gpus_per_node": 4})
    found = search(plan)
    assert found.fitting and all(one.layout.ranks == 16 for one in found.fitting)
    assert all(pretrain_takes(plan, one.layout) for one in found.fitting)
    assert all(one.layout.parallel.tensor_parallel <= 4 for one in found.fitting)
    assert all(one.memory.total <= found.usable == 0.9 * 39.6 * GIB for one in found.fitting)
    times = [one.time.total for one in found.fitting]
    assert times == sorted(times)
    assert found.best.time.total <= 1.01 * times[0]
    assert {one.layout.parallel.data_parallel_shard for one in found.fitting} >= {None, 4}
    assert len(listed(found, 5)) == 5


def test_the_best_is_the_simplest_of_those_that_are_as_fast() -> None:
    found = search(
        options(preset="biomegatron-345m", vocab_size=30_000, gpu="A100-80GB", global_batch_size=1024)
    )
    limit = 1.01 * found.fitting[0].time.total
    close = [one.layout for one in found.fitting if one.time.total <= limit]
    assert {layout.parallel.zero for layout in close} == {0, 1, 2, 3}
    best = found.best.layout
    assert (best.ranks, best.data_parallel, best.parallel.zero, best.parallel.recompute) == (8, 8, 1, "none")
    same = [layout.micro_batch_size for layout in close if layout.parallel == best.parallel]
    assert best.micro_batch_size == max(same) > min(same)
    assert "zero 1: sharing otherwise is no more than 1 % faster." in why_best(found)


def test_the_reason_says_why_this_zero_and_this_recomputation() -> None:
    assert re.search(
        r"zero 3: 1 takes \d+\.\d% longer; 0 does not fit",
        why_best(search(options(gpus=128, global_batch_size=1024))),
    )
    assert "zero 2 is given by --zero." in why_best(search(options(zero=2)))
    given = why_best(search(options(micro_batch_size=16)))
    assert re.search(r"recompute \w+: without it micro_batch_size 16 needs \d+\.\d GiB", given)
    assert "recompute full is given by --recompute." in why_best(search(options(recompute="full")))


def test_the_peak_over_distinct_ranks_is_the_peak_over_all() -> None:
    plan = options(gpus=32)
    work = workload_of(plan)
    checked = 0
    for split in splits(plan, cluster_of(plan)):
        for kind, every in (("none", 1), ("selective", 3)):
            layout = Layout(
                parallel=replace(split, recompute=kind, recompute_every=every), micro_batch_size=1
            )  # type: ignore[arg-type]
            if layout.parallel.pipeline_parallel == 1 or layout_problem(work, layout):
                continue
            ranks = range(layout.parallel.pipeline_parallel)
            assert peak_memory(work, layout).total == max(
                rank_memory(work, layout, rank).total for rank in ranks
            )
            checked += 1
    assert checked > 50


def test_fixed_options_are_kept() -> None:
    fixed = {
        "tensor_parallel": 2,
        "pipeline_parallel": 2,
        "zero": 3,
        "recompute": "selective",
        "micro_batch_size": 2,
    }
    found = search(options(**fixed, pipeline_schedule="interleaved"))
    assert found.fitting
    for one in found.fitting:
        for name, value in fixed.items():
            assert getattr(one.layout if name == "micro_batch_size" else one.layout.parallel, name) == value
        assert one.layout.parallel.pipeline_schedule == "interleaved"


def test_1f1b_with_fewer_microbatches_than_stages_is_refused_as_in_training() -> None:
    fixed = {"pipeline_parallel": 8, "pipeline_schedule": "1f1b"}
    with pytest.raises(NothingFitsError, match="1f1b: too few microbatches"):
        main_plan(options(global_batch_size=8, micro_batch_size=4, **fixed))
    found = search(options(global_batch_size=8, **fixed))
    assert {one.layout.micro_batch_size for one in found.fitting} == {1}


def test_fixed_options_that_exclude_each_other() -> None:
    plan = options(pipeline_parallel=2, pipeline_schedule="zbv", recompute="full")
    with pytest.raises(NothingFitsError, match=r"recompute full cannot be combined with .* zbv"):
        main_plan(plan)


@pytest.mark.parametrize("fixed", [{}, {"pipeline_parallel": 4, "tensor_parallel": 2, "recompute": "full"}])
def test_recipe_lines_are_a_recipe(fixed: dict[str, Any]) -> None:
    plan = options(token_budget=1e9, optimizer_implementation="fused", **fixed)
    found = search(plan)
    recipe = yaml.safe_load("\n".join(recipe_lines(found, plan)))
    given = ParallelConfig(**recipe["parallel"])
    best = found.best.layout.parallel
    assert given == replace(best, sequence_parallel=given.sequence_parallel)
    assert given.sequence_parallel == best.sequence_parallel or best.tensor_parallel == 1
    steps = -(-(10**9) // (128 * 1024))
    assert recipe["training"] == {
        "global_batch_size": 128,
        "micro_batch_size": found.best.layout.micro_batch_size,
        "precision": "bf16",
        "train_steps": steps,
    }
    TrainingConfig(output="x", **recipe["training"])
    assert OptimizerConfig(**recipe["optimizer"]).implementation == "fused"
    assert recipe["data"] == {"sequence_length": 1024}
    assert recipe["model"]["hidden_size"] == 2560 and "vocab_size" not in recipe["model"]


@pytest.mark.parametrize(
    "given",
    [
        ("--model.preset", "biomedlm-2.7b", "--model.hidden_dropout", "0", "--model.attention_dropout", "0"),
        ("--model.preset", "bert-110m", "--model.vocab_size", "30522", "--model.layernorm_epsilon", "1e-12"),
        ("--model.num_layers", "4", "--model.vocab_size", "30522", "--masked_lm_probability", "0.2"),
        ("--model.norm_order", "post", "--model.order_head", "false", "--model.vocab_size", "30522"),
    ],
)
def test_recipe_lines_work_as_they_are_printed(
    given: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["plan", *given, "--global_batch_size", "64", "--token_budget", "1e9"]) == 0
    printed = (
        capsys.readouterr()
        .out.partition("--config recipe.yaml --config layout.yaml:\n")[2]
        .partition("\n\n")[0]
    )
    recipe, lines = tmp_path / "recipe.yaml", tmp_path / "layout.yaml"
    recipe.write_text(
        "data: {prefixes: [x], tokenizer: x}\nparallel: {zero: 2}\n"
        "training: {output: x, train_steps: 1, global_batch_size: 8, micro_batch_size: 1}\n"
    )
    lines.write_text(printed)
    program = Program(name="megatron-bio pretrain", description="")
    config = parse_options(PretrainConfig, ["--config", str(recipe), "--config", str(lines)], program)
    plan = parse_options(PlanOptions, [*given, "--global_batch_size", "64"], program)
    assert replace(config.model, vocab_size=plan.model.vocab_size) == plan.model
    assert config.data.sequence_length == plan.row_length
    assert config.data.masked_lm_probability == plan.masked_lm_probability or plan.model.architecture == "gpt"
    assert config.training.global_batch_size == 64 and config.parallel.data_parallel == 8
    assert config.training.micro_batch_size == search(plan).best.layout.micro_batch_size


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--token_budget", "1e9", "--shown", "3"]) == 0
    text = capsys.readouterr().out
    for words in (
        "335,773,058 parameters",
        "80 masked slots",
        "GPU-hours",
        "* Best: tensor_parallel 1",
        "Left out (splits, or",
        "For the recipe:",
    ):
        assert words in text
    assert "other libraries" in text and "Attention dropout takes" in text
    table = text.split("\n\n")[1].splitlines()
    assert "tokens/s" in table[0]
    assert [line.removeprefix("*").split()[0] for line in table[1:]] == ["1", "2", "3"]
    assert [line.startswith("*") for line in table[1:]].count(True) == 1
    names = re.split(r" {2,}", table[0].strip())
    found = search(
        options(preset="biomegatron-345m", vocab_size=30_000, global_batch_size=256, token_budget=1e9)
    )
    for line, one in zip(table[1:], listed(found, 3), strict=True):
        cells = dict(zip(names, line.removeprefix("*").split()[1:], strict=True))
        parallel, memory = one.layout.parallel, one.memory
        sizes = (
            parallel.tensor_parallel,
            parallel.pipeline_parallel,
            one.layout.data_parallel,
            parallel.zero,
        )
        assert [int(cells[name]) for name in ("tp", "pp", "dp", "zero")] == list(sizes)
        assert int(cells["rows"]) == one.layout.micro_batch_size and cells["recompute"] == parallel.recompute
        parts = ("weights", "gradients", "optimizer", "activations", "logits", "buffers", "total")
        for column, part in zip(
            ("weights", "grads", "optim", "activ", "logits", "buffers", "GiB"), parts, strict=True
        ):
            assert float(cells[column]) == pytest.approx(getattr(memory, part) / 2**30, abs=0.051)
        seconds = one.time.total
        steps = -(-(10**9) // (256 * 512))
        assert float(cells["step s"]) == pytest.approx(seconds, rel=0.006)
        assert float(cells["tokens/s"].replace(",", "")) == pytest.approx(256 * 512 / seconds, abs=1)
        assert float(cells["MFU"].rstrip("%")) == pytest.approx(100 * one.mfu, abs=0.051)
        assert float(cells["days"]) == pytest.approx(steps * seconds / 86_400, abs=0.0051)
        assert float(cells["GPU-hours"]) == pytest.approx(steps * seconds * 8 / 3600, abs=0.51)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--json", "--token_budget", "1e9"]) == 0
    found = json.loads(capsys.readouterr().out)
    first = found["layouts"][0]
    parts = first["memory"]
    assert parts["total"] == sum(size for name, size in parts.items() if name != "total")
    assert set(parts) > {"weights", "gradients", "optimizer", "activations", "logits"}
    assert first["gpu_hours"] == pytest.approx(first["days"] * 24 * 8)
    assert first["tokens_per_second"] == pytest.approx(256 * 512 / first["time"]["total"])
    assert sum(found["parameters"].values()) == 335_773_058
    why = found["best"].pop("why")
    assert why.startswith("It needs") and found["best"] in found["layouts"]


@pytest.mark.parametrize("shown", [1, 2, 10])
def test_the_best_is_listed(shown: int) -> None:
    plan = options(preset="biomegatron-345m", vocab_size=30_000, gpu="A100-80GB", global_batch_size=1024)
    found = search(plan)
    # Were many layouts 0.5 % faster, the simplest would still be the best.
    fitting = [
        replace(one, time=replace(one.time, compute=0.995 * one.time.compute))
        if one.layout.parallel.zero > 1
        else one
        for one in found.fitting
    ]
    found = replace(found, fitting=sorted(fitting, key=lambda one: one.time.total))
    assert found.best.layout.parallel.zero == 1 < found.fitting[0].layout.parallel.zero
    rows = listed(found, shown)
    assert len(rows) == shown and rows.count(found.best) == 1
    assert [one.time.total for one in rows] == sorted(one.time.total for one in rows)


def test_nothing_fits_names_the_closest_and_what_to_change() -> None:
    with pytest.raises(
        NothingFitsError, match=r"closest is .*needs 4\d\.\d GiB .*optimizer.* try about --cluster.gpus 3"
    ) as error:
        main_plan(options(gpus=1, gpu="RTX-4090"))
    assert "too little memory" in str(error.value)
    with pytest.raises(NothingFitsError, match="--micro_batch_size below 128 or --recompute full"):
        main_plan(options(gpus=1, gpu="A100-80GB", micro_batch_size=128, recompute="none"))
    with pytest.raises(NothingFitsError, match="does not divide the global batch 127"):
        main_plan(options(gpus=8, global_batch_size=127, tensor_parallel=1, pipeline_parallel=1))


def test_more_gpus_are_whole_nodes_and_are_not_the_remedy_where_nothing_is_shared() -> None:
    large = {"preset": "biomedlm-2.7b", "gpu": "L4", "recompute": "full", "micro_batch_size": 1, "zero": 1}
    alone = {"tensor_parallel": 1, "pipeline_parallel": 1}
    with pytest.raises(NothingFitsError, match=r"share: try about --cluster.gpus (\d+),") as error:
        main_plan(options(gpus=2, cluster={"gpus_per_node": 2}, **large, **alone))
    assert (found := re.search(r"gpus (\d+),", str(error.value))) and int(found[1]) % 2 == 0 < int(
        found[1]
    ) - 2
    with pytest.raises(
        NothingFitsError, match="not share with --zero 0 --tensor_parallel 1 --pipeline_parallel 1: free"
    ):
        main_plan(options(gpus=8, **(large | {"zero": 0}), **alone))


@pytest.mark.parametrize(
    ("gpus", "fixed", "message"),
    [
        (8, {"tensor_parallel": 3}, "--tensor_parallel 3 does not divide the 8 GPUs of a node"),
        (8, {"pipeline_parallel": 3}, "--pipeline_parallel 3 does not divide the 8 GPUs"),
        (64, {"pipeline_parallel": 64}, "--pipeline_parallel 64 is more than the 32 layers"),
        (8, {"zero": 2, "pipeline_parallel": 2}, "--zero 2 cannot be combined with --pipeline_parallel"),
        (1, {"zero": 3}, "--zero 3 has no meaning with one data-parallel rank"),
        (8, {"zero": 3, "tensor_parallel": 8}, "--zero 3 has no meaning with one data-parallel rank"),
    ],
)
def test_options_that_leave_nothing_are_named(gpus: int, fixed: dict[str, Any], message: str) -> None:
    with pytest.raises(NothingFitsError, match=message) as error:
        main_plan(options(gpus=gpus, **fixed))
    assert "global_batch_size" not in str(error.value)


def main_plan(plan: PlanOptions) -> None:
    from megatron_bio.planning.plan import plan as verb

    verb(plan)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gpu": "A100"}, "A100-40GB"),
        ({"gpus": 12}, "whole number of nodes"),
        ({"reserve": 1.0}, "cluster.reserve"),
        ({"memory_gib": 0.0}, "cluster.memory_gib"),
    ],
)
def test_impossible_clusters(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ClusterOptions(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sequence_length": 2048}, "max_position_embeddings 1024"),
        ({"gpu": "V100-32GB"}, "tensor cores"),
        ({"token_budget": 0.0}, "token_budget"),
        ({"global_batch_size": 0}, "global_batch_size"),
    ],
)
def test_impossible_plans(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        options(**values)


def test_a_model_without_vocabulary_is_told_what_to_give() -> None:
    with pytest.raises(ConfigurationError, match="30522 for BERT's"):
        PlanOptions(global_batch_size=8)


def test_own_numbers_stand_for_an_unknown_gpu() -> None:
    own = {"memory_gib": 64.0, "peak_tflops": 400.0, "memory_gb_per_second": 1600.0}
    cluster = cluster_of(options(gpu="MI250", cluster=own))
    assert (cluster.name, cluster.memory, cluster.peak, cluster.bandwidth) == ("MI250", 64.0, 400.0, 1600.0)
    assert cluster_of(options(gpu="H200", precision="fp32")).peak == 66.9
