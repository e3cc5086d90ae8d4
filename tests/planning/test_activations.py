"""Predicted activation memory against what autograd really saves."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from megatron_bio.config.costs import masked_budget
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.stages import Stage
from megatron_bio.planning.activations import block_bytes, head_bytes, stage_bytes
from megatron_bio.planning.activations import saved_bytes as predicted_bytes
from megatron_bio.planning.layout import Layout, Workload
from tests.distributed.pool import Pool
from tests.planning.measure import saved_bytes

LENGTH = 64
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    architecture: str
    dropout: float
    precision: str
    tp: int = 1
    sequence: bool = False
    rows: int = 3
    layers: int = 3
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.architecture}-dropout{self.dropout}-{self.precision}-tp{self.tp}{'-sp' * self.sequence}-rows{self.rows}{self.variant and f'-{self.variant}'}"


CASES = [
    Case(architecture, dropout, precision, tp, sequence)
    for architecture in ("bert", "gpt")
    for dropout in (0.0, 0.1)
    for precision in ("fp32", "bf16")
    for tp, sequence in ((1, False), (2, False), (2, True))
] + [Case("gpt", 0.1, "bf16", rows=1, layers=1), Case("bert", 0.0, "fp32", rows=8, layers=5)]
POST, SCALED = "post without order head", "scaled"
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    POST: {"norm_order": "post", "order_head": False},
    SCALED: {"scale_attention_by_inverse_layer": True},
}
CASES += [
    Case("bert", 0.0, "fp32", variant=POST),
    Case("bert", 0.1, "bf16", tp=2, sequence=True, variant=POST),
    Case("gpt", 0.0, "bf16", tp=2, sequence=True, variant=SCALED),
    Case("gpt", 0.1, "fp32", variant=SCALED),
]


def workload(case: Case) -> Workload:
    model = ModelConfig(
        architecture=case.architecture,
        num_layers=case.layers,
        hidden_size=128,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        vocab_size=500,
        hidden_dropout=case.dropout,
        attention_dropout=case.dropout,
        **VARIANTS[case.variant],
    )
    return Workload(
        model=model,
        sequence_length=LENGTH,
        predictions=masked_budget(0.15, LENGTH) if case.architecture == "bert" else LENGTH,
        global_batch_size=case.rows,
        precision=case.precision,
    )


def layout(case: Case, **more: Any) -> Layout:
    parallel = ParallelConfig(
        tensor_parallel=case.tp, data_parallel=1, sequence_parallel=case.sequence, **more
    )
    return Layout(parallel=parallel, micro_batch_size=case.rows)


def measure(
    pool: Pool, case: Case, parallel: ParallelConfig, stage: Stage | None = None
) -> list[dict[str, int]]:
    work = workload(case)
    arguments = (work.model, DTYPES[case.precision], case.rows, LENGTH, work.predictions, parallel, stage)
    return pool.run(saved_bytes, case.tp, *arguments)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_predicted_is_what_autograd_saves(pool: Pool, case: Case) -> None:
    predicted = predicted_bytes(workload(case), layout(case))
    for rank in measure(pool, case, layout(case).parallel):
        assert predicted == pytest.approx(rank["all"], rel=0.03), f"predicted {predicted:,}, saved {rank}"


@pytest.mark.parametrize(("kind", "every"), [("selective", 1), ("full", 1), ("full", 2)])
@pytest.mark.parametrize(
    "case",
    [
        Case("bert", 0.1, "bf16"),
        Case("bert", 0.0, "fp32"),
        Case("gpt", 0.1, "fp32", tp=2, sequence=True),
        Case("gpt", 0.0, "bf16"),
        Case("bert", 0.1, "fp32", tp=2, sequence=True, variant=POST),
        Case("gpt", 0.1, "bf16", variant=SCALED),
    ],
    ids=str,
)
def test_recomputation(pool: Pool, case: Case, kind: Any, every: int) -> None:
    split = layout(case, recompute=kind, recompute_every=every)
    predicted = predicted_bytes(workload(case), split)
    assert predicted < predicted_bytes(workload(case), layout(case))
    for rank in measure(pool, case, split.parallel):
        assert predicted == pytest.approx(rank["all"], rel=0.03), f"predicted {predicted:,}, saved {rank}"


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(
    "case",
    [
        Case("bert", 0.1, "bf16"),
        Case("gpt", 0.0, "fp32"),
        Case("bert", 0.1, "fp32", tp=2, sequence=True, variant=POST),
    ],
    ids=str,
)
def test_stages_of_a_pipeline(pool: Pool, case: Case, index: int) -> None:
    work, split = workload(case), layout(case, pipeline_parallel=3)
    (stage,) = split.stages(work, index)
    predicted = stage_bytes(work, split, stage, block_bytes(work, split))
    if stage.last:
        predicted += head_bytes(work, split).kept + head_bytes(work, split).probabilities
    for rank in measure(pool, case, split.parallel, stage):
        assert predicted == pytest.approx(rank["all"], rel=0.03), f"predicted {predicted:,}, saved {rank}"
