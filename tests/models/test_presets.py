"""The published shapes have the published numbers of parameters, counted on the meta device."""

import pytest
import torch

from megatron_bio.config.model import PRESETS, ModelConfig
from megatron_bio.models.build import build_model, parameter_count
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from tests.distributed.pool import Pool

# Every element of every tensor, tied tables once, heads, pooler and padded vocabulary rows included, in millions.
MILLIONS = {
    "biomegatron-345m": (29_056, 334.7),
    "biomegatron-800m": (29_056, 749.6),
    "biomegatron-1.2b": (30_592, 1_280.7),
    "biomedlm-2.7b": (28_896, 2_594.3),
    "bert-110m": (30_522, 110.2),
    "gpt-124m": (50_257, 124.5),
    "gpt-355m": (50_257, 354.9),
}


def count(preset: str, vocab_size: int) -> int:
    mesh = build_mesh(MeshShape(), "cpu")["tp"]
    values = dict(PRESETS[preset]) | {"vocab_size": vocab_size}
    with torch.device("meta"):
        model = build_model(ModelConfig(preset=preset, **values), TensorParallel(mesh, False, torch.float32))
    return parameter_count(model)


@pytest.mark.parametrize("preset", PRESETS)
def test_parameter_count(pool: Pool, preset: str) -> None:
    vocab_size, millions = MILLIONS[preset]
    assert round(pool.run(count, 1, preset, vocab_size)[0] / 1e6, 1) == millions
