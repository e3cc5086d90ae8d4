"""The filters keep what transformers' keep, with its probabilities; draws follow them and depend on their place alone."""

import pytest
import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from megatron_bio.generation.continuation import Continuation
from megatron_bio.generation.sampling import Sampling, draw, next_tokens, probabilities


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(6, 300, generator=torch.Generator().manual_seed(3)) * 3


@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
@pytest.mark.parametrize("top_k", [0, 1, 7, 299, 5000])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.35, 1e-6])
def test_filters_are_those_of_transformers(
    logits: torch.Tensor, temperature: float, top_k: int, top_p: float
) -> None:
    theirs = LogitsProcessorList([TemperatureLogitsWarper(temperature)] if temperature != 1.0 else [])
    if top_k:
        theirs.append(TopKLogitsWarper(top_k))
    if top_p < 1.0:
        theirs.append(TopPLogitsWarper(top_p))
    expected = theirs(torch.zeros(6, 1, dtype=torch.int64), logits.clone()).softmax(-1)
    found = probabilities(logits, Sampling(temperature, top_k, top_p, 0))
    assert torch.equal(found > 0, expected > 0)
    assert (found - expected).abs().max() < 1e-6


def test_tied_tokens_stay_together() -> None:
    logits = torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0]])
    found = probabilities(logits, Sampling(1.0, 2, 1.0, 0))
    assert (found > 0).tolist() == [[False, True, True, True, False]]


@pytest.mark.parametrize("temperature", [1e-30, 1e-40, 1e-60])
def test_the_smallest_temperatures_take_the_likeliest(logits: torch.Tensor, temperature: float) -> None:
    tokens = next_tokens(logits, Sampling(temperature, 7, 0.9, 0), [0.999] * len(logits))
    assert torch.equal(tokens, logits.argmax(-1))


def test_draws_follow_the_probabilities(logits: torch.Tensor) -> None:
    sampling = Sampling(1.0, 8, 0.9, 0)
    number = 20_000
    expected = probabilities(logits[:1], sampling)[0]
    draws = [draw(11, 1, 1, position) for position in range(number)]
    tokens = next_tokens(logits[:1].expand(number, -1), sampling, draws)
    counts = torch.bincount(tokens, minlength=logits.shape[1])
    kept = expected > 0
    assert 2 < kept.sum() <= 8
    assert counts[~kept].sum() == 0
    statistic = ((counts[kept] - number * expected[kept]) ** 2 / (number * expected[kept])).sum()
    assert statistic < 24.3, "chi-square with at most 7 degrees of freedom exceeds this once in a thousand"


@pytest.mark.parametrize("number", [0.0, 1.0 - 2.0**-48])
def test_extreme_draws_take_kept_tokens(logits: torch.Tensor, number: float) -> None:
    sampling = Sampling(1.0, 5, 1.0, 0)
    kept = probabilities(logits, sampling) > 0
    tokens = next_tokens(logits, sampling, [number] * 6)
    assert kept[torch.arange(6), tokens].all()


def test_a_draw_belongs_to_one_place() -> None:
    places = [
        (seed, prompt, sample, at)
        for seed in (0, 1)
        for prompt in (1, 11)
        for sample in (1, 11)
        for at in (1, 11)
    ]
    draws = {draw(*place) for place in places}
    assert len(draws) == len(places)
    assert draws == {draw(*place) for place in places}
    assert all(0.0 <= number < 1.0 for number in draws)


def test_each_position_of_a_text_has_its_own_draw() -> None:
    text = Continuation(prompt_number=3, sample=2, prompt=[5, 6], limit=9)
    for position in (2, 3, 4):
        assert text.next_draw(7) == draw(7, 3, 2, position)
        text.new.append(1)
