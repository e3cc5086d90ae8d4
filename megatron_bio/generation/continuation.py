"""A batch of texts goes on: each until it ends, whatever stands beside it.

Shapes: R rows that still go on, S tokens of the longest prompt, V tokens of the vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from megatron_bio.generation.sampling import Sampling, draw, next_tokens
from megatron_bio.models.decoding import CachedDecoding, Decoding, RecomputedDecoding
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel import collectives


@dataclass
class Continuation:
    """A prompt and what was written after it so far."""

    prompt_number: int
    sample: int
    prompt: Sequence[int]
    limit: int
    """Most new tokens."""
    new: list[int] = field(default_factory=list)

    def next_draw(self, seed: int) -> float:
        """The random number of the next position."""
        return draw(seed, self.prompt_number, self.sample, len(self.prompt) + len(self.new))

    def has_ended(self, end: int | None) -> bool:
        """Whether the last token was the `end`, or the limit is reached."""
        return len(self.new) >= self.limit or (end is not None and self.new[-1] == end)


def continue_texts(
    model: Gpt,
    batch: Sequence[Continuation],
    sampling: Sampling,
    *,
    end: int | None,
    cached: bool,
    check: Callable[[Tensor], None],
) -> None:
    """Fill `new` of each text until it has `limit` tokens or the token `end` (which is kept); `check` sees all logits.

    Every tp rank calls it with the same texts and gets the same tokens.
    """
    device = next(model.parameters()).device
    slots = max(len(text.prompt) + text.limit for text in batch)
    decoding: Decoding = (
        CachedDecoding(model, len(batch), slots) if cached else RecomputedDecoding(model, len(batch))
    )
    going, tokens, counts = list(batch), *_padded([text.prompt for text in batch], device)
    while going:
        logits = decoding.extend(tokens, counts)
        check(logits)
        draws = [text.next_draw(sampling.seed) for text in going]
        chosen = _of_first_rank(next_tokens(logits, sampling, draws), model)
        for text, token in zip(going, chosen.tolist(), strict=True):
            text.new.append(token)
        kept = [row for row, text in enumerate(going) if not text.has_ended(end)]
        if len(kept) < len(going):
            rows = torch.tensor(kept, dtype=torch.int64, device=device)
            going, chosen = [going[row] for row in kept], chosen[rows]
            if going:
                decoding.keep(rows)
        tokens, counts = chosen[:, None], torch.ones_like(chosen)


def _padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return tokens [R, S], filled up with 0, and the number of tokens of each row [R]."""
    counts = torch.tensor([len(prompt) for prompt in prompts])
    tokens = torch.zeros((len(prompts), int(counts.max())), dtype=torch.int64)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    return tokens.to(device), counts.to(device)


def _of_first_rank(tokens: Tensor, model: Gpt) -> Tensor:
    """Return the tokens of the first tp rank on all of them.

    They choose from the same logits with the same draws; but a cumulated sum on a GPU may differ in its last bit from run to
    run, and ranks that have parted once would write nonsense together.
    """
    mesh = model.tensor_parallel.mesh
    own = tokens if mesh.get_local_rank() == 0 else torch.zeros_like(tokens)
    return collectives.reduce(own, mesh.get_group())
