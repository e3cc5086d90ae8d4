"""Sum of embeddings: time and bandwidth beside torch and torch.compile.

    python benchmarks/kernels/embedding_sum.py

The tables are float32, as models hold them, and the sum is bfloat16. Accesses are counted in the tables' elements, so the bandwidth
says what share of the unavoidable bytes a candidate reaches.
"""

import torch
from measure import Bench, main
from torch import Tensor

from megatron_bio.kernels.embedding_sum import embedding_sum, reference

ROWS, LENGTH, SAMPLES_OF_A_ROW = 32, 512, 3
VOCABULARY, POSITIONS, TYPES = 30592, 512, 2
TOKENS = ROWS * LENGTH


def ids_of(vocabulary: int) -> list[Tensor]:
    """Return ids of a microbatch: words as frequent as in text (Zipf's law), positions that restart, two types."""
    generator = torch.Generator().manual_seed(0)
    shares = 1.0 / torch.arange(1, vocabulary + 1)
    words = torch.multinomial(shares, TOKENS, replacement=True, generator=generator).view(ROWS, LENGTH)
    column = torch.arange(LENGTH).expand(ROWS, -1)
    part = LENGTH // SAMPLES_OF_A_ROW + 1
    return [words, column % part, column % part * 2 // part]


def bench(hidden: int) -> Bench:
    """Return a microbatch of 32 rows of 512 tokens; the shape is that of the words' table."""
    ids: list[Tensor] = []  # made with the inputs, so that they take no part in the time

    def inputs(device: torch.device, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        ids[:] = [numbers.to(device) for numbers in ids_of(shape[0])]
        sizes = shape, (POSITIONS, shape[1]), (TYPES, shape[1])
        return tuple(torch.randn(size, device=device).requires_grad_() for size in sizes)

    # The words that occur are read once, the sum is written; the backward reads its gradient and writes the tables'.
    found, of_sum, of_table = ids_of(VOCABULARY)[0].unique().numel(), TOKENS * 2, VOCABULARY * 4
    forward = (found * 4 + of_sum) / of_table
    return Bench(
        "embedding_sum",
        (VOCABULARY, hidden),
        inputs,
        lambda *tables: reference(ids, tables, torch.bfloat16),
        lambda *tables: embedding_sum(ids, tables, torch.bfloat16),
        forward,
        forward + of_sum / of_table + 1,
    )


if __name__ == "__main__":
    main([bench(hidden) for hidden in (1024, 2048, 2560)])  # the widths of the published models
