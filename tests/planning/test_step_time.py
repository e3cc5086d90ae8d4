"""Predicted speed against published runs, and that each term of a step reacts as it should."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.costs import parameter_count, training_flops_per_row
from megatron_bio.config.model import PRESETS, ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.plan import ClusterOptions, PlanOptions
from megatron_bio.planning import step_time as constants
from megatron_bio.planning.cluster import Cluster
from megatron_bio.planning.layout import Layout
from megatron_bio.planning.report import speed
from megatron_bio.planning.search import cluster_of, search, workload_of
from megatron_bio.planning.step_time import bubble_microbatches, matmul_share, step_time
from tests.planning.published import FITTED, PREDICTED, Row

DOCUMENT = Path(__file__).parents[2] / "docs" / "planning.md"
OUTSIDE = {"llm-foundry 760m, 512 tokens, 8 x A100-80GB", "Megatron-LM 1T, 2048 tokens, 512 x A100-80GB"}
"""Rows that the model misses by more than 20 %; docs/planning.md shows them too."""


def ratio(row: Row) -> float:
    return row.predicted_tokens / row.published_tokens


def share_that_fits(row: Row, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the part of the peak at which the prediction is the published number."""
    monkeypatch.setattr(constants, "PEAK_EXPONENT", 0.0)
    monkeypatch.setattr(constants, "LARGEST_SHARE", 1.0)
    low, high = 0.1, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        monkeypatch.setattr(constants, "MATMUL_SHARE", middle)
        low, high = (middle, high) if ratio(row) < 1 else (low, middle)
    monkeypatch.undo()
    return low


def test_the_constants_are_those_that_two_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = (share_that_fits(row, monkeypatch) for row in FITTED)
    exponent = math.log(slow / fast) / math.log(FITTED[1].cluster.peak / FITTED[0].cluster.peak)
    assert pytest.approx(slow, rel=1e-3) == constants.MATMUL_SHARE
    assert pytest.approx(exponent, rel=1e-2) == constants.PEAK_EXPONENT


@pytest.mark.parametrize("row", PREDICTED, ids=lambda row: row.name)
def test_other_rows_are_predicted(row: Row) -> None:
    assert (abs(ratio(row) - 1) <= 0.2) == (row.name not in OUTSIDE), ratio(row)
    assert abs(ratio(row) - 1) < 0.3


def test_at_least_five_sizes_gpus_and_node_counts_are_within_twenty_percent() -> None:
    good = [row for row in PREDICTED if abs(ratio(row) - 1) <= 0.2]
    assert len(good) >= 5 and not set(good) & set(FITTED)
    assert len({row.shape for row in good}) >= 5
    assert len({row.gpu for row in good}) == 3 and len({row.gpus for row in good}) >= 4


@pytest.mark.parametrize("row", [row for row in FITTED + PREDICTED if row.tokens], ids=lambda row: row.name)
def test_the_assumed_shapes_reproduce_the_published_utilisation(row: Row) -> None:
    """llm-foundry counts 6 N and 12 L H S operations per token."""
    layers, hidden, _ = row.shape
    parameters = 12 * layers * hidden**2 + row.vocabulary * hidden
    flops = 6 * parameters + 12 * layers * hidden * row.length
    assert flops * (row.tokens or 0) / (row.cluster.peak * 1e12) == pytest.approx(row.mfu, abs=0.003)


def test_the_document_shows_these_numbers() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for row in FITTED + PREDICTED:
        line = (
            f"| {row.name} | {row.predicted_tokens:,.0f} | {row.published_tokens:,.0f} | {ratio(row):.2f} |"
        )
        assert line in text, f"docs/planning.md should say\n{line}"


def test_published_utilisation_of_biomedlm() -> None:
    """128 A100-40GB, 300e9 tokens, 6.25 days: 21.7 % by 6 N."""
    parameters = sum(parameter_count(biomedlm(0.0).model).values())
    seconds, peak = 6.25 * 86_400, cluster_of(biomedlm(0.0)).peak
    used = 6 * parameters * 300e9 / seconds / (128 * peak * 1e12)
    assert used == pytest.approx(0.217, abs=0.0007)
    assert 300e9 / seconds / 128 == pytest.approx(4_340, abs=1)
    row = training_flops_per_row(biomedlm(0.0).model, 1024, 1024)
    assert row / 1024 * 300e9 / seconds / (128 * peak * 1e12) == pytest.approx(0.230, abs=0.0005)


def biomedlm(dropout: float) -> PlanOptions:
    values = dict(PRESETS["biomedlm-2.7b"]) | {"hidden_dropout": dropout, "attention_dropout": dropout}
    return PlanOptions(
        model=ModelConfig(**values),
        cluster=ClusterOptions(gpu="A100-40GB", gpus=128),
        global_batch_size=1024,
        token_budget=300e9,
    )


