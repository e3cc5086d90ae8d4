"""Predicted activation memory against what autograd really saves."""

from dataclasses import dataclass

import pytest
import torch

from megatron_bio.config.costs import masked_budget
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
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

    def __str__(self) -> str:
        return f"{self.architecture}-dropout{self.dropout}-{self.precision}-tp{self.tp}{'-sp' * self.sequence}-rows{self.rows}"


CASES = [
    Case(architecture, dropout, precision, tp, sequence)
    for architecture in ("bert", "gpt")
    for dropout in (0.0, 0.1)
    for precision in ("fp32", "bf16")
    for tp, sequence in ((1, False), (2, False), (2, True))
] + [Case("gpt", 0.1, "bf16", rows=1, layers=1), Case("bert", 0.0, "fp32", rows=8, layers=5)]


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
    )
    return Workload(
        model=model,
        sequence_length=LENGTH,
        predictions=masked_budget(0.15, LENGTH) if case.architecture == "bert" else LENGTH,
        global_batch_size=case.rows,
        precision=case.precision,
    )


def layout(case: Case, **more: object) -> Layout:
    parallel = ParallelConfig(
        tensor_parallel=case.tp, data_parallel=1, sequence_parallel=case.sequence, **more
    )
    return Layout(parallel=parallel, micro_batch_size=case.rows)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_predicted_is_what_autograd_saves(pool: Pool, case: Case) -> None:
    work = workload(case)
    arguments = (
        work.model,
        DTYPES[case.precision],
        case.rows,
        LENGTH,
        work.predictions,
        case.tp,
        case.sequence,
    )
    measured = pool.run(saved_bytes, case.tp, *arguments)
    predicted = predicted_bytes(work, layout(case))
    for rank in measured:
        assert predicted == pytest.approx(rank["all"], rel=0.03), f"predicted {predicted:,}, saved {rank}"
