"""Megatron Core's own checkpoints become ours, and its own loader reads what we write: weights and logits."""

import warnings
from pathlib import Path

import pytest
import torch

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.megatron_core.open import open_checkpoint, recognises
from megatron_bio.convert.megatron_core.write import write_checkpoint
from megatron_bio.convert.sources import Checkpoint
from tests.convert import megatron_core_case as case
from tests.convert.tiny_runs import Tensors, new_model, random_model, read_all
from tests.distributed.pool import Pool
from tests.models.megatron_core_models import batch, our_outputs
from tests.references import megatron_core as peer

pytestmark = pytest.mark.peer

SIZES = {
    "num_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "ffn_hidden_size": 80,
    "max_position_embeddings": 40,
    "vocab_size": 203,
    "layernorm_epsilon": 1e-4,
}
BERT = ModelConfig(architecture="bert", activation="megatron", **SIZES)
PLAIN_BERT = ModelConfig(architecture="bert", activation="gelu", order_head=False, **SIZES)
GPT = ModelConfig(architecture="gpt", activation="gelu_tanh", **SIZES)
SAVES = [
    pytest.param(BERT, 1, 1, None, id="bert"),
    pytest.param(GPT, 2, 1, None, id="gpt-tp2"),
    pytest.param(PLAIN_BERT, 1, 1, {"non_homogeneous_layers": True}, id="bert-without-order-head-by-layer"),
    pytest.param(GPT, 1, 1, {"singleton_local_shards": True}, id="gpt-singletons", marks=pytest.mark.slow),
    pytest.param(BERT, 2, 1, None, id="bert-tp2", marks=pytest.mark.slow),
    pytest.param(BERT, 1, 2, None, id="bert-pp2", marks=pytest.mark.slow),
    pytest.param(GPT, 1, 2, None, id="gpt-pp2", marks=pytest.mark.slow),
    pytest.param(BERT, 2, 2, None, id="bert-tp2-pp2", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = "megatron.core.dist_checkpointing"
        pytest.importorskip(name, reason="megatron-core is not installed", exc_type=ImportError)


def logits_of(checkpoint: Checkpoint) -> tuple[torch.Tensor, torch.Tensor | None]:
    model = new_model(checkpoint.model)
    weights = read_all(checkpoint.weights)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.to_local().copy_(weights[name])
        return our_outputs(model, *batch(checkpoint.model))


def assert_same(ours: tuple, theirs: tuple, config: ModelConfig) -> None:
    real = batch(config)[1]
    for found, expected, chosen in zip(ours, theirs, (real, slice(None)), strict=True):
        if expected is None:
            assert found is None
            continue
        found, expected = found[chosen][:, : config.vocab_size], expected[chosen][:, : config.vocab_size]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(("config", "tp", "pp", "metadata"), SAVES)
def test_reads_what_megatron_core_saves(
    pool: Pool, tmp_path: Path, config: ModelConfig, tp: int, pp: int, metadata: dict | None
) -> None:
    folder = tmp_path / "iter_0000070"
    folder.mkdir()
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("70")
    common = {"args": peer.arguments(config), "checkpoint_version": 3.0, "iteration": 70}
    results = pool.run(case.saved, tp * pp, config, folder, tp, pp, 256, common, metadata)
    assert recognises(tmp_path)
    checkpoint = open_checkpoint(tmp_path, config.vocab_size)
    assert (checkpoint.model, checkpoint.step) == (config, 70)
    assert checkpoint.facts["layout"] == ("one tensor per layer" if metadata else "stacked layers")
    assert checkpoint.facts["vocabulary_padding"] == 53
    logits = logits_of(checkpoint)
    if results[0] is None:
        # A pipeline's logits need its schedule; a model of one rank loads the same folder instead.
        ((_, expected, _),) = pool.run(case.loaded, 1, config, folder, 1, 256)
    else:
        expected = results[0]
    assert_same(logits, expected, config)


@pytest.mark.parametrize(
    ("config", "tp"),
    [
        pytest.param(BERT, 1, id="bert"),
        pytest.param(GPT, 1, id="gpt"),
        pytest.param(PLAIN_BERT, 1, id="bert-without-order-head", marks=pytest.mark.slow),
        pytest.param(BERT, 2, id="bert-tp2"),
        pytest.param(GPT, 2, id="gpt-tp2", marks=pytest.mark.slow),
    ],
)
def test_megatron_core_loads_what_we_write(pool: Pool, tmp_path: Path, config: ModelConfig, tp: int) -> None:
    model = random_model(config)
    weights = {name: value.detach().to_local() for name, value in model.named_parameters()}
    checkpoint = Checkpoint(
        format="megatron_bio", path=tmp_path, model=config, weights=Tensors(weights), step=12
    )
    write_checkpoint(
        checkpoint, tmp_path, ConvertOptions(to_format="megatron_core", checkpoint=tmp_path, output=tmp_path)
    )
    results = pool.run(case.loaded, tp, config, tmp_path / "iter_0000012", tp, 256)
    with torch.no_grad():
        ours = our_outputs(model, *batch(config))
    expected = peer.foreign(config, weights, 256)
    for rank, (found, logits, common) in enumerate(results):
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert torch.equal(value, _part(expected[name], value, rank)), name
        assert_same(ours, logits, config)
        assert (common["iteration"], common["args"].num_layers) == (12, 2)


def _part(whole: torch.Tensor, like: torch.Tensor, rank: int) -> torch.Tensor:
    """Return the rank's part of a tensor, cut along the dimension in which it is longer."""
    for dim, (size, count) in enumerate(zip(whole.shape, like.shape, strict=True)):
        if size != count:
            return whole.narrow(dim, rank * count, count)
    return whole
