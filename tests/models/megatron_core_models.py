"""Logits and gradients of our model and Megatron Core's, with the same weights and tokens."""

import torch
from torch import Tensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.models.bert import Bert
from tests.convert.tiny_runs import random_model
from tests.references.megatron_core import build, foreign, megatron_core, outputs

Tensors = dict[str, Tensor]
ROWS, LENGTH = 3, 24


def batch(config: ModelConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens, what is no padding, token types: [R, S] each."""
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(config.vocab_size, (ROWS, LENGTH), generator=generator)
    column = torch.arange(LENGTH).expand_as(tokens)
    real = column < torch.tensor([LENGTH, 17, 6])[:, None]
    return tokens, real, (column >= 5).long()


def our_outputs(
    model: torch.nn.Module, tokens: Tensor, real: Tensor, token_types: Tensor
) -> tuple[Tensor, Tensor | None]:
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    if isinstance(model, Bert):
        logits, order = model.logits(tokens, real.long(), positions, token_types)
        return logits, order[:, 0] if order.numel() else None
    return model.logits(tokens, real.long(), positions), None


def weighted(logits: Tensor, order: Tensor | None) -> Tensor:
    """A sum in which each logit counts differently, for gradients."""
    total = (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(6))).sum()
    return total if order is None else total + (order * torch.tensor([1.0, -2.0])).sum()


def compared(config: ModelConfig) -> tuple[Tensors, Tensors]:
    """Return outputs and gradients by the names of Megatron Core's parameters: ours, theirs."""
    tokens, real, token_types = batch(config)
    ours = random_model(config)
    weights = {name: value.to_local() for name, value in ours.named_parameters()}
    logits, order = our_outputs(ours, tokens, real, token_types)
    weighted(logits[real], order).backward()
    gradients = {name: value.grad.to_local() for name, value in ours.named_parameters()}
    found = {"logits": logits[real].detach()} | ({} if order is None else {"order": order.detach()})
    found |= foreign(config, gradients)
    with megatron_core():
        theirs = build(config)
        state = foreign(config, {name: value.detach() for name, value in weights.items()})
        parameters = dict(theirs.named_parameters())
        assert parameters.keys() == state.keys()
        with torch.no_grad():
            for name, value in state.items():
                parameters[name].copy_(value)
        logits, order = outputs(theirs, tokens, real, token_types)
        weighted(logits[real], order).backward()
        expected = {"logits": logits[real].detach()} | ({} if order is None else {"order": order.detach()})
        return found, expected | {name: value.grad for name, value in parameters.items()}
