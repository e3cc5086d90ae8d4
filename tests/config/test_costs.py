"""Operations and parameters against numbers that others published or that a hand can check."""

import pytest

from megatron_bio.config.costs import (
    block_flops,
    head_flops,
    masked_budget,
    parameter_count,
    table_rows,
    training_flops_per_row,
)
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.hardware import GPUS, find_gpu, peak_tflops
from megatron_bio.config.model import PRESETS, ModelConfig


def preset(name: str, vocab_size: int) -> ModelConfig:
    return ModelConfig(preset=name, **(dict(PRESETS[name]) | {"vocab_size": vocab_size}))


@pytest.mark.parametrize(
    ("name", "vocab_size", "length"),
    [("biomegatron-345m", 29_056, 512), ("biomegatron-1.2b", 30_592, 512), ("biomedlm-2.7b", 28_896, 1024)],
)
def test_flops_agree_with_the_formula_of_megatron(name: str, vocab_size: int, length: int) -> None:
    """72 S L H² (1 + S/6H + V/12HL) with the head on every position: Narayanan et al., arXiv 2104.04473, without recompute."""
    model = preset(name, vocab_size)
    layers, hidden, rows = model.num_layers, model.hidden_size, table_rows(model)
    expected = 72 * length * layers * hidden**2
    expected *= 1 + length / (6 * hidden) + rows / (12 * hidden * layers)
    transform = 3 * length * 2 * hidden**2 if model.architecture == "bert" else 0
    assert training_flops_per_row(model, length, length) == pytest.approx(expected + transform, rel=1e-12)


def test_only_predicted_positions_pay_for_the_head() -> None:
    model = preset("biomegatron-345m", 29_056)
    whole, none = (training_flops_per_row(model, 512, positions) for positions in (512, 0))
    assert none == 3 * 24 * block_flops(model, 512)
    assert training_flops_per_row(model, 512, 80) - none == pytest.approx((whole - none) * 80 / 512)
    assert head_flops(model, 1) == 2 * 1024 * 29_056 + 2 * 1024**2


@pytest.mark.parametrize(("probability", "length", "slots"), [(0.15, 512, 80), (0.15, 128, 24), (0.3, 10, 8)])
def test_masked_budget(probability: float, length: int, slots: int) -> None:
    assert masked_budget(probability, length) == slots


def test_parameters_by_part() -> None:
    counts = parameter_count(preset("biomedlm-2.7b", 28_896))
    assert counts["embeddings"] == (28_928 + 1024) * 2560
    assert counts["blocks"] == 32 * (12 * 2560**2 + 13 * 2560)
    assert sum(counts.values()) == 2_594_329_600


def test_a_model_without_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="vocab_size"):
        training_flops_per_row(ModelConfig(), 512, 80)


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        ("NVIDIA A100-SXM4-40GB", "bf16", 312.0),
        ("A100-SXM4-80GB", "fp16", 312.0),
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4),
        ("NVIDIA H200", "fp32", 66.9),
        ("NVIDIA GeForce RTX 4090", "bf16", 165.2),
        ("Tesla V100-SXM2-32GB", "fp16", 125.0),
        ("Tesla V100-SXM2-32GB", "bf16", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16", None),
        ("cpu", "fp32", None),
    ],
)
def test_peak_by_the_name_torch_gives(device: str, precision: str, expected: float | None) -> None:
    assert peak_tflops(device, precision) == expected


def test_names_are_found_however_they_are_written_and_mean_one_type() -> None:
    assert find_gpu("rtx 4090") is find_gpu("RTX_4090") is not None
    assert find_gpu("A100") is None
    names = [name for gpu in GPUS for name in gpu.device_names]
    assert len(set(names)) == len(names) and len({gpu.name for gpu in GPUS}) == len(GPUS)
