"""Label bias as Table 9 of the BioMegatron paper has it."""

from collections import Counter
from collections.abc import Callable

import pytest

from megatron_bio.downstream.readers.iob import read_iob
from megatron_bio.downstream.readers.label_bias import LabelBias, bias_of_classes, bias_of_entities
from megatron_bio.tokens.data_file import DataFile

WrittenFile = Callable[..., DataFile]


@pytest.mark.parametrize(
    ("counts", "ratio"),
    [
        ({"equivalent": 2753, "other": 1323}, 0.481),  # MRPC
        ({"CPR:3": 4000, "CPR:9": 154, "false": 19461 - 4154}, 0.271),  # ChemProt
        ({"yes": 276, "no": 169, "maybe": 55}, 0.124),
    ],
)
def test_published_ratios(counts: dict[str, int], ratio: float) -> None:
    (bias,) = bias_of_classes(Counter(counts), "samples")
    assert round(bias.ratio, 3) == ratio


def test_one_class_has_none() -> None:
    assert bias_of_classes(Counter({"yes": 3}), "samples") == ()


def test_lines_and_words_of_entities(written: WrittenFile) -> None:
    entities = read_iob(written("-DOCSTART- O\n\na\tB-X\nb\tI-X\nc\tO\n\nd\tO\n\n"))
    assert bias_of_entities(entities) == (
        LabelBias(samples="lines", minority=2, rest=6),
        LabelBias(samples="words", minority=2, rest=2),
    )


def test_conll_2003_by_lines() -> None:
    """34,043 words in entities among 203,621, with 14,041 sentences and 946 document marks, each with a blank line."""
    lines = 203_621 + 14_041 + 946 + 946
    assert round(LabelBias(samples="lines", minority=34_043, rest=lines - 34_043).ratio, 3) == 0.184
