"""Packing changes nothing: a sample in a row with others gets the logits, losses and gradients that it gets alone."""

from collections.abc import Callable

import numpy as np
import pytest

from megatron_bio.config.model import ModelConfig
from tests.distributed.pool import Pool
from tests.models.packed_rows import Arrays, bert_rows, differences, gpt_rows, tensor_parallel, tiny_model

TOLERANCE = 1e-5
ROWS: dict[str, Callable[[], Arrays]] = {"bert": bert_rows, "gpt": gpt_rows}
LAYOUTS = [(1, False), (2, False), (2, True)]
MODELS: dict[str, ModelConfig] = {
    "bert": tiny_model("bert"),
    "gpt": tiny_model("gpt"),
    "bert with norms after the sums": tiny_model("bert", norm_order="post"),
    "gpt with scaled attention": tiny_model("gpt", scale_attention_by_inverse_layer=True),
}


def test_rows_are_worth_comparing() -> None:
    rows = bert_rows()
    counts = rows["segment_ids"].max(axis=1)
    assert {0, 1, 2, 8} <= set(counts.tolist())
    assert (rows["segment_ids"][:2] > 0).all() and (rows["segment_ids"][2:] == 0).any(axis=1).all()
    assert rows["masked_weights"].sum() > 2 * counts.sum() > rows["order_weights"].sum() > counts.sum() / 2
    assert gpt_rows()["label_weights"].sum() == (rows["segment_ids"] > 0).sum() - counts.sum()


@pytest.mark.parametrize(("tp", "sequence_parallel"), LAYOUTS)
@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_sample_in_a_packed_row_equals_the_sample_alone(
    name: str, tp: int, sequence_parallel: bool, pool: Pool
) -> None:
    check_packing(pool, MODELS[name], tp, sequence_parallel)


@pytest.mark.parametrize(
    ("tp", "sequence_parallel"), [(1, False), pytest.param(2, True, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ROWS])
def test_so_it_is_in_the_variants(name: str, tp: int, sequence_parallel: bool, pool: Pool) -> None:
    check_packing(pool, MODELS[name], tp, sequence_parallel)


def check_packing(pool: Pool, model: ModelConfig, tp: int, sequence_parallel: bool) -> None:
    layout = tensor_parallel(tp, sequence_parallel)
    found = pool.run(differences, tp, ROWS[model.architecture](), model, layout, tp)
    for on_rank in found:
        wrong = {name: value for name, value in on_rank.items() if not value <= TOLERANCE}
        assert not wrong, on_rank


@pytest.mark.parametrize("architecture", ROWS)
@pytest.mark.parametrize("fault", ["one segment", "positions go on"])
def test_comparison_notices_rows_that_are_packed_wrongly(architecture: str, fault: str, pool: Pool) -> None:
    rows = ROWS[architecture]()
    right = rows["segment_ids"].copy()
    if fault == "positions go on":
        rows["position_ids"] = np.broadcast_to(np.arange(right.shape[1]), right.shape).copy()
        function = differences
    else:
        function = differences_without_segments
    (found,) = pool.run(function, 1, rows, tiny_model(architecture), tensor_parallel(1, False), 1)
    expected = {"logits", "loss", "gradients"} | ({"order logits"} if architecture == "bert" else set())
    noticed = {name for name, value in found.items() if value > 1e-3}
    assert expected <= noticed, found


def differences_without_segments(*arguments: object) -> dict[str, float]:
    """Return `differences` of a model whose attention does not look at the segments."""
    from megatron_bio.models import transformer
    from tests.models import packed_rows

    original = transformer.attention_pattern
    transformer.attention_pattern = lambda segments, *rest: original(segments.clamp(max=1), *rest)
    try:
        return packed_rows.differences(*arguments)  # type: ignore[arg-type]
    finally:
        transformer.attention_pattern = original
