"""From files to datasets: what fits is opened and counted, what does not is refused with the remedy."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from megatron_bio import native
from megatron_bio.config.data import DataConfig
from megatron_bio.data.build import build_datasets
from megatron_bio.data.dataset import BertDataset, GptDataset
from megatron_bio.data.errors import DataError
from megatron_bio.tokens.errors import TokenDataError, TokenizerError
from megatron_bio.tokens.indexed import IndexedWriter
from megatron_bio.tokens.sidecar import Sidecar, sidecar_path
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import build_byte_level, build_wordpiece

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopq"]


def wordpiece(extra: int = 0) -> Tokenizer:
    pieces = SPECIAL + PIECES + [f"##{piece}" for piece in PIECES] + ["z"] * extra
    return Tokenizer(
        build_wordpiece({piece: number for number, piece in enumerate(pieces)}, True), "wordpiece"
    )


def byte_level() -> Tokenizer:
    pieces = [*PIECES, "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return Tokenizer(build_byte_level(vocabulary, [], add_prefix_space=False), "bpe")


def write(
    prefix: Path, documents: list[list[list[int]]], tokenizer: Tokenizer, kind: str, sidecar: bool = True
) -> str:
    with IndexedWriter(prefix, tokenizer.vocab_size) as writer:
        for document in documents:
            for sequence in document:
                writer.add_sequence(np.array(sequence))
            writer.end_document()
        files = writer.finish()
        content = Sidecar(
            kind=kind,
            tokenizer=tokenizer.name,
            tokenizer_kind=tokenizer.kind,
            tokenizer_fingerprint=tokenizer.fingerprint,
            vocab_size=tokenizer.vocab_size,
            eod=None,
            documents=len(documents),
            sequences=sum(map(len, documents)),
            tokens=sum(len(sequence) for document in documents for sequence in document),
            unknown_tokens=0,
            skipped={},
            files=files,
        )
        if sidecar:
            writer.add_file(sidecar_path(prefix), content.to_json())
    return str(prefix)


def sentences(count: int, seed: int = 0) -> list[list[list[int]]]:
    rng = np.random.default_rng(seed)
    return [
        [rng.integers(5, 140, rng.integers(3, 20)).tolist() for _ in range(rng.integers(2, 6))]
        for _ in range(count)
    ]


def whole(count: int, seed: int = 0) -> list[list[list[int]]]:
    rng = np.random.default_rng(seed)
    return [[[*rng.integers(0, 69, rng.integers(10, 60)).tolist(), 70]] for _ in range(count)]


def config(*prefixes: str, **changes: object) -> DataConfig:
    values = {"tokenizer": "unused", "sequence_length": 32, "split": (0.8, 0.1, 0.1), **changes}
    return DataConfig(prefixes=list(prefixes), **values)


def test_bert_parts_and_their_report(tmp_path: Path) -> None:
    documents = sentences(200)
    prefix = write(tmp_path / "a", documents, wordpiece(), "sentences")
    train, validation, report = build_datasets(config(prefix, split=(0.6, 0.3, 0.1)), "bert", wordpiece())
    assert isinstance(train, BertDataset) and isinstance(validation, BertDataset)
    assert json.loads(json.dumps(report)) == report
    assert sum(report["documents"].values()) == 200 and min(report["documents"].values()) > 0
    for part in ("train", "validation"):
        assert report[part]["documents"] == report["documents"][part]
    assert report["train"]["rows"] == len(train) and report["validation"]["rows"] == len(validation)
    assert train.batch(np.arange(2)).order_weights.shape == (2, 16)
    tokens = sum(len(sequence) for document in documents for sequence in document)
    assert report["prefixes"][prefix]["tokens"] == tokens
    assert report["train"]["tokens"] + report["validation"]["tokens"] < tokens
    assert train.batch(np.arange(3)).tokens.shape == (3, 32)


def test_without_packing_each_row_holds_one_sample(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a", sentences(200), wordpiece(), "sentences")
    packed, _, packed_report = build_datasets(config(prefix), "bert", wordpiece())
    single, _, single_report = build_datasets(config(prefix, packing=False), "bert", wordpiece())
    batch = single.batch(np.arange(len(single)))
    assert batch.segment_ids.max() == 1 and batch.order_weights.shape[1] == 1
    assert single_report["train"]["rows"] == single_report["train"]["samples"] > len(packed)
    assert packed_report["train"]["tokens"] == single_report["train"]["tokens"]
    assert packed_report["train"]["fill"] > single_report["train"]["fill"]
    assert single_report["train"]["fill"] == pytest.approx(batch.real_tokens / batch.tokens.size, abs=1e-4)
    batch = packed.batch(np.arange(len(packed)))
    assert packed_report["train"]["fill"] == pytest.approx(batch.real_tokens / batch.tokens.size, abs=1e-4)


@pytest.mark.parametrize("order", ["sop", "nsp", "none"])
def test_the_sentence_order_reaches_the_rows(tmp_path: Path, order: str) -> None:
    prefix = write(tmp_path / "a", sentences(200), wordpiece(), "sentences")
    train, _, _ = build_datasets(config(prefix, sentence_order=order), "bert", wordpiece())
    batch = train.batch(np.arange(len(train)))
    assert (batch.ordered > 0) == (order != "none")
    full = batch.real_tokens / batch.tokens.size
    assert full == pytest.approx(train.counts()["fill"], abs=1e-4) or (
        order == "nsp" and full < train.counts()["fill"]
    )


def test_rows_packed_without_compiled_code_are_the_same_and_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = write(tmp_path / "a", sentences(100), wordpiece(), "sentences")
    before, _, compiled_report = build_datasets(config(prefix, index_cache="none"), "bert", wordpiece())
    monkeypatch.setattr(native, "compiled", None)
    after, _, report = build_datasets(config(prefix, index_cache="none"), "bert", wordpiece())
    assert report.pop("packing") == native.NOTICE
    assert report == {name: part for name, part in compiled_report.items() if name != "packing"}
    assert np.array_equal(before.batch(np.arange(40)).tokens, after.batch(np.arange(40)).tokens)
    single = build_datasets(config(prefix, packing=False, index_cache="none"), "bert", wordpiece())
    assert single[2]["packing"] == native.NOTICE
    assert "packing" not in compiled_report


def test_bert_masking_uses_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = wordpiece()
    head, tail = tokenizer.token_to_id("ak"), tokenizer.token_to_id("##ak")
    prefix = write(tmp_path / "a", [[[head, tail, tail] * 5]] * 40, tokenizer, "sentences")
    for whole_word in (True, False):
        settings = config(
            prefix,
            masking="whole_word" if whole_word else "token",
            masked_lm_probability=0.2,
            packing=False,
        )
        batch = build_datasets(settings, "bert", tokenizer)[0].batch(np.arange(60))
        slots = batch.masked_weights > 0
        assert (slots.sum(axis=1) == 3).all(), "a fifth of fifteen pieces"
        starts = (batch.masked_positions[slots].reshape(60, 3)[:, 0] - 1) % 3
        assert set(starts.tolist()) == ({0} if whole_word else {0, 1, 2})
        now = np.take_along_axis(batch.tokens, batch.masked_positions, axis=1)[slots]
        assert (now == tokenizer.mask).mean() == pytest.approx(0.8, abs=0.12)
        assert not np.isin(now, [tokenizer.pad, tokenizer.cls, tokenizer.sep, tokenizer.unk]).any()


def test_unknown_tokens_are_neither_predicted_nor_drawn(tmp_path: Path) -> None:
    tokenizer = wordpiece()
    prefix = write(tmp_path / "a", [[[tokenizer.unk, 70] * 7]] * 40, tokenizer, "sentences")
    batch = build_datasets(config(prefix, split=(0.9, 0.1, 0.0)), "bert", tokenizer)[0].batch(np.arange(36))
    assert set(batch.masked_labels[batch.masked_weights > 0].tolist()) == {70}


def test_gpt_parts_and_their_report(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a", whole(200), byte_level(), "documents")
    train, validation, report = build_datasets(config(prefix), "gpt", byte_level())
    assert isinstance(train, GptDataset) and isinstance(validation, GptDataset)
    counts = report["train"]
    assert counts["samples"] * 32 + 1 + counts["dropped_tokens"] == counts["tokens"]
    assert (train.batch(np.arange(3)).segment_ids == 1).all()
    reset, _, _ = build_datasets(config(prefix, reset_at_document_end=True), "gpt", byte_level())
    batch = reset.batch(np.arange(30))
    assert np.array_equal(batch.label_weights == 0, batch.tokens == 70)
    assert (train.evaluation_batch(np.array([-1])).tokens == byte_level().eod).all()


def test_several_prefixes_are_one_corpus(tmp_path: Path) -> None:
    documents = sentences(60)
    parts = [
        write(tmp_path / "a", documents[:25], wordpiece(), "sentences"),
        write(tmp_path / "b", documents[25:], wordpiece(), "sentences"),
    ]
    together, _, first = build_datasets(config(*parts), "bert", wordpiece())
    one = write(tmp_path / "all", documents, wordpiece(), "sentences")
    alone, _, second = build_datasets(config(one), "bert", wordpiece())
    assert first["fingerprint"] == second["fingerprint"]
    assert first["train"] == second["train"]
    assert np.array_equal(together.batch(np.arange(50)).tokens, alone.batch(np.arange(50)).tokens)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("weights", [None, [1.0, 1.0]])
def test_the_same_files_by_two_names_are_refused(
    tmp_path: Path, link: Callable[[Path, Path], None], weights: list[float] | None
) -> None:
    first = write(tmp_path / "a", sentences(20), wordpiece(), "sentences")
    for suffix in (".bin", ".idx", ".json"):
        link(tmp_path / f"b{suffix}", tmp_path / f"a{suffix}")
    with pytest.raises(DataError, match=r"a and .*b are the same files; their documents could be in train"):
        build_datasets(config(first, str(tmp_path / "b"), weights=weights), "bert", wordpiece())


def test_without_a_validation_fraction_there_is_none(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a", sentences(20), wordpiece(), "sentences")
    assert build_datasets(config(prefix, split=(0.9, 0.1, 0.0)), "bert", wordpiece())[1] is not None
    _, validation, report = build_datasets(config(prefix, split=(1.0, 0.0, 0.0)), "bert", wordpiece())
    assert validation is None and "validation" not in report
    assert report["documents"] == {"train": 20, "validation": 0, "test": 0}


@pytest.mark.parametrize("sidecar", [True, False])
def test_documents_for_bert_are_refused_with_the_option(tmp_path: Path, sidecar: bool) -> None:
    documents = [[document[0]] for document in sentences(20)]
    prefix = write(tmp_path / "a", documents, wordpiece(), "documents", sidecar)
    with pytest.raises(DataError, match=r"a holds one per document \(20 .*--split_sentences true"):
        build_datasets(config(prefix), "bert", wordpiece())


def test_documents_of_one_sentence_without_a_file_that_says_so_are_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    documents = [[document[0]] for document in sentences(20)]
    prefix = write(tmp_path / "a", documents, wordpiece(), "sentences", sidecar=False)
    with pytest.raises(DataError, match=r"documents of one sentence each look the same without a\.json"):
        build_datasets(config(prefix), "bert", wordpiece())


def test_documents_of_one_sentence_are_sentences_if_the_file_says_so(tmp_path: Path) -> None:
    documents = [[document[0]] for document in sentences(20)]
    prefix = write(tmp_path / "a", documents, wordpiece(), "sentences")
    _, _, report = build_datasets(config(prefix), "bert", wordpiece())
    assert report["train"]["single_sentence_samples"] == report["train"]["samples"]


def test_sentences_for_gpt_are_refused_with_the_option(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a", [[[1, 2], [3, 70]]] * 20, byte_level(), "sentences")
    with pytest.raises(DataError, match=r"a holds one per sentence .*--split_sentences false"):
        build_datasets(config(prefix), "gpt", byte_level())


def test_data_of_megatron_without_a_sidecar_are_read(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a", sentences(20), wordpiece(), "sentences", sidecar=False)
    assert len(build_datasets(config(prefix), "bert", wordpiece())[0]) > 0
    prefix = write(
        tmp_path / "b", [[[1] * 30, [2] * 30 + [70]]] * 20, byte_level(), "sentences", sidecar=False
    )
    assert len(build_datasets(config(prefix), "gpt", byte_level())[0]) > 0


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a", sentences(20), wordpiece(), "sentences")
    with pytest.raises(TokenDataError, match="tokenizer"):
        build_datasets(config(prefix), "bert", wordpiece(extra=1))


def test_a_tokenizer_without_mask_is_refused_for_bert(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a", whole(20), byte_level(), "documents")
    with pytest.raises(TokenizerError, match=r"\[CLS\]"):
        build_datasets(config(prefix), "bert", byte_level())


def test_too_little_text_is_refused_with_the_numbers(tmp_path: Path) -> None:
    prefix = write(tmp_path / "a", [[[1] * 9 + [70]]] * 20, byte_level(), "documents")
    message = r"leaves 1 of the documents, with 10 tokens, for validation; .*sequence_length 32 needs 33\."
    with pytest.raises(DataError, match=message):
        build_datasets(config(prefix), "gpt", byte_level())
    empty = write(tmp_path / "b", [[], []], wordpiece(), "sentences")
    with pytest.raises(DataError, match="2 of the documents, with 0 tokens, for train"):
        build_datasets(config(empty, split=(1.0, 0.0, 0.0)), "bert", wordpiece())


def test_importing_the_data_package_does_not_load_torch() -> None:
    code = "import sys, megatron_bio.data.build, megatron_bio.data.prefetch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
