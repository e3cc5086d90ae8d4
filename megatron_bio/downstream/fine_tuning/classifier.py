"""A pretrained model with one of the four heads of fine-tuning."""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from itertools import pairwise
from logging import ERROR
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.utils import logging

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.fine_tuning.losses import Loss
from megatron_bio.downstream.model_identity import opening_weights
from megatron_bio.downstream.tasks.form import HeadKind, Settings


def reads_last(model_type: str) -> bool:
    """Whether only the last piece of a row has seen all of it: models that transformers has as causal ones alone. BERT, which it
    has as both, and all others are summed up by their first piece.
    """
    return (
        model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        and model_type not in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )


class Classifier(nn.Module):
    """Hidden states of a model, then dropout and linear layers with ReLU between them, as in NeMo's heads of BioMegatron."""

    def __init__(
        self, backbone: PreTrainedModel, kind: HeadKind, outputs: int, settings: Settings, loss: Loss
    ) -> None:
        """`outputs`: logits for each piece, row or option."""
        super().__init__()
        self.backbone, self.kind, self.loss = backbone, kind, loss
        # The blocks that accelerate shards one by one; without names it would gather the whole model at once.
        self._no_split_modules = backbone._no_split_modules
        self.reads_last = reads_last(backbone.config.model_type)
        hidden = backbone.config.hidden_size
        inner = settings.head_size or hidden
        widths = [hidden, *[inner] * (settings.head_layers - 1), outputs]
        self.dropout = nn.Dropout(settings.head_dropout)
        layers = [nn.Linear(*pair) for pair in pairwise(widths)]
        deviation = getattr(backbone.config, "initializer_range", 0.02)
        for layer in layers:
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        option_mask: Tensor | None = None,
        labels: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """`input_ids` [rows, pieces], with the head "choices" [rows, options, pieces].

        Gives `logits`: tokens [rows, pieces, labels], sequence [rows, labels], spans [rows, pieces, 2], choices [rows, options];
        and `loss` where there are labels.
        """
        arguments = {"attention_mask": attention_mask.flatten(0, -2)}
        if token_type_ids is not None:
            arguments["token_type_ids"] = token_type_ids.flatten(0, -2)
        hidden = self.backbone(input_ids=input_ids.flatten(0, -2), **arguments).last_hidden_state
        if self.kind in ("sequence", "choices"):
            hidden = self._summary(hidden, arguments["attention_mask"])
        logits = self._head(hidden)
        if self.kind == "choices":
            assert option_mask is not None
            logits = logits.view(option_mask.shape).masked_fill(~option_mask, torch.finfo(logits.dtype).min)
        loss = self._loss(logits, attention_mask, labels, start_positions, end_positions)
        return {"logits": logits} if loss is None else {"loss": loss, "logits": logits}

    def _summary(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """The hidden state that stands for the row, [rows, hidden size]."""
        if not self.reads_last:
            return hidden[:, 0]
        last = attention_mask.sum(dim=-1).clamp(min=1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]

    def _head(self, hidden: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            hidden = layer(self.dropout(F.relu(hidden) if number else hidden))
        return hidden

    def _loss(
        self, logits: Tensor, mask: Tensor, labels: Tensor | None, starts: Tensor | None, ends: Tensor | None
    ) -> Tensor | None:
        if self.kind == "spans":
            if starts is None or ends is None:
                return None
            inside = logits.masked_fill(~mask.bool().unsqueeze(-1), torch.finfo(logits.dtype).min)
            return (self.loss(inside[..., 0], starts) + self.loss(inside[..., 1], ends)) / 2
        if labels is None:
            return None
        return self.loss(logits.flatten(0, -2), labels.flatten())


def load_backbone(path: str, random_weights: bool) -> PreTrainedModel:
    """A model without its head; with `random_weights` as it was before pretraining, drawn from torch's generator.

    Weights are float32 whatever the files hold. Raises ConfigurationError for files that lack weights or cannot be read.
    """
    config = AutoConfig.from_pretrained(path)
    build: Any = AutoModel.from_config
    with torch.device("meta"):
        model_class: Any = type(build(config))
    pooler = {"add_pooling_layer": False} if "add_pooling_layer" in signature(model_class).parameters else {}
    if random_weights:
        model = model_class(config, **pooler).float()
    else:
        with _quiet(), opening_weights(path):
            model, found = model_class.from_pretrained(
                path, dtype=torch.float32, output_loading_info=True, **pooler
            )
        if found["missing_keys"]:
            missing = sorted(found["missing_keys"])
            raise ConfigurationError(
                f"{path}: expected all weights of {model_class.__name__}, found none for {len(missing)}, {missing[0]} first. "
                "transformers would draw them at random. Export or download the model again."
            )
    assert isinstance(model, PreTrainedModel)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bar, and its list of the weights of the head that is not taken."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]
