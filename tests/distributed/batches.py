"""Random batches of the final structure: several samples per row, padding, unequal numbers of predictions."""

import torch

ROWS, LENGTH, VOCABULARY, BUDGET = 8, 16, 250, 4


def bert_batch(step: int) -> dict[str, torch.Tensor]:
    """Return ROWS rows; each has one or two samples, some padding, 1 to BUDGET masked positions."""
    g = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, VOCABULARY, (ROWS, LENGTH), generator=g)
    first = torch.randint(4, 9, (ROWS, 1), generator=g)
    stop = torch.randint(10, LENGTH + 1, (ROWS, 1), generator=g)
    column = torch.arange(LENGTH)[None]
    segments = (1 + (column >= first).int()) * (column < stop).int()
    weights = (torch.arange(BUDGET)[None] < torch.randint(1, BUDGET + 1, (ROWS, 1), generator=g)).float()
    return {
        "tokens": tokens,
        "segment_ids": segments,
        "position_ids": torch.where(column >= first, column - first, column),
        "tokentype_ids": torch.randint(0, 2, (ROWS, LENGTH), generator=g),
        "masked_positions": torch.randint(0, 10, (ROWS, BUDGET), generator=g),
        "masked_labels": torch.randint(0, VOCABULARY, (ROWS, BUDGET), generator=g),
        "masked_weights": weights,
        "cls_positions": torch.cat((torch.zeros(ROWS, 1, dtype=torch.int64), first), 1),
        "order_labels": torch.randint(0, 2, (ROWS, 2), generator=g),
        "order_weights": torch.randint(0, 2, (ROWS, 2), generator=g).float(),
        "sample_ids": torch.arange(ROWS) + step * ROWS,
    }


def gpt_batch(step: int) -> dict[str, torch.Tensor]:
    """Return ROWS rows of one or two documents."""
    batch = bert_batch(step)
    g = torch.Generator().manual_seed(1000 + step)
    return {
        **{name: batch[name] for name in ("tokens", "segment_ids", "position_ids", "sample_ids")},
        "labels": torch.randint(0, VOCABULARY, (ROWS, LENGTH), generator=g),
        "label_weights": (batch["segment_ids"] > 0).float(),
    }
