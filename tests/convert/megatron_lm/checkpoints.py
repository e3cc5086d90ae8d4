"""Small random checkpoints in memory, with Adam's moments, and what our model computes with their weights."""

from pathlib import Path

import torch
from torch import Tensor

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.expected import our_shapes
from megatron_bio.convert.megatron_lm.write import write_checkpoint
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.parallel.parameters import set_from_full
from tests.convert.tiny_runs import new_model

VOCABULARY = 203
KINDS = {
    "bert": {"architecture": "bert", "activation": "megatron"},
    "bert-exact": {"architecture": "bert", "activation": "gelu"},
    "bert-tanh": {"architecture": "bert", "activation": "gelu_tanh"},
    "bert-no-order-head": {"architecture": "bert", "activation": "megatron", "order_head": False},
    "gpt": {"architecture": "gpt", "activation": "gelu_tanh"},
    "gpt-exact": {"architecture": "gpt", "activation": "gelu"},
}


class InMemory(TensorSource):
    """Tensors of a dictionary."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def described(self) -> dict[str, Tensor]:
        return {name: tensor.to("meta") for name, tensor in self.tensors.items()}

    def read(self, name: str) -> Tensor:
        return self.tensors[name].clone()


def tiny(kind: str, layers: int = 4, *, moments: bool = True, step: int = 700) -> Checkpoint:
    """A checkpoint of a model with every parameter random; the padding of the vocabulary is zero."""
    model = ModelConfig(
        num_layers=layers,
        hidden_size=16,
        num_attention_heads=4,
        ffn_hidden_size=48,
        max_position_embeddings=24,
        vocab_size=VOCABULARY,
        **KINDS[kind],
    )
    generator = torch.Generator().manual_seed(5)
    shapes = our_shapes(model)

    def draw(shift: float) -> dict[str, Tensor]:
        tensors = {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}
        for name, tensor in tensors.items():
            if tensor.shape[0] == padded_vocab_size(VOCABULARY):
                tensor[VOCABULARY:] = 0.0
            elif name.endswith("layernorm.weight"):
                tensor += shift
        return tensors

    adam = {
        f"{name}.{kind}": value for kind in ("exp_avg", "exp_avg_sq") for name, value in draw(0.0).items()
    }
    return Checkpoint(
        format="megatron_bio",
        path=Path("ours"),
        model=model,
        weights=InMemory(draw(1.0)),
        moments=InMemory(adam) if moments else None,
        step=step,
        training={"samples": 44_800},
    )


def written(checkpoint: Checkpoint, folder: Path, **layout: object) -> Path:
    """Write a checkpoint of Megatron-LM and return its folder."""
    folder.mkdir()
    options = ConvertOptions(checkpoint=Path("ours"), output=folder, to_format="megatron_lm", **layout)
    write_checkpoint(checkpoint, folder, options)
    return folder


def read_everything(source: TensorSource | None) -> dict[str, Tensor]:
    return {} if source is None else {name: source.read(name) for name in source.described()}


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, which of them are real, and their types: rows of different length."""
    generator = torch.Generator().manual_seed(6)
    tokens = torch.randint(VOCABULARY, (3, 20), generator=generator)
    column = torch.arange(20).expand(3, 20)
    real = column < torch.tensor([20, 13, 7])[:, None]
    return tokens, real, (column > 5).long()


@torch.no_grad()
def our_logits(model: ModelConfig, weights: dict[str, Tensor]) -> list[Tensor]:
    """Vocabulary logits [R, S, V] of our model, and BERT's [R, 2] of the order head if it has one."""
    ours = new_model(model)
    for name, parameter in ours.named_parameters():
        set_from_full(parameter, weights[name].float())
    tokens, real, types = inputs()
    positions = torch.arange(20).expand(3, 20)
    if model.architecture == "gpt":
        return [ours.logits(tokens, torch.ones_like(tokens), positions)[..., :VOCABULARY]]
    logits, order = ours.logits(tokens, real.long(), positions, types)
    return [logits[..., :VOCABULARY][real], *([order.flatten(0, 1)] if model.order_head else [])]
