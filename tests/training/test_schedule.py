import pytest

from megatron_bio.config.training import OptimizerConfig
from megatron_bio.training.schedule import learning_rate


def config(**values: object) -> OptimizerConfig:
    return OptimizerConfig(**({"lr": 1.0, "min_lr": 0.1, "warmup_steps": 10} | values))


def test_warmup_rises_linearly_to_the_peak() -> None:
    assert [learning_rate(step, 100, config()) for step in (1, 5, 10)] == pytest.approx([0.1, 0.5, 1.0])


@pytest.mark.parametrize(
    ("schedule", "middle", "end"), [("linear", 0.55, 0.1), ("cosine", 0.55, 0.1), ("constant", 1.0, 1.0)]
)
def test_decay(schedule: str, middle: float, end: float) -> None:
    values = [learning_rate(step, 110, config(lr_schedule=schedule)) for step in (10, 60, 110, 200)]
    assert values == pytest.approx([1.0, middle, end, end])


def test_cosine_falls_slowly_at_first() -> None:
    linear, cosine = (
        learning_rate(20, 110, config(lr_schedule=schedule)) for schedule in ("linear", "cosine")
    )
    assert cosine > linear


def test_fraction_gives_the_warmup_when_no_steps_are_given() -> None:
    assert learning_rate(5, 100, config(warmup_steps=None, warmup_fraction=0.1)) == pytest.approx(0.5)
    assert learning_rate(1, 100, config(warmup_steps=0)) > 0.9


def test_inverse_square_root_meets_the_peak_and_stops_at_the_least() -> None:
    inverse = config(lr_schedule="inverse_sqrt")
    values = [learning_rate(step, 110, inverse) for step in (5, 10, 40, 90, 100_000)]
    assert values == pytest.approx([0.5, 1.0, 0.5, 1 / 3, 0.1])
    assert learning_rate(4, 110, config(lr_schedule="inverse_sqrt", warmup_steps=0)) == pytest.approx(0.5)


def test_megatron_s_bert_decays_over_990_000_of_a_million_steps() -> None:
    bert = OptimizerConfig(lr=1e-4, min_lr=1e-5, warmup_fraction=0.01, decay_steps=990_000)
    values = [learning_rate(step, 1_000_000, bert) for step in (5_000, 10_000, 500_000, 990_000, 1_000_000)]
    assert values == pytest.approx([5e-5, 1e-4, 5.5e-5, 1e-5, 1e-5])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_decay_may_end_with_the_warmup_or_after_the_run(schedule: str) -> None:
    at_once = config(lr_schedule=schedule, decay_steps=10)
    assert [learning_rate(step, 100, at_once) for step in (10, 11)] == pytest.approx([1.0, 0.1])
    late = config(lr_schedule=schedule, decay_steps=190)
    assert learning_rate(100, 100, late) == pytest.approx(0.55)
