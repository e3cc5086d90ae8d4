"""The kernels that a run chooses are what its model computes with: those of its options, and no other."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.kernels import choice
from megatron_bio.kernels.choice import OPERATIONS
from tests.distributed.pool import Pool
from tests.distributed.tiny_run import config, make_data, records, train


class Launches(TorchDispatchMode):
    """Counts the custom operations by name; on a CPU each of them computes its reference."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, operation: Any, types: Any, inputs: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        if operation.namespace == "megatron_bio":
            self.counts[operation.__name__.split(".")[0]] += 1
        return operation(*inputs, **(options or {}))


def train_counting(run: PretrainConfig) -> Counter[str]:
    """Train as on a machine where the kernels can run, and return how often each was called."""
    with pytest.MonkeyPatch.context() as patch, Launches() as launches:
        patch.setattr(choice, "obstacle", lambda device: "")
        train(run, 1)
    return launches.counts


@pytest.mark.parametrize("architecture", ["bert", "gpt"])
def test_a_run_computes_with_the_kernels_it_chose(pool: Pool, tmp_path: Path, architecture: str) -> None:
    make_data(tmp_path, architecture)
    runs = [
        config(tmp_path, architecture, kernels, kernels=kernels, train_steps=2)
        for kernels in ("reference", "cuda")
    ]
    none, all_of_them = (pool.run(train_counting, 1, run)[0] for run in runs)
    assert not none
    without = set() if architecture == "bert" else {"rows_at"}
    parts = ("_backward", "_statistics", "_gradient")
    names = {name for name in all_of_them if not name.endswith(parts)} | {"cross_entropy"}
    assert names == set(OPERATIONS) - without
    assert all_of_them["cross_entropy_gradient"]
    found, expected = ([record["loss"] for record in records(Path(run.training.output))] for run in runs)
    assert found == pytest.approx(expected, rel=1e-5)
