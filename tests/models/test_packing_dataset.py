"""Packing changes nothing, on the rows that the data package makes of text: documents of many lengths, masked and cut."""

import numpy as np
import pytest

from megatron_bio.config.data import DataConfig
from megatron_bio.data.build import Architecture, build_datasets
from megatron_bio.tokens.tokenizer import Tokenizer
from tests.distributed.pool import Pool
from tests.distributed.tiny_run import make_data
from tests.models.packed_rows import Arrays, differences, tensor_parallel, tiny_model

LENGTH, ROWS, TOLERANCE = 128, 5, 1e-5


@pytest.fixture(scope="module", params=["bert", "gpt"])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Arrays, int]:
    """Architecture, rows of 2 to 8 samples, size of the vocabulary."""
    architecture: Architecture = request.param
    folder = tmp_path_factory.mktemp(architecture)
    make_data(folder, architecture)
    tokenizer = Tokenizer.load(folder / "vocabulary")
    config = DataConfig(
        prefixes=[str(folder / "tokens")],
        tokenizer=str(folder / "vocabulary"),
        sequence_length=LENGTH,
        split=(1.0, 0.0, 0.0),
        max_samples_per_row=8,
        reset_at_document_end=True,
    )
    train, _, _ = build_datasets(config, architecture, tokenizer)
    batch = train.batch(np.arange(ROWS))
    counts = batch.segment_ids.max(axis=1)
    assert counts.min() >= 2 and counts.max() <= 8, counts
    return architecture, dict(vars(batch)), tokenizer.vocab_size


@pytest.mark.parametrize(("tp", "sequence_parallel"), [(1, False), (2, True)])
def test_samples_of_real_rows_equal_the_samples_alone(
    rows: tuple[str, Arrays, int], tp: int, sequence_parallel: bool, pool: Pool
) -> None:
    architecture, arrays, vocab_size = rows
    model = tiny_model(architecture, vocab_size, LENGTH)
    found = pool.run(differences, tp, arrays, model, tensor_parallel(tp, sequence_parallel), tp)
    for on_rank in found:
        assert not {name: value for name, value in on_rank.items() if not value <= TOLERANCE}, on_rank
