import pytest

from megatron_bio.downstream.evaluation.summary import numbers, summary


def run(f1: float, **others: float) -> dict[str, object]:
    return {
        "parts": {
            "test": {
                "scores": {"overall": {"f1": f1}, "by_type": {name: {"f1": v} for name, v in others.items()}}
            }
        }
    }


def test_mean_and_deviation_of_a_sample() -> None:
    found = summary([run(80.0), run(82.0), run(87.0)])["test"]["overall/f1"]
    assert found["mean"] == pytest.approx(83.0)
    assert found["deviation"] == pytest.approx(13**0.5)
    assert found["seeds"] == 3


def test_one_seed_has_no_deviation() -> None:
    assert summary([run(80.0)])["test"]["overall/f1"] == {"mean": 80.0, "deviation": None, "seeds": 1}


def test_a_measure_that_a_seed_lacks_is_over_those_that_have_it() -> None:
    found = summary([run(80.0, Gene=10.0), run(82.0)])["test"]
    assert found["by_type/Gene/f1"] == {"mean": 10.0, "deviation": None, "seeds": 1}
    assert found["overall/f1"]["seeds"] == 2


def test_numbers_are_found_at_any_depth() -> None:
    assert dict(numbers({"a": 1, "b": {"c": 2.5, "d": {"e": 3}}, "f": True, "g": "h", "i": None})) == {
        "a": 1.0,
        "b/c": 2.5,
        "b/d/e": 3.0,
    }
