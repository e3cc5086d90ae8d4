"""A GPT that keeps keys and values gives the logits of the forward of training, whatever stands beside a row."""

from collections.abc import Callable

import pytest
import torch

from megatron_bio.config.model import ModelConfig
from megatron_bio.models.build import build_model
from megatron_bio.models.decoding import CachedDecoding, Decoding, RecomputedDecoding
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import single_process_mesh
from megatron_bio.parallel.parameters import initialize

VOCABULARY = 130


@pytest.fixture(scope="module", params=[False, True], ids=["usual", "inverse-layer"])
def model(request: pytest.FixtureRequest) -> Gpt:
    config = ModelConfig(
        architecture="gpt",
        num_layers=3,
        hidden_size=32,
        num_attention_heads=4,
        max_position_embeddings=24,
        vocab_size=VOCABULARY,
        init_method_std=0.3,
        scale_attention_by_inverse_layer=request.param,
    )
    built = build_model(config, TensorParallel(single_process_mesh()["tp"], False, torch.float32)).eval()
    initialize(built, 4)
    assert isinstance(built, Gpt)
    return built


def whole(model: Gpt, row: list[int]) -> torch.Tensor:
    """The logits after a row, from the forward of training alone."""
    tokens = torch.tensor(row)[None]
    with torch.no_grad():
        logits = model.logits(tokens, torch.ones_like(tokens), torch.arange(len(row))[None])
    return logits[0, -1, :VOCABULARY]


@pytest.mark.parametrize(
    "decoding",
    [lambda model: CachedDecoding(model, 3, 24), lambda model: RecomputedDecoding(model, 3)],
    ids=["cached", "recomputed"],
)
def test_rows_grow_as_if_alone(model: Gpt, decoding: Callable[[Gpt], Decoding]) -> None:
    generator = torch.Generator().manual_seed(1)
    rows: list[list[int]] = [[], [], []]
    growing = decoding(model)
    for counts in ([5, 1, 9], [1, 1, 1], [3, 1, 2], None, [1, 4], [1, 1]):
        if counts is None:  # the longest row ends, and the others change places
            growing.keep(torch.tensor([1, 0]))
            rows = [rows[1], rows[0]]
            continue
        tokens = torch.randint(VOCABULARY, (len(rows), max(counts)), generator=generator)
        for row, new, count in zip(rows, tokens.tolist(), counts, strict=True):
            row += new[:count]
        logits = growing.extend(tokens, torch.tensor(counts))
        expected = torch.stack([whole(model, row) for row in rows])
        assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