@pytest.mark.parametrize(("dropout", "days", "mfu"), [(0.0, 2.46, 58.5), (0.1, 7.06, 20.4)])
def test_what_this_library_would_need_for_biomedlm(dropout: float, days: float, mfu: float) -> None:
    found = search(biomedlm(dropout))
    assert speed(found, biomedlm(dropout), found.best)["days"] == pytest.approx(days, abs=0.005)
    assert found.best.mfu * 100 == pytest.approx(mfu, abs=0.05)
    assert f"| {days:.2f} | {mfu:.1f} % |" in DOCUMENT.read_text(encoding="utf-8")


def cluster(**more: Any) -> Cluster:
    values: dict[str, Any] = {"gpus": 32, "gpus_per_node": 8, "intra_node": 300.0, "inter_node": 25.0}
    return Cluster(name="x", peak=312.0, memory=80.0, **({"bandwidth": 2000.0} | values | more))


def layout(micro_batch: int = 2, **more: Any) -> Layout:
    parallel = ParallelConfig(**more)
    ranks = parallel.tensor_parallel * parallel.pipeline_parallel
    return Layout(parallel=replace(parallel, data_parallel=32 // ranks), micro_batch_size=micro_batch)


def test_links() -> None:
    assert cluster().link(8, 1) == 300.0
    assert cluster().link(4, 2) == 300.0
    assert cluster().link(32, 1) == 200.0  # eight adapters side by side
    assert cluster().link(4, 8) == 25.0  # one rank per node
    assert cluster(inter_node=100.0).link(32, 1) == 300.0


@pytest.mark.parametrize(
    ("schedule", "stages", "expected"),
    [("1f1b", None, 3.0), ("interleaved", 2, 1.5), ("zero_bubble", 2, 0.5), ("zbv", 2, 0.0)],
)
def test_bubble(schedule: Any, stages: int | None, expected: float) -> None:
    split = layout(pipeline_parallel=4, pipeline_schedule=schedule, stages_per_rank=stages)
    assert bubble_microbatches(FITTED[0].workload, split) == expected


def test_each_term_reacts_to_its_cause() -> None:
    work = replace(FITTED[0].workload, global_batch_size=256)
    plain = step_time(work, layout(), cluster())
    assert plain.bubble == plain.pipeline == plain.tensor_parallel == 0.0 < plain.data_parallel
    again = step_time(work, layout(recompute="full"), cluster())
    assert 1.2 < again.compute / plain.compute < 1.4
    half = step_time(work, layout(recompute="full", recompute_every=2), cluster())
    assert plain.compute < half.compute < again.compute
    assert step_time(work, layout(zero=0), cluster(inter_node=1.0)).data_parallel > 1.0
    hybrid = step_time(work, layout(zero=3, data_parallel_shard=8), cluster(inter_node=0.5))
    assert hybrid.data_parallel < step_time(work, layout(zero=3), cluster(inter_node=0.5)).data_parallel


def test_each_term_is_the_number_computed_by_hand() -> None:
    """The 3b row on 32 GPUs: 32 layers, H 2560, 20 heads, S 1024, bf16; rates are 0.8 of a link and of the memory."""
    work = replace(FITTED[0].workload, global_batch_size=256)
    row = 2 * 1024 * 2 * 2560  # e S R H with two rows
    tensor = step_time(work, layout(tensor_parallel=4), cluster())  # 8 data ranks of 16 microbatches
    assert tensor.tensor_parallel == pytest.approx(16 * 32 * 8 * row * 3 / 4 / 240e9)
    again = step_time(work, layout(tensor_parallel=4, recompute="full"), cluster())
    assert again.tensor_parallel == pytest.approx(16 * 32 * 11 * row * 3 / 4 / 240e9)
    # Pipeline of 4, 8 data ranks: stages lie 8 GPUs apart, so sends cross nodes; one there and one back per microbatch.
    piped = step_time(work, layout(pipeline_parallel=4), cluster())
    assert piped.pipeline == pytest.approx(16 * 2 * row / 20e9)
    assert piped.bubble == pytest.approx(3 * piped.compute / 16)
    # AdamW passes 100 bytes per element through memory, fused 48.
    block, rest = 12 * 2560**2 + 13 * 2560, (50_432 + 1024 + 2) * 2560
    whole = step_time(work, layout(zero=0), cluster())
    assert whole.optimizer == pytest.approx(100 * (32 * block + rest) / 1600e9)
    fused = step_time(replace(work, fused_optimizer=True), layout(zero=0), cluster())
    assert fused.optimizer == pytest.approx(48 * (32 * block + rest) / 1600e9)
    # zero 0: an all-reduce of float32 gradients by 32 ranks over eight adapters per node.
    assert whole.data_parallel == pytest.approx(2 * 4 * (32 * block + rest) * 31 / 32 / 160e9)


def test_computation_is_operations_and_bytes() -> None:
    """One layer's products and those of the output layer at the fitted share, and what lies between at the memory's rate."""
    work = replace(FITTED[0].workload, global_batch_size=64)
    whole = step_time(work, layout(zero=0), cluster()).compute
    free = step_time(work, layout(zero=0), cluster(bandwidth=1e9)).compute  # one microbatch of two rows
    products = 32 * (2 * 1024 * 12 * 2560**2 + 4 * 1024**2 * 2560) + 1024 * 2 * 2560 * 50_432
    assert free == pytest.approx(2 * 3 * products / (312e12 * constants.MATMUL_SHARE), rel=1e-4)
    # Bytes of bf16 at 2048 positions, forward and twice that backward: 14 H of the stream, 2 x 4 H of the MLP, 6 H of the core
    # in each layer; 20 H at the embeddings; 66 for each logit; and 24 for the cast of each weight.
    elements = 32 * (12 * 2560**2 + 13 * 2560) + (50_432 + 1024 + 2) * 2560
    moved = 2048 * (2 * 2560 * (32 * 3 * 28 + 20) + 66 * 50_432) + 24 * elements
    assert whole - free == pytest.approx(moved / 1600e9, rel=1e-4)


def waited_for_data_parallel(microbatches: int, zero: Any, speed: float, node: int = 8, pp: int = 1) -> float:
    """Seconds that BioMedLM on 16 A100 waits in a step of so many microbatches of 4 rows."""
    split = layout(4, zero=zero, pipeline_parallel=pp)
    split = replace(split, parallel=replace(split.parallel, data_parallel=16 // pp))
    work = replace(workload_of(biomedlm(0.0)), global_batch_size=4 * 16 // pp * microbatches)
    return step_time(work, split, cluster(gpus=16, gpus_per_node=node, inter_node=speed)).data_parallel


def test_messages_hide_behind_the_microbatches_that_run_beside_them() -> None:
    blocks, root = 32 * (12 * 2560**2 + 13 * 2560), (28_928 + 1024 + 2) * 2560
    ring = 15 / 16 / (8 * 1.5e9 * 0.8)  # sixteen ranks over the shares of eight in a node
    gather, reduction = (2 * blocks + 4 * root) * ring, 4 * (blocks + root) * ring
    work = replace(workload_of(biomedlm(0.0)), global_batch_size=64)
    split = replace(layout(4).parallel, data_parallel=16)
    compute = step_time(work, Layout(parallel=split, micro_batch_size=4), cluster(gpus=16)).compute
    once = gather - compute / 3 + reduction - compute * 2 / 3
    assert once == pytest.approx(1.1, abs=0.1)
    for count in (1, 4, 16):
        assert waited_for_data_parallel(count, 1, 1.5) == pytest.approx(once)
        reductions = gather - compute / 3 + count * (reduction - compute * 2 / 3)
        assert waited_for_data_parallel(count, 2, 1.5) == pytest.approx(reductions)
        everything = count * (2 * gather + reduction - compute)
        assert waited_for_data_parallel(count, 3, 1.5) == pytest.approx(everything)
    # Fast links: only the first gather and the last reduction of 33 units, 32 blocks and the rest, are seen.
    fast = (gather + reduction) * 12 / 200 / 33
    assert waited_for_data_parallel(8, 1, 25.0) == pytest.approx(fast)


def test_a_pipeline_reduces_once() -> None:
    few, many = (waited_for_data_parallel(count, 1, 1.5, 1, 2) for count in (4, 16))
    assert few == pytest.approx(many) and few > 1.0
    few, many = (waited_for_data_parallel(count, 3, 1.5, 1, 2) for count in (4, 16))
    assert few < many < 4 * few


def test_a_small_rank_cannot_be_faster_than_its_kernels_start() -> None:
    work = replace(FITTED[0].workload, sequence_length=8, predictions=8, global_batch_size=32)
    slow, fast = (step_time(work, layout(1), cluster(bandwidth=speed)).compute for speed in (1e6, 1e7))
    assert slow == fast > 0.0


def test_share_of_the_peak_falls_with_it_and_has_a_limit() -> None:
    assert matmul_share(312.0) > matmul_share(989.4) > 0.5
    assert matmul_share(1.0) == constants.LARGEST_SHARE


def test_no_constant_hides_in_the_document() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in ("MATMUL_SHARE", "PEAK_EXPONENT", "LARGEST_SHARE", "MEMORY_SHARE", "SPLIT_BACKWARD"):
        assert re.search(rf"`{name}` {getattr(constants, name):g}\b", text), name
