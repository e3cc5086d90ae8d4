"""Each variant gives the logits of the model of transformers that it is named after, with the same random weights.

The names are paired here once more, apart from `megatron_bio.convert`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from megatron_bio.config.model import ModelConfig
from megatron_bio.models.build import build_model
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.parallel.parameters import set_from_full
from tests.distributed.pool import Pool

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra 'hf')")
pytestmark = pytest.mark.peer

VOCABULARY, HEADS, HIDDEN, LAYERS, ROWS, LENGTH = 250, 4, 32, 3, 3, 24
SIZES: dict[str, Any] = {
    "num_layers": LAYERS,
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "max_position_embeddings": LENGTH,
    "vocab_size": VOCABULARY,
}
Pairs = Iterator[tuple[str, str]]


def bert_blocks(norms: dict[str, str]) -> Pairs:
    for layer in range(LAYERS):
        at, theirs = f"layers.{layer}", f"bert.encoder.layer.{layer}"
        yield f"{at}.self_attention.dense", f"{theirs}.attention.output.dense"
        yield f"{at}.mlp.dense_h_to_4h", f"{theirs}.intermediate.dense"
        yield f"{at}.mlp.dense_4h_to_h", f"{theirs}.output.dense"
        for ours, norm in norms.items():
            yield f"{at}.{ours}", f"{theirs}.{norm}"


def bert_heads(order_head: bool) -> Pairs:
    yield "masked_lm_head.dense", "cls.predictions.transform.dense"
    yield "masked_lm_head.layernorm", "cls.predictions.transform.LayerNorm"
    if order_head:
        yield "order_head.pooler", "bert.pooler.dense"
        yield "order_head.classifier", "cls.seq_relationship"


def post_pairs(order_head: bool) -> Pairs:
    yield "embeddings.layernorm", "bert.embeddings.LayerNorm"
    norms = {"attention_layernorm": "attention.output.LayerNorm", "mlp_layernorm": "output.LayerNorm"}
    yield from bert_blocks(norms)
    yield from bert_heads(order_head)


def pre_pairs() -> Pairs:
    yield "final_layernorm", "bert.encoder.ln"
    yield from bert_blocks({"input_layernorm": "attention.ln", "post_attention_layernorm": "ln"})
    yield from bert_heads(order_head=True)


def bert_weights(theirs: dict[str, Tensor], pairs: Pairs) -> dict[str, Tensor]:
    """Return our weights of a BERT of transformers."""
    ours = {
        f"{name}.{kind}": theirs[f"{their}.{kind}"] for name, their in pairs for kind in ("weight", "bias")
    }
    for name, their in (("word", "word"), ("position", "position"), ("tokentype", "token_type")):
        ours[f"embeddings.{name}_embeddings.weight"] = theirs[f"bert.embeddings.{their}_embeddings.weight"]
    ours["masked_lm_head.bias"] = theirs["cls.predictions.bias"]
    for layer in range(LAYERS):
        for kind in ("weight", "bias"):
            parts = [
                theirs[f"bert.encoder.layer.{layer}.attention.self.{part}.{kind}"].unflatten(0, (HEADS, -1))
                for part in ("query", "key", "value")
            ]
            fused = torch.stack(parts, dim=1).flatten(0, 2)
            ours[f"layers.{layer}.self_attention.query_key_value.{kind}"] = fused
    return ours


def gpt_weights(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights of a GPT-2 of transformers, whose matrices are [in, out]."""
    ours = {
        "embeddings.word_embeddings.weight": theirs["transformer.wte.weight"],
        "embeddings.position_embeddings.weight": theirs["transformer.wpe.weight"],
    }
    names = {"final_layernorm": "ln_f"}
    for layer in range(LAYERS):
        at = f"layers.{layer}"
        names |= {
            f"{at}.input_layernorm": f"h.{layer}.ln_1",
            f"{at}.post_attention_layernorm": f"h.{layer}.ln_2",
        }
        names |= {f"{at}.self_attention.query_key_value": f"h.{layer}.attn.c_attn"}
        names |= {f"{at}.self_attention.dense": f"h.{layer}.attn.c_proj"}
        names |= {
            f"{at}.mlp.dense_h_to_4h": f"h.{layer}.mlp.c_fc",
            f"{at}.mlp.dense_4h_to_h": f"h.{layer}.mlp.c_proj",
        }
    for name, their in names.items():
        for kind in ("weight", "bias"):
            tensor = theirs[f"transformer.{their}.{kind}"]
            if "query_key_value" in name:  # columns [3, heads, D] become [heads, 3, D]
                tensor = tensor.unflatten(-1, (3, HEADS, -1)).transpose(-3, -2).flatten(-3)
            ours[f"{name}.{kind}"] = tensor.t()
    return ours


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens, which of them are real, and token types."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(VOCABULARY, (ROWS, LENGTH), generator=generator)
    types = torch.randint(2, (ROWS, LENGTH), generator=generator)
    return tokens, torch.arange(LENGTH) < torch.tensor([LENGTH, 17, 5])[:, None], types


