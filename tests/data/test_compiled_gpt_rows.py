"""Compiled GPT rows equal their definition bit for bit, and refuse streams that do not fit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio import native
from megatron_bio.data.dataset import GptDataset
from megatron_bio.data.gpt_samples import GptRecipe, Stream, rows_by_definition
from megatron_bio.data.sources import combine

pytestmark = pytest.mark.skipif(native.compiled is None, reason="the compiled parts are not built")

TYPES = {"segment_ids": np.int32, "label_weights": np.float32}


def compiled(files: list[np.ndarray], stream: Stream, first: np.ndarray, recipe: GptRecipe) -> dict[str, Any]:
    assert native.compiled is not None
    return native.compiled.gpt_rows(
        files,
        stream.starts,
        stream.before,
        first,
        recipe.sequence_length,
        recipe.pad,
        recipe.reset_at_document_end,
    )


def assert_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype == TYPES.get(name, np.int64), name
        assert found[name].shape == array.shape and np.array_equal(found[name], array), name
        assert found[name].flags.c_contiguous and found[name].flags.writeable and found[name].flags.aligned


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.lists(st.integers(0, 12), min_size=1, max_size=30),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([np.uint16, np.int32]),
)
def test_rows_equal_their_definition(
    seed: int, file_count: int, sizes: list[int], length: int, reset: bool, dtype: type
) -> None:
    rng = np.random.default_rng(seed)
    largest = int(np.iinfo(dtype).max)
    files = [rng.integers(0, largest, 40, endpoint=True).astype(dtype) for _ in range(file_count)]
    starts = np.array([40 * rng.integers(file_count) + rng.integers(0, 41 - size) for size in sizes])
    stream = Stream(starts, np.cumsum([0, *sizes]))
    places = max(int(stream.before[-1]) - length, 0)
    first = rng.integers(-1, places, 7) if places else np.full(7, -1)
    recipe = GptRecipe(sequence_length=length, pad=3, reset_at_document_end=reset, seed=1)
    assert_equal(compiled(files, stream, first, recipe), rows_by_definition(files, stream, first, recipe))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("reset", [False, True])
def test_batches_of_several_files_are_the_same_without_compiled_code(
    memory_source, random_documents, monkeypatch: pytest.MonkeyPatch, dtype: type, reset: bool
) -> None:
    parts = [memory_source(random_documents(30, seed), dtype=dtype) for seed in (1, 2)]
    source = combine(parts, ["one", "two"])
    recipe = GptRecipe(sequence_length=24, pad=0, reset_at_document_end=reset, seed=5)
    chosen = np.arange(len(source.document_indices) - 1)[::-1].copy()

    def batches() -> list[dict[str, Any]]:
        dataset = GptDataset(source, chosen, recipe)
        size = len(dataset)
        indices = [np.arange(size), np.array([5 * size - 1, 0, 5 * size, 2]), np.empty(0, dtype=np.int64)]
        return [vars(dataset.batch(index)) for index in indices] + [
            vars(dataset.evaluation_batch(np.array([-1, size - 1, -1, 0])))
        ]

    fast = batches()
    monkeypatch.setattr(native, "compiled", None)
    monkeypatch.setattr("megatron_bio.data.order.compiled", None)
    for found, wanted in zip(fast, batches(), strict=True):
        for name, array in wanted.items():
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array), name


GOOD = Stream(np.array([0, 4]), np.array([0, 4, 10]))
FILES = [np.arange(10, dtype=np.uint16)]
RECIPE = GptRecipe(sequence_length=5, pad=0, reset_at_document_end=True, seed=1)
FAR = 2**63 - 1


@pytest.mark.parametrize(
    ("starts", "before", "first"),
    [
        ([0, 4], [0, 4, 10], 5),
        ([0, 4], [0, 4, 10], FAR),
        ([0, 5], [0, 4, 10], 4),
        ([0, -1], [0, 4, 10], 4),
        ([0, FAR], [0, 4, 10], 0),
        ([0, -FAR - 1], [0, 4, 10], 4),
        ([0, 4], [0, 11, 20], 5),
        ([0, 4], [3, 4, 10], 0),
        ([0, 4], [-FAR, 4, 10], 0),
        ([0, 4], [0, -FAR, FAR], 1),
        ([0, 4], [0, 4, -FAR - 1], 0),
        ([], [0], 0),
        ([], [100], 0),
        ([0, 4], [0, 1, FAR], 3),
    ],
)
def test_rows_outside_of_stream_and_files_are_refused(
    starts: list[int], before: list[int], first: int
) -> None:
    stream = Stream(np.array(starts, dtype=np.int64), np.array(before, dtype=np.int64))
    with pytest.raises(ValueError, match="expected documents that follow one another"):
        compiled(FILES, stream, np.array([first]), RECIPE)


def test_a_document_over_two_files_is_refused() -> None:
    first = np.array([4])
    assert compiled([FILES[0][:4], FILES[0][4:]], GOOD, first, RECIPE)["tokens"].tolist() == [[4, 5, 6, 7, 8]]
    with pytest.raises(ValueError, match="each inside of one file"):
        compiled([FILES[0][:6], FILES[0][6:]], GOOD, first, RECIPE)


def test_arrays_of_another_kind_are_refused() -> None:
    first = np.array([0])
    starts, before = GOOD.starts, GOOD.before
    compiled_rows = native.compiled.gpt_rows  # type: ignore[union-attr]
    assert compiled_rows(FILES, starts, before, first, 5, 0, False)["tokens"].tolist() == [[0, 1, 2, 3, 4]]
    wrong = [
        ([], starts, before, first, 5),
        ([FILES[0].astype(np.int16)], starts, before, first, 5),
        ([FILES[0], FILES[0].astype(np.int32)], starts, before, first, 5),
        ([FILES[0][::2]], starts, before, first, 5),
        (FILES, starts, before[:-1], first, 5),
        (FILES, starts.astype(np.int32), before, first, 5),
        (FILES, starts, before, first.astype(np.float64), 5),
        (FILES, starts, before, first, 0),
        (FILES, starts, before, first, 2**40),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match="expected"):
            compiled_rows(*arguments, 0, False)
