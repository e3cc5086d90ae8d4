"""What `preprocess` writes is what Megatron's builder writes for the same ids, and GPTDataset gives our tokens."""

import json
import random
import warnings
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer as Core
from tokenizers import pre_tokenizers

from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.tokens.indexed import IndexedReader
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import build_byte_level
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder

pytestmark = pytest.mark.peer
WORDS = ["mice", "died.", "All", "rats", "(coli)", "0.05", "E."]


@pytest.fixture(scope="module")
def peer() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = "megatron.core.datasets.indexed_dataset"
        return pytest.importorskip(name, reason="megatron-core is not installed", exc_type=ImportError)


@pytest.fixture
def documents(tmp_path: Path) -> tuple[str, list[str]]:
    generator = random.Random(3)
    texts = [" ".join(generator.choices(WORDS, k=generator.randrange(1, 40))) for _ in range(60)]
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path), texts


def byte_level(folder: Path, extra: int) -> Path:
    """`extra` pieces that no text has make the ids of the files wider."""
    pieces = [
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *(f"unused{n}" for n in range(extra)),
        "<|endoftext|>",
    ]
    core = build_byte_level(
        {piece: number for number, piece in enumerate(pieces)}, [], add_prefix_space=False
    )
    write_tokenizer_folder(folder, core)
    return folder


@pytest.mark.parametrize("extra", [0, 70_000])
def test_documents_are_those_of_megatrons_builder(
    peer: ModuleType, tmp_path: Path, documents: tuple[str, list[str]], extra: int
) -> None:
    folder = byte_level(tmp_path / "bpe", extra)
    preprocess(
        PreprocessOptions(inputs=[documents[0]], tokenizer=folder, output=tmp_path / "ours", workers=2)
    )
    core = Core.from_file(str(folder / "tokenizer.json"))
    builder = peer.IndexedDatasetBuilder(
        str(tmp_path / "theirs.bin"), dtype=peer.DType.optimal_dtype(core.get_vocab_size())
    )
    for text in documents[1]:
        ids = [*core.encode(text).ids, core.token_to_id("<|endoftext|>")]
        builder.add_document(ids, [len(ids)])
    builder.finalize(str(tmp_path / "theirs.idx"))
    assert IndexedReader(tmp_path / "ours").dtype == (np.int32 if extra else np.uint16)
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()


def test_sentences_are_those_of_megatrons_builder(
    peer: ModuleType, tmp_path: Path, documents: tuple[str, list[str]], wordpiece: Path
) -> None:
    preprocess(PreprocessOptions(inputs=[documents[0]], tokenizer=wordpiece, output=tmp_path / "ours"))
    reader = IndexedReader(tmp_path / "ours")
    assert len(reader) > reader.document_count
    dtype = peer.DType.optimal_dtype(Tokenizer.load(wordpiece).vocab_size)
    builder = peer.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=dtype)
    for start, end in pairwise(reader.document_indices.tolist()):
        ids = reader.sequences(start, end).tolist()
        builder.add_document(ids, reader.sequence_lengths[start:end].tolist())
    builder.finalize(str(tmp_path / "theirs.idx"))
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()


@pytest.mark.parametrize("extra", [0, 70_000])
def test_megatrons_gpt_dataset_gives_our_tokens(
    peer: ModuleType, tmp_path: Path, documents: tuple[str, list[str]], extra: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gpt = pytest.importorskip(
            "megatron.core.datasets.gpt_dataset",
            reason="megatron-core is not installed",
            exc_type=ImportError,
        )
        utils = pytest.importorskip("megatron.core.datasets.utils", reason="megatron-core is not installed")
    folder = byte_level(tmp_path / "bpe", extra)
    prefix = tmp_path / "ours"
    preprocess(PreprocessOptions(inputs=[documents[0]], tokenizer=folder, output=prefix))
    tokenizer = Tokenizer.load(folder)
    config = gpt.GPTDatasetConfig(
        random_seed=5,
        sequence_length=32,
        blend=([str(prefix)], None),
        split="100,0,0",
        path_to_cache=str(tmp_path / "cache"),
        tokenizer=SimpleNamespace(
            eod=tokenizer.eod, vocab_size=tokenizer.vocab_size, unique_identifiers={"name": "ours"}
        ),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        mid_level_dataset_surplus=0.005,
    )
    count = 90
    reader = IndexedReader(prefix)
    dataset = gpt.GPTDataset(
        peer.IndexedDataset(str(prefix)),
        str(prefix),
        np.arange(reader.document_count, dtype=np.int32),
        count,
        utils.Split.train,
        config,
    )
    stream = np.concatenate([reader[number] for number in dataset.document_index.tolist()])
    assert len(dataset) >= count
    for number in range(count):
        start = int(dataset.shuffle_index[number]) * 32
        sample = dataset[number]
        assert sample["tokens"].tolist() == stream[start : start + 32].tolist()
        assert sample["labels"].tolist() == stream[start + 1 : start + 33].tolist()