@torch.no_grad()
def logits_of(model: ModelConfig, weights: dict[str, Tensor]) -> list[Tensor]:
    """Return our logits on `batch`: of the real positions and, for bert, of the order."""
    built = build_model(model, TensorParallel(build_mesh(MeshShape(), "cpu")["tp"], False, torch.float32))
    assert dict(built.named_parameters()).keys() == weights.keys()
    for name, parameter in built.named_parameters():
        full = torch.zeros(parameter.shape)
        full[: len(weights[name])] = weights[name]  # rows of padding are zeros
        set_from_full(parameter, full)
    built.eval()
    tokens, real, types = batch()
    positions = torch.arange(LENGTH).expand_as(tokens)
    if model.architecture == "gpt":
        return [built.logits(tokens, real.int(), positions)[real][:, :VOCABULARY]]
    found, order = built.logits(tokens, real.int(), positions, types)
    return [found[real][:, :VOCABULARY], order[:, 0]]


def randomised(model: nn.Module) -> nn.Module:
    """Set every weight, norms and biases too, large enough that attention is not even."""
    torch.manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "weight" in name and parameter.dim() == 1
            parameter.normal_(1.0 if norm else 0.0, 0.3)
    return model.eval()


def bert(kind: str, activation: str, order_head: bool = True) -> nn.Module:
    post = kind == "Bert"
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
        hidden_act=activation,
        max_position_embeddings=LENGTH,
        layer_norm_eps=1e-12 if post else 1e-5,
    )
    task = "ForPreTraining" if order_head else "ForMaskedLM"
    return randomised(getattr(transformers, f"{kind}{task}")(config))


def megatron_bert_with_exact_head() -> nn.Module:
    model = bert("MegatronBert", "gelu_new")
    model.cls.predictions.transform.transform_act_fn = nn.GELU()
    return model


POST: dict[str, Any] = {"norm_order": "post", "layernorm_epsilon": 1e-12}
BERTS: dict[str, tuple[dict[str, Any], Callable[[], nn.Module], Callable[[], Pairs]]] = {
    "post": (POST, lambda: bert("Bert", "gelu"), lambda: post_pairs(True)),
    "post, tanh": (
        POST | {"activation": "gelu_tanh"},
        lambda: bert("Bert", "gelu_new"),
        lambda: post_pairs(True),
    ),
    "post, no order head": (
        POST | {"order_head": False},
        lambda: bert("Bert", "gelu", order_head=False),
        lambda: post_pairs(False),
    ),
    "tanh": ({"activation": "gelu_tanh"}, lambda: bert("MegatronBert", "gelu_new"), pre_pairs),
    "megatron": ({"activation": "megatron"}, megatron_bert_with_exact_head, pre_pairs),
}


@pytest.mark.parametrize("variant", BERTS)
@torch.no_grad()
def test_bert(pool: Pool, variant: str) -> None:
    options, make, pairs = BERTS[variant]
    peer = make()
    tokens, real, types = batch()
    output = peer(tokens, attention_mask=real.long(), token_type_ids=types)
    weights = bert_weights(peer.state_dict(), pairs())
    logits, order = pool.run(logits_of, 1, ModelConfig(**SIZES, **options), weights)[0]
    if options.get("order_head", True):
        assert_close(logits, output.prediction_logits[real])
        assert_close(order, output.seq_relationship_logits)
    else:
        assert_close(logits, output.logits[real])
        assert order.numel() == 0
    if "activation" in options:  # which GELU it is must be seen
        exact = pool.run(logits_of, 1, ModelConfig(**SIZES, **options | {"activation": "gelu"}), weights)[0][
            0
        ]
        assert (exact - logits).abs().max() > 1e-4 * logits.abs().max()


@torch.no_grad()
def test_gpt2_that_scales_attention_by_layer(pool: Pool) -> None:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=HIDDEN,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=LENGTH,
        scale_attn_by_inverse_layer_idx=True,
        attn_implementation="eager",
    )
    peer = randomised(transformers.GPT2LMHeadModel(config))
    tokens, real, _ = batch()
    expected = peer(tokens, attention_mask=real.long()).logits[real]
    weights = gpt_weights(peer.state_dict())
    for scaled, same in ((True, True), (False, False)):
        model = ModelConfig(architecture="gpt", **SIZES, scale_attention_by_inverse_layer=scaled)
        (logits,) = pool.run(logits_of, 1, model, weights)[0]
        assert ((logits - expected).abs().max() <= 1e-5 * expected.abs().max()) == same


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
