"""`megatron-bio fill`: the likeliest tokens of a BERT's checkpoint for each [MASK] of a text.

Shapes: R texts of a batch, S tokens of the longest, M masks of the text with most, V tokens of the vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from megatron_bio.config.generate import FillOptions
from megatron_bio.generation.errors import GenerationError
from megatron_bio.generation.inputs import Text, read_texts
from megatron_bio.generation.results import Result, open_results
from megatron_bio.generation.session import (
    load_model,
    open_session,
    require_finite,
    warn_of_untrained_positions,
)
from megatron_bio.models.bert import Bert
from megatron_bio.models.decoding import whole_vocabulary
from megatron_bio.parallel.agreement import result_of_first_rank
from megatron_bio.tokens.tokenizer import Tokenizer

MASK = "[MASK]"


@dataclass(frozen=True)
class Candidate:
    """A token for a masked position."""

    token: str
    id: int
    probability: float


@dataclass(frozen=True)
class _Masked:
    source: Text
    ids: list[int]
    positions: list[int]
    """Where the masks are among the ids."""


def fill(options: FillOptions) -> None:
    """Write the candidates for each mask, in the order of the texts, as soon as a batch is done."""
    with open_session(options.checkpoint, options.tokenizer, options.device, "bert") as session:
        texts = result_of_first_rank(
            lambda: read_texts("texts", options.texts, options.texts_file, ("text",))
        )
        positions = session.trained.model.max_position_embeddings
        masked = [_masked(text, session.tokenizer, positions) for text in texts]
        warn_of_untrained_positions(session.trained, max(len(text.ids) for text in masked))
        with open_results(options.output, len(masked), _as_text) as write:
            model = load_model(session, options.precision)
            assert isinstance(model, Bert)
            for text, candidates in _filled(model, masked, session.tokenizer, options):
                write(_result(text, candidates))


def _masked(text: Text, tokenizer: Tokenizer, positions: int) -> _Masked:
    """Encode a text as [CLS] text [SEP]; raises `GenerationError` for one without a mask or with too many tokens."""
    pieces = text.text.split(MASK)
    if len(pieces) == 1:
        raise GenerationError(
            f"{text.place}: expected a text with at least one {MASK}, in capitals; found {text.text[:60]!r}."
        )
    ids, masks = [tokenizer.cls], []
    for number, piece in enumerate(tokenizer.encode_batch(pieces)):
        if number:
            masks.append(len(ids))
            ids.append(tokenizer.mask)
        ids += piece.tolist()
    ids.append(tokenizer.sep)
    if len(ids) > positions:
        raise GenerationError(
            f"{text.place}: the text has {len(ids)} tokens with [CLS] and [SEP], but the model has {positions} positions; "
            f"shorten it, or keep only what stands around the {MASK}."
        )
    return _Masked(text, ids, masks)


def _filled(
    model: Bert, texts: Sequence[_Masked], tokenizer: Tokenizer, options: FillOptions
) -> Iterator[tuple[_Masked, list[list[Candidate]]]]:
    top_k = min(options.top_k, model.vocab_size)
    for first in range(0, len(texts), options.batch_size):
        batch = texts[first : first + options.batch_size]
        logits = masked_logits(model, [text.ids for text in batch], [text.positions for text in batch])
        require_finite(logits, options.precision)
        best = logits.softmax(-1).topk(top_k)
        for row, text in enumerate(batch):
            yield (
                text,
                [
                    [
                        Candidate(tokenizer.id_to_token(number) or "", number, probability)
                        for number, probability in zip(
                            best.indices[row, mask].tolist(), best.values[row, mask].tolist(), strict=True
                        )
                    ]
                    for mask in range(len(text.positions))
                ],
            )


@torch.no_grad()
def masked_logits(
    model: Bert, ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Return float32 logits [R, M, V] at the positions of each text, the same on every tp rank.

    Texts of different lengths stand in rows of one length; attention does not see what fills them up. Nor is there a
    meaning in the logits beyond a text's own number of positions.
    """
    device = next(model.parameters()).device
    length, most = max(map(len, ids)), max(map(len, positions))
    tokens = torch.tensor([[*row, *[0] * (length - len(row))] for row in ids], device=device)
    real = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids], device=device)
    at = torch.tensor([[*row, *[0] * (most - len(row))] for row in positions], device=device)
    columns = torch.arange(length, device=device).expand_as(tokens)
    hidden = model.encode(tokens, real, columns, torch.zeros_like(tokens), torch.zeros_like(tokens[:, 0]))
    logits = model.masked_lm_head(model.rows_at(hidden, at), model.embeddings.word_embeddings)
    return whole_vocabulary(logits, model)


def _result(text: _Masked, candidates: Sequence[Sequence[Candidate]]) -> dict[str, Any]:
    return {
        **({} if text.source.id is None else {"id": text.source.id}),
        "text": text.source.text,
        "filled": _with_the_best(text.source.text, candidates),
        "masks": [[vars(candidate) for candidate in mask] for mask in candidates],
    }


def _with_the_best(text: str, candidates: Sequence[Sequence[Candidate]]) -> str:
    """Put the likeliest token in the place of each mask; one that continues a word (##…) joins what stands before it."""
    filled, *rest = text.split(MASK)
    for piece, (best, *_) in zip(rest, candidates, strict=True):
        if best.token.startswith("##") and filled.strip():
            filled = filled.rstrip() + best.token.removeprefix("##")
        else:
            filled += best.token
        filled += piece
    return filled


def _as_text(result: Result) -> str:
    lines = [result["text"]]
    for number, mask in enumerate(result["masks"], start=1):
        found = "  ".join(f"{one['token']} {one['probability']:.4f}" for one in mask)
        lines.append(f"  {MASK} {number}: {found}")
    return "\n".join(lines)
