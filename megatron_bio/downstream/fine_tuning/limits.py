"""What a model's tables have room for, against the rows that it is to read."""

from collections.abc import Iterable, Sequence

from torch import nn
from transformers import PreTrainedModel

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.tasks.form import Row


def require_rows_fit(backbone: PreTrainedModel, rows: Iterable[Row]) -> None:
    """Raise ConfigurationError for a row longer than the model's positions, and for a piece that has no embedding."""
    table = backbone.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    positions, embeddings = _positions(backbone), table.num_embeddings
    for row in rows:
        for pieces in _options(row["input_ids"]):
            if positions is not None and len(pieces) > positions:
                raise ConfigurationError(
                    f"--max_length: expected at most {positions}, the model's positions, found a row of {len(pieces)} "
                    f"pieces. Give --max_length {positions}."
                )
            if pieces and max(pieces) >= embeddings:
                raise ConfigurationError(
                    f"expected a tokenizer with at most {embeddings:,} tokens, the model's embeddings, found token "
                    f"{max(pieces):,} in the data. Is the tokenizer this model's?"
                )


def _options(pieces: Sequence[int] | Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
    return pieces if pieces and not isinstance(pieces[0], int) else [pieces]  # type: ignore[return-value,list-item]


def _positions(backbone: PreTrainedModel) -> int | None:
    """The longest row; None where positions are not learnt."""
    tables = [
        part
        for name, part in backbone.named_modules()
        if name.endswith(("position_embeddings", "wpe")) and isinstance(part, nn.Embedding)
    ]
    # RoBERTa counts positions from the one behind its padding token's.
    return min(
        (
            table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
            for table in tables
        ),
        default=None,
    )
