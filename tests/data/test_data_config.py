"""Impossible data settings are refused with the flag's name and what was found."""

import dataclasses

import pytest

from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError


def config(**changes: object) -> DataConfig:
    return DataConfig(**{"prefixes": ["corpus"], "tokenizer": "vocab", **changes})


def test_defaults_are_those_of_bert() -> None:
    found = config()
    assert (found.sequence_length, found.split, found.masked_lm_probability) == (512, (0.95, 0.05, 0.0), 0.15)
    assert found.masking == "whole_word" and not found.reset_at_document_end
    assert (found.packing, found.max_samples_per_row, found.sentence_order) == (True, 16, "sop")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.seed = 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prefixes": []}, r"data\.prefixes: expected at least one path"),
        ({"prefixes": [""]}, r"data\.prefixes: expected at least one path"),
        ({"prefixes": ["a", "b", "a"]}, r"data\.prefixes: a is given twice"),
        ({"prefixes": ["t/a", "./t//a"]}, r"data\.prefixes: t/a is given twice"),
        ({"sequence_length": 2**24 + 1}, r"data\.sequence_length: expected at most 16777216, found 16777217"),
        ({"sequence_length": 7}, r"data\.sequence_length: expected at least 8, found 7"),
        ({"split": (0.9, 0.05, 0.0)}, r"data\.split: .* found 0\.9, 0\.05, 0 with sum 0\.95"),
        ({"split": (1.1, -0.1, 0.0)}, r"data\.split: .* of 0 or more"),
        ({"split": (0.5, 0.5)}, r"data\.split: expected three fractions"),
        ({"split": (0.0, 1.0, 0.0)}, r"data\.split: the fraction for train is 0"),
        ({"masked_lm_probability": 0.0}, r"data\.masked_lm_probability: .* found 0\.0"),
        ({"masked_lm_probability": 1.0}, r"data\.masked_lm_probability: .* found 1\.0"),
        (
            {"short_sequence_probability": 1.5},
            r"data\.short_sequence_probability: expected 0 to 1, found 1\.5",
        ),
        ({"max_samples_per_row": 0}, r"data\.max_samples_per_row: expected 1 to 170, found 0"),
        (
            {"max_samples_per_row": 10**11},
            r"data\.max_samples_per_row: expected 1 to 170, found 100000000000",
        ),
        ({"sentence_order": "nop"}, r"data\.sentence_order: expected sop, nsp or none, found nop"),
        ({"seed": -1}, r"data\.seed: .* found -1"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        config(**changes)


@pytest.mark.parametrize("split", [(1.0, 0.0, 0.0), (0.8, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3)])
def test_fractions_that_sum_to_one_up_to_rounding_pass(split: tuple[float, float, float]) -> None:
    assert config(split=split, sequence_length=8, short_sequence_probability=0.0).split == split
