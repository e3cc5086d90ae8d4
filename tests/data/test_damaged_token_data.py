"""Whatever stands in .idx and .bin: an error of the package, or rows made inside of the arrays; never a read past an end."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import UserError
from megatron_bio.data.bert_samples import BertSamples
from megatron_bio.data.build import _bert_recipe, build_datasets
from megatron_bio.data.dataset import BertDataset
from megatron_bio.data.packing import pack_rows
from megatron_bio.tokens.errors import TokenDataError
from megatron_bio.tokens.indexed import CHUNK, HEADER, IndexedReader, IndexedWriter
from tests.data.test_build import wordpiece

SEQUENCES, DOCUMENTS = 12, 4
LENGTHS, POINTERS = HEADER.size, HEADER.size + 4 * SEQUENCES
BOUNDS = POINTERS + 8 * SEQUENCES


def small(folder: Path, name: str = "t", length: int = 5) -> Path:
    prefix = folder / name
    with IndexedWriter(prefix, 1000) as writer:
        for number in range(SEQUENCES):
            writer.add_sequence(np.full(length, 5 + number))
            if number % 3 == 2:
                writer.end_document()
    return prefix


def use(prefix: Path) -> None:
    """Do with the data what a run does."""
    reader = IndexedReader(prefix)
    for number in range(len(reader)):
        assert len(reader[number]) <= reader.token_count
    config = DataConfig(
        prefixes=[str(prefix)],
        tokenizer="none",
        sequence_length=16,
        split=(1.0, 0.0, 0.0),
        index_cache="none",
    )
    train, _, _ = build_datasets(config, "bert", wordpiece())
    train.batch(np.arange(len(train)))


def put(prefix: Path, offset: int, form: str, *values: int) -> None:
    path = prefix.with_name(prefix.name + ".idx")
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(content)


ATTACKS: dict[str, tuple[int, str, tuple[int, ...]]] = {
    "sequences 2^63": (18, "<Q", (2**63,)),
    "sequences 2^64 - 1": (18, "<Q", (2**64 - 1,)),
    # 12 S overflows to 12 x 12 modulo 2^64
    "sequences that overflow": (18, "<Q", (SEQUENCES + 2**62,)),
    "one sequence more": (18, "<Q", (SEQUENCES + 1,)),
    "two sequences more, three documents fewer": (18, "<QQ", (SEQUENCES + 2, DOCUMENTS + 1 - 3)),
    "documents 2^61": (26, "<Q", (DOCUMENTS + 1 + 2**61,)),
    "documents 2^64 - 1": (26, "<Q", (2**64 - 1,)),
    "documents 0": (26, "<Q", (0,)),
    "int32 instead of uint16": (17, "<B", (4,)),
    "uint8 instead of uint16": (17, "<B", (1,)),
    "float": (17, "<B", (6,)),
    "dtype 0": (17, "<B", (0,)),
    "negative length": (LENGTHS + 4 * 5, "<i", (-5,)),
    "huge length": (LENGTHS + 4 * 5, "<i", (2**31 - 1,)),
    "last length huge": (LENGTHS + 4 * 11, "<i", (2**31 - 1,)),
    "pair of lengths that cancel": (LENGTHS + 4 * 5, "<ii", (-100, 110)),
    "pointer beyond": (POINTERS + 8 * 5, "<q", (10**9,)),
    "pointer 2^63 - 1": (POINTERS + 8 * 5, "<q", (2**63 - 1,)),
    "negative pointer": (POINTERS + 8 * 5, "<q", (-10,)),
    "first pointer": (POINTERS, "<q", (2,)),
    "last pointer": (POINTERS + 8 * 11, "<q", (2**63 - 2,)),
    "falling document": (BOUNDS + 8, "<q", (9,)),
    "document beyond": (BOUNDS + 8 * 2, "<q", (10**9,)),
    "negative document": (BOUNDS + 8 * 2, "<q", (-1,)),
    "last document": (BOUNDS + 8 * 4, "<q", (13,)),
    "first document": (BOUNDS, "<q", (1,)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_damaged_index_is_refused(tmp_path: Path, name: str) -> None:
    prefix = small(tmp_path)
    use(prefix)
    offset, form, values = ATTACKS[name]
    put(prefix, offset, form, *values)
    with pytest.raises(TokenDataError, match=r"t\.(idx|bin)"):
        IndexedReader(prefix)


def test_a_last_sequence_that_ends_where_it_should_but_begins_behind_is_refused(tmp_path: Path) -> None:
    prefix = small(tmp_path)
    put(prefix, LENGTHS + 4 * 11, "<i", -5)
    put(prefix, POINTERS + 8 * 11, "<q", SEQUENCES * 5 * 2 + 5 * 2)
    with pytest.raises(
        TokenDataError, match=r"t\.idx: expected 0 or more tokens in the last sequence, found -5"
    ):
        IndexedReader(prefix)


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
@pytest.mark.parametrize("change", [-1, 1, -10, None])
def test_files_of_another_size_are_refused(tmp_path: Path, suffix: str, change: int | None) -> None:
    prefix = small(tmp_path)
    path = prefix.with_name("t" + suffix)
    content = path.read_bytes()
    path.write_bytes(b"" if change is None else content[:change] if change < 0 else content + b"\0")
    with pytest.raises(TokenDataError):
        IndexedReader(prefix)


def test_files_of_two_runs_are_refused(tmp_path: Path) -> None:
    prefix, other = small(tmp_path), small(tmp_path, "other", 6)
    other.with_name("other.bin").replace(prefix.with_name("t.bin"))
    with pytest.raises(TokenDataError, match=r"t\.bin: expected 120 bytes"):
        IndexedReader(prefix)


def test_random_bytes_in_the_index(tmp_path: Path) -> None:
    """Refused, or without effect on what may be read."""
    prefix = small(tmp_path)
    path = prefix.with_name("t.idx")
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        content = bytearray(sound)
        for place in rng.integers(0, len(sound), rng.integers(1, 4)).tolist():
            content[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(0, 256)])
        path.write_bytes(content)
        try:
            use(prefix)
        except UserError:
            refused += 1
    assert refused > 200


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path, int]:
    """An index that is looked at in places only: its bytes, its prefix, and a sequence that is not looked at."""
    prefix = tmp_path_factory.mktemp("large") / "t"
    sequences = CHUNK + 90_000 * 2
    with IndexedWriter(prefix, 100) as writer:
        writer.add_sequences(np.full(sequences * 2, 7), np.full(sequences, 2))
        writer.end_documents(np.full(sequences // 4, 4))
    sampled = set((np.linspace(0, 1, 4096) * (sequences - 2)).astype(np.int64).tolist())
    place = next(
        number for number in range(5_000, sequences) if not sampled & set(range(number - 3, number + 4))
    )
    return prefix.with_name("t.idx").read_bytes(), prefix, place


def changed(sound: bytes, offset: int, form: str, *values: int) -> bytes:
    content = bytearray(sound)
    struct.pack_into(form, content, offset, *values)
    return bytes(content)


def sequences_of(sound: bytes) -> int:
    return int(HEADER.unpack(sound[: HEADER.size])[3])


LARGE_ATTACKS: dict[str, Callable[[bytes, int], bytes]] = {
    "negative": lambda sound, place: changed(sound, LENGTHS + 4 * place, "<i", -1),
    "huge": lambda sound, place: changed(sound, LENGTHS + 4 * place, "<i", 2**31 - 1),
    "cancelling": lambda sound, place: changed(sound, LENGTHS + 4 * place, "<ii", -(2**30), 2**30 + 4),
    "pointer one token on": lambda sound, place: changed(
        sound, LENGTHS + 4 * sequences_of(sound) + 8 * place, "<q", 4 * place + 2
    ),
    "pointers of other sequences": lambda sound, place: changed(
        sound, LENGTHS + 4 * sequences_of(sound) + 8 * place, "<qq", 0, 4
    ),
    "falling document": lambda sound, place: changed(
        sound, LENGTHS + 12 * sequences_of(sound) + 8 * (place // 4 + 2), "<q", 2**40
    ),
    "negative document": lambda sound, place: changed(
        sound, LENGTHS + 12 * sequences_of(sound) + 8 * (place // 4 + 2), "<q", -5
    ),
}


@pytest.mark.parametrize("name", LARGE_ATTACKS)
def test_a_damaged_middle_of_a_large_index_is_refused_by_a_run(
    large: tuple[bytes, Path, int], name: str
) -> None:
    sound, prefix, place = large
    prefix.with_name("t.idx").write_bytes(LARGE_ATTACKS[name](sound, place))
    config = DataConfig(prefixes=[str(prefix)], tokenizer="none", split=(1.0, 0.0, 0.0), index_cache="none")
    with pytest.raises(UserError, match=r"t\.idx"):
        build_datasets(config, "bert", wordpiece())
    with pytest.raises(TokenDataError):
        IndexedReader(prefix).verify()


def test_pointers_in_a_damaged_middle_never_lead_outside(large: tuple[bytes, Path, int]) -> None:
    sound, prefix, place = large
    pointers = LENGTHS + 4 * sequences_of(sound)
    tokens = IndexedReader(prefix).token_count if prefix.with_name("t.idx").write_bytes(sound) else 0
    samples: BertSamples | None = None
    for value in (2**62, -(2**62), tokens * 2 - 2, 2**63 - 1, 1):
        prefix.with_name("t.idx").write_bytes(changed(sound, pointers + 8 * place, "<q", value))
        reader = IndexedReader(prefix)
        assert len(reader.sequences(place, place + 1)) <= tokens
        if samples is None:
            samples = pack_rows(
                reader.sequence_lengths,
                reader.document_indices,
                np.arange(place // 4 - 50, place // 4 + 50),
                sequence_length=16,
                max_samples_per_row=4,
                paired=True,
                short_sequence_probability=0.1,
                seed=1,
            )
        read_rows(reader, samples)


def read_rows(reader: IndexedReader, samples: BertSamples) -> None:
    """Refused by compiled code, or cut short or out of place; the process lives, which is what is asked."""
    config = DataConfig(prefixes=["t"], tokenizer="none", sequence_length=16, max_samples_per_row=4)
    dataset = BertDataset(reader, samples, _bert_recipe(config, wordpiece()))
    for row in range(len(dataset)):
        try:
            batch = dataset.batch(np.array([row]))
        except (ValueError, UserError):
            continue
        assert batch.tokens.min() >= 0 and batch.tokens.max() < wordpiece().vocab_size
