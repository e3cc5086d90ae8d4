"""Our BERT and GPT compute what Megatron Core's BertModel and GPTModel compute: logits, and gradients of all weights."""

import warnings

import pytest
import torch

from megatron_bio.config.model import ModelConfig
from tests.distributed.pool import Pool
from tests.models import megatron_core_models as case

pytestmark = pytest.mark.peer

SIZES = {
    "num_layers": 3,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "ffn_hidden_size": 80,
    "max_position_embeddings": 40,
    "vocab_size": 128,
}


@pytest.fixture(scope="module", autouse=True)
def peer() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(
            "megatron.core.models.bert", reason="megatron-core is not installed", exc_type=ImportError
        )


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "bert", "activation": "megatron"},
        {"architecture": "bert", "activation": "megatron", "order_head": False},
        {"architecture": "bert", "activation": "gelu", "layernorm_epsilon": 1e-3},
        {"architecture": "gpt", "activation": "gelu_tanh"},
        {"architecture": "gpt", "activation": "gelu"},
    ],
    ids=["bert", "bert-without-order-head", "bert-erf", "gpt", "gpt-erf"],
)
def test_logits_and_gradients(pool: Pool, options: dict[str, object]) -> None:
    ((ours, theirs),) = pool.run(case.compared, 1, ModelConfig(**SIZES, **options))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert value.abs().max() > 0, f"{name} is zero, which proves nothing"
        scale = value.abs().max()
        torch.testing.assert_close(
            ours[name] / scale, value / scale, rtol=0, atol=1e-5, msg=f"{name}: {{}}".format
        )


def test_activation_of_the_head_is_what_differs(pool: Pool) -> None:
    """With tanh in the masked-LM head too, the logits are other ones; the comparison sees it."""
    config = ModelConfig(**SIZES, architecture="bert", activation="gelu_tanh")
    ((ours, theirs),) = pool.run(case.compared, 1, config)
    assert (ours["logits"] - theirs["logits"]).abs().max() > 3e-5 * theirs["logits"].abs().max()
