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
