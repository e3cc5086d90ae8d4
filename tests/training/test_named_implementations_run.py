"""Norms and products that a recipe names are what its run computes with."""

from collections import Counter
from pathlib import Path

import pytest

from megatron_bio.config.pretrain import PretrainConfig
from tests.distributed.pool import Pool
from tests.distributed.tiny_run import config, make_data, records, train
from tests.parallel.implementations import own

HERE = "tests.parallel.implementations.own"


def train_counting(run: PretrainConfig) -> Counter[str]:
    """Train and return how often each function of one's own was called."""
    calls: Counter[str] = Counter()

    def counting(function):
        def counted(*inputs):
            calls[function.__name__] += 1
            return function(*inputs)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for function in (own.norm, own.linear):
            patch.setattr(own, function.__name__, counting(function))
        train(run, 1)
    return calls


def test_a_run_computes_with_what_its_recipe_names(pool: Pool, tmp_path: Path) -> None:
    make_data(tmp_path, "bert")
    pool.run(train, 1, config(tmp_path, "bert", "torch", train_steps=2), 1)
    named = config(tmp_path, "bert", "own", train_steps=2, norm=f"{HERE}:norm", linear=f"{HERE}:linear")
    (calls,) = pool.run(train_counting, 1, named)
    assert calls["norm"] > 0 and calls["linear"] > calls["norm"], calls
    found, expected = (
        [record["loss"] for record in records(tmp_path / output)] for output in ("own", "torch")
    )
    assert len(found) == 3, "two steps and an evaluation"
    assert found == pytest.approx(expected, rel=1e-5)
