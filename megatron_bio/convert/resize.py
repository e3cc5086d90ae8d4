"""A checkpoint with more tokens or more positions than it was trained with, to go on pretraining from.

Rows for new tokens are the mean of the old rows, as Hewitt ("Initializing new word embeddings for pretrained language models",
2021) proposes: the model then gives all of them together little more probability than one usual token, where random rows can
take most of it. New positions are read between the old ones, or the old ones are repeated, as Longformer (arXiv 2004.05150,
section 5) does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.config.convert import ConvertOptions, NewPositions
from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.tokens.tokenizer import Tokenizer

_OF_TOKENS = ("embeddings.word_embeddings.weight", "masked_lm_head.bias")
_OF_POSITIONS = "embeddings.position_embeddings.weight"


def with_new_sizes(checkpoint: Checkpoint, options: ConvertOptions) -> Checkpoint:
    """Return the checkpoint with the tokenizer and the positions that were asked for; itself if there is nothing to do.

    Raises `ConvertError` for a tokenizer whose first tokens are not those of the model's own.
    """
    old = checkpoint.model
    assert checkpoint.tokenizer is not None and old.vocab_size is not None
    tokens = old.vocab_size
    if options.new_tokenizer is not None:
        tokens = _extended(
            checkpoint, Tokenizer.load(checkpoint.tokenizer), Tokenizer.load(options.new_tokenizer)
        )
        checkpoint = replace(checkpoint, tokenizer=options.new_tokenizer)
    return resize(
        checkpoint,
        vocab_size=tokens,
        max_position_embeddings=options.max_position_embeddings or old.max_position_embeddings,
        new_positions=options.new_positions,
    )


def _extended(checkpoint: Checkpoint, old: Tokenizer, new: Tokenizer) -> int:
    """Return the number of tokens of the new tokenizer."""
    for number in range(old.vocab_size):
        before, after = old.id_to_token(number), new.id_to_token(number)
        if before != after:
            raise ConvertError(
                f"{new.name}: token {number} is {after!r}, but {before!r} for {checkpoint.path}, whose row it would take. A new "
                f"tokenizer must begin with all {old.vocab_size} tokens of the old one, in their order; new ones come behind them."
            )
    if old.lowercase != new.lowercase:
        raise ConvertError(
            f"{new.name}: it {'lower-cases' if new.lowercase else 'keeps capitals'}, the model's tokenizer does not; its words "
            f"would not be found again. Give one with the same casing."
        )
    return new.vocab_size


def resize(
    checkpoint: Checkpoint,
    *,
    vocab_size: int,
    max_position_embeddings: int,
    new_positions: NewPositions | None,
) -> Checkpoint:
    """Return the checkpoint with `vocab_size` tokens and `max_position_embeddings` positions, and without Adam's moments.

    Tokens keep their ids and positions their numbers where there are no more of them; with `interpolate` all positions move.
    Raises `ConvertError` if there would be fewer of either, or more positions without a word on how.
    """
    old = checkpoint.model
    assert old.vocab_size is not None, "a checkpoint knows its vocabulary"
    if vocab_size < old.vocab_size:
        raise ConvertError(
            f"{checkpoint.path}: the model has {old.vocab_size} tokens, {vocab_size} were asked for; tokens cannot be taken "
            f"away. Give a tokenizer that begins with all tokens of the model's own."
        )
    if max_position_embeddings < old.max_position_embeddings:
        raise ConvertError(
            f"--max_position_embeddings {max_position_embeddings}: the model has {old.max_position_embeddings} positions already. "
            f"To train on shorter sequences set data.sequence_length; the positions stay."
        )
    if max_position_embeddings > old.max_position_embeddings and new_positions is None:
        raise ConvertError(
            f"--max_position_embeddings {max_position_embeddings}: the model has {old.max_position_embeddings} positions. Say with "
            f"--new_positions interpolate or --new_positions copy where the others come from."
        )
    if (vocab_size, max_position_embeddings) == (old.vocab_size, old.max_position_embeddings):
        return checkpoint
    new = replace(old, vocab_size=vocab_size, max_position_embeddings=max_position_embeddings)
    return replace(
        checkpoint, model=new, weights=_Resized(checkpoint.weights, old, new, new_positions), moments=None
    )


@dataclass(frozen=True)
class _Resized(TensorSource):
    weights: TensorSource
    old: ModelConfig
    new: ModelConfig
    new_positions: NewPositions | None

    def described(self) -> Mapping[str, Tensor]:
        return {name: self._change(name)(tensor) for name, tensor in self.weights.described().items()}

    def read(self, name: str) -> Tensor:
        return self._change(name)(self.weights.read(name))

    def _change(self, name: str) -> Callable[[Tensor], Tensor]:
        if name in _OF_TOKENS and self.new.vocab_size != self.old.vocab_size:
            return self._more_tokens
        if name == _OF_POSITIONS and self.new.max_position_embeddings != self.old.max_position_embeddings:
            return self._more_positions
        return lambda tensor: tensor

    def _more_tokens(self, table: Tensor) -> Tensor:
        """[P, ...] -> [P', ...]: real rows, then their mean for each new token, then zeros of padding."""
        assert self.old.vocab_size is not None and self.new.vocab_size is not None
        resized = table.new_zeros((padded_vocab_size(self.new.vocab_size), *table.shape[1:]))
        real = table[: self.old.vocab_size]
        resized[: self.old.vocab_size] = real
        # float64 so that the mean of 30,000 rows is right to the last bit of float32 on every machine.
        resized[self.old.vocab_size : self.new.vocab_size] = real.double().mean(0).to(table.dtype)
        return resized

    def _more_positions(self, table: Tensor) -> Tensor:
        """[positions, H] -> [more positions, H]."""
        count = self.new.max_position_embeddings
        if self.new_positions == "copy":
            return table[torch.arange(count, device=table.device) % len(table)]
        columns = table.double().t()[None]
        return F.interpolate(columns, size=count, mode="linear", align_corners=True)[0].t().to(table.dtype)
