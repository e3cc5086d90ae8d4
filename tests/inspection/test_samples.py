"""inspect --samples shows the rows of training as they are: every token, what is masked, where documents begin."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tokenizers import Tokenizer as Core
from tokenizers import decoders, models, pre_tokenizers

from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError, UserError
from megatron_bio.config.inspect import InspectOptions
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.config.training import TrainingConfig
from megatron_bio.data.batch import BertBatch
from megatron_bio.data.build import build_datasets
from megatron_bio.data.errors import DataError
from megatron_bio.inspection.description import InspectionError
from megatron_bio.inspection.drawing import draw_row, marked_text
from megatron_bio.inspection.files import inspect
from megatron_bio.inspection.pieces import Pieces
from megatron_bio.inspection.rows import BertRow, GptPart, GptRow, bert_rows
from megatron_bio.tokens.indexed import IndexedReader
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import build_wordpiece
from megatron_bio.training.announcement import write_config

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["aspirin", "lower", "##s", "fever", ".", "liver", "cell", "##ular", "dose", "A", "patient", "blood"]
SENTENCES = (
    "A patient lowers fever.",
    "Cellular aspirin doses.",
    "liver cells.",
    "A cellular dose.",
    "blood.",
)
GREEK = "α-synuclein 漢字 naïve 🧬 10⁶"


DOCUMENTS = 200


def documents(path: Path) -> Path:
    rng = np.random.default_rng(3)
    with path.open("w", encoding="utf-8") as file:
        for number in range(DOCUMENTS):
            text = " ".join(rng.choice(SENTENCES, rng.integers(1, 6))) + f" {GREEK} {number}."
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")
    return path


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token data with the tokenizer beside it."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "tokenizer").mkdir()
    core = build_wordpiece({word: number for number, word in enumerate(SPECIAL + WORDS)}, lowercase=False)
    core.save(str(folder / "tokenizer" / "tokenizer.json"))
    _preprocess(folder)
    return folder / "tokens"


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token data of a vocabulary of single bytes, so that every letter beyond ASCII is cut."""
    folder = tmp_path_factory.mktemp("gpt")
    (folder / "tokenizer").mkdir()
    byte_level_core().save(str(folder / "tokenizer" / "tokenizer.json"))
    _preprocess(folder)
    return folder / "tokens"


def _preprocess(folder: Path) -> None:
    inputs = [str(documents(folder / "documents.jsonl"))]
    preprocess(
        PreprocessOptions(
            inputs=inputs, tokenizer=folder / "tokenizer", output=folder / "tokens", progress=False
        )
    )


def byte_level_core() -> Core:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Core(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|endoftext|>"])
    return core


def rows_of(path: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> list[dict[str, Any]]:
    capsys.readouterr()
    inspect(InspectOptions(path=path, json=True, **options))
    content = json.loads(capsys.readouterr().out)
    assert (content["kind"], content["path"]) == ("samples", str(path))
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def text_of(path: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    capsys.readouterr()
    inspect(InspectOptions(path=path, **options))
    return capsys.readouterr().out


def data_config(prefix: Path, **options: Any) -> DataConfig:
    return DataConfig(prefixes=[str(prefix)], tokenizer=str(prefix.parent / "tokenizer"), **options)


def batch_of(config: DataConfig, first: int, count: int) -> tuple[BertBatch, Tokenizer]:
    tokenizer = Tokenizer.load(config.tokenizer)
    batch = build_datasets(config, "bert", tokenizer)[0].batch(np.arange(first, first + count))
    assert isinstance(batch, BertBatch)
    return batch, tokenizer


def check_documents(rows: list[dict[str, Any]], prefix: Path) -> None:
    """Each sample's tokens stand in the document that was named for it, in one piece."""
    reader = IndexedReader(prefix)
    tokenizer = Tokenizer.load(prefix.parent / "tokenizer")
    bounds = reader.document_indices
    for row in rows:
        for sample in row["samples"]:
            number = sample["document"]
            sequences = reader.sequences(int(bounds[number]), int(bounds[number + 1]))
            document = " ".join(str(tokenizer.id_to_token(int(i))) for i in sequences).replace(" ##", "")
            parts = sample["parts"][::-1] if sample["order_label"] == "swapped" else sample["parts"]
            assert " ".join(parts) in document


def check_bert_rows(rows: list[dict[str, Any]], config: DataConfig, first: int) -> None:
    """Compare what was shown with the dataset's batch, token by token."""
    batch, tokenizer = batch_of(config, first, len(rows))
    for number, row in enumerate(rows):
        original = batch.tokens[number].copy()
        used = batch.masked_weights[number] > 0
        original[batch.masked_positions[number][used]] = batch.masked_labels[number][used]
        assert (row["global_sample"], row["length"]) == (first + number, config.sequence_length)
        assert row["real_tokens"] == (batch.segment_ids[number] > 0).sum()
        assert row["fill"] == pytest.approx(row["real_tokens"] / row["length"], abs=1e-4)
        assert row["predictions"] == used.sum() == sum(s["predictions"] for s in row["samples"])
        assert len(row["samples"]) == batch.segment_ids[number].max()
        predicted = set(batch.masked_positions[number][used].tolist())
        seen = 0
        for place, sample in enumerate(row["samples"]):
            assert sample["columns"][0] == batch.cls_positions[number, place]
            assert sample["order_weight"] == batch.order_weights[number, place]
            label = ("in order", "swapped")[batch.order_labels[number, place]]
            assert sample["order_label"] == (label if sample["order_weight"] else "none")
            for token in sample["tokens"]:
                column = token["column"]
                assert token["shown"] == tokenizer.id_to_token(int(batch.tokens[number, column]))
                assert token["original"] == tokenizer.id_to_token(int(original[column]))
                assert (token["kind"] in ("mask", "random", "kept")) == (column in predicted)
                assert (token["kind"] == "mask") == (token["shown"] == "[MASK]")
                assert token["kind"] != "kept" or token["shown"] == token["original"]
                assert token["kind"] != "special" or token["shown"] in SPECIAL
                seen += 1
            ids = original[slice(*sample["columns"])]
            words = [
                str(tokenizer.id_to_token(int(i))) for i in ids if i not in (tokenizer.cls, tokenizer.sep)
            ]
            assert " ".join(sample["parts"]) == " ".join(words).replace(" ##", "")
        assert seen == row["real_tokens"]


def test_rows_are_those_of_the_dataset(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["sequence_length=32", "seed=5", "masked_lm_probability=0.4"]
    config = data_config(bert, sequence_length=32, seed=5, masked_lm_probability=0.4, split=(1.0, 0.0, 0.0))
    rows = rows_of(bert, capsys, samples=12, first=3, data=options)
    check_bert_rows(rows, config, 3)
    check_documents(rows, bert)
    kinds = {t["kind"] for row in rows for s in row["samples"] for t in s["tokens"]}
    assert kinds == {"text", "special", "mask", "random", "kept"}
    assert all(row["step"] is None for row in rows)
    assert rows == rows_of(bert.with_name("tokens.idx"), capsys, samples=12, first=3, data=options)


def test_rows_of_a_run_are_made_with_its_own_options(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_config(bert, sequence_length=32, seed=77, split=(0.7, 0.3, 0.0))
    run = PretrainConfig(
        model=ModelConfig(num_layers=2, hidden_size=32, num_attention_heads=2),
        data=data,
        training=TrainingConfig(output=str(tmp_path), train_steps=3, global_batch_size=4, micro_batch_size=2),
    )
    write_config(run, tmp_path)
    for path in (tmp_path, tmp_path / "config.yaml"):
        rows = rows_of(path, capsys, samples=3, first=7)
        check_bert_rows(rows, data, 7)
        check_documents(rows, bert)
        assert [row["step"] for row in rows] == [2, 3, 3]
    assert "row 8 (step 3)" in text_of(tmp_path, capsys, samples=3, first=7)
    changed = rows_of(tmp_path, capsys, samples=1, data=["sequence_length=64"])
    assert (changed[0]["length"], changed[0]["global_sample"]) == (64, 0)
    validation = rows_of(tmp_path, capsys, samples=2, part="validation")
    check_documents(validation, bert)
    assert [row["step"] for row in validation] == [None, None]
    assert validation != rows_of(tmp_path, capsys, samples=2)
    written = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(written.replace("  packing: true\n", ""))
    check_bert_rows(rows_of(tmp_path, capsys, samples=3), replace(data, packing=False), 0)
    check_bert_rows(rows_of(tmp_path / "config.yaml", capsys, samples=3), data, 0)
    (tmp_path / "log.jsonl").touch()
    check_bert_rows(rows_of(tmp_path / "config.yaml", capsys, samples=3), replace(data, packing=False), 0)
    with pytest.raises(InspectionError, match="trains a bert"):
        rows_of(tmp_path, capsys, samples=1, architecture="gpt")


def test_labels_are_named_after_what_is_learned(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for order, names in (
        ("sop", {"in order", "swapped", "none"}),
        ("nsp", {"next", "another document's", "none"}),
        ("none", {"none"}),
    ):
        rows = rows_of(bert, capsys, samples=80, data=["sequence_length=48", f"sentence_order={order}"])
        assert {sample["order_label"] for row in rows for sample in row["samples"]} == names
    assert any(len(row["samples"]) > 1 for row in rows), "rows are packed"
    rows = rows_of(bert, capsys, samples=20, data=["sequence_length=48", "packing=false"])
    assert all(len(row["samples"]) == 1 for row in rows)


def test_text_has_marks_and_no_colours_in_a_pipe(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = text_of(bert, capsys, samples=40, data=["sequence_length=48", "masked_lm_probability=0.4"])
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= 120
    assert "→[MASK]›" in text and "=›" in text and "[CLS] " in text and "[PAD] x " in text
    assert "order: swapped (weight 1)" in text and "% full" in text


def drawn(row: BertRow | GptRow, **console: Any) -> str:
    file = io.StringIO()
    draw_row(Console(file=file, width=4000, markup=False, highlight=False, **console), row)
    return file.getvalue()


def test_colours_tell_the_kinds_apart_on_a_terminal(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    config = data_config(bert, sequence_length=48, masked_lm_probability=0.5)
    batch, tokenizer = batch_of(config, 0, 8)
    rows = list(bert_rows(batch, Pieces(tokenizer), [None] * 8, None, "sop"))
    coloured = "".join(drawn(row, force_terminal=True, color_system="standard") for row in rows)
    for start in ("\x1b[1;31m‹", "\x1b[1;35m‹", "\x1b[1;32m‹", "\x1b[2m[CLS]"):
        assert start in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = "".join(drawn(row, force_terminal=True) for row in rows)
    assert "\x1b[1;31m" not in plain and "31m" not in plain and "‹" in plain


def test_marked_text_keeps_words_together(bert: Path) -> None:
    tokenizer = Tokenizer.load(bert.parent / "tokenizer")
    batch, _ = batch_of(data_config(bert, sequence_length=48, masked_lm_probability=0.5), 0, 8)
    for row in bert_rows(batch, Pieces(tokenizer), [None] * 8, None, "sop"):
        for sample in row.samples:
            text = marked_text(sample.tokens).plain
            assert "##s " not in text and " ##" not in text.replace("→##", "")
            unmarked = "".join(token.text for token in sample.tokens)
            assert unmarked == " ".join(token.original for token in sample.tokens).replace(" ##", "")


@pytest.mark.parametrize("reset", [True, False])
def test_gpt_rows_show_where_documents_begin(
    gpt: Path, reset: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["sequence_length=256", f"reset_at_document_end={str(reset).lower()}"]
    rows = rows_of(gpt, capsys, samples=5, data=options)
    ends = 0
    for row in rows:
        parts = row["parts"]
        bounds = [part["columns"] for part in parts]
        assert bounds[0][0] == 0 and bounds[-1][1] == 256 and row["fill"] == 1.0
        assert [stop for _, stop in bounds[:-1]] == [start for start, _ in bounds[1:]]
        for part in parts:
            start, stop = part["columns"]
            assert part["first_position"] == (0 if reset else start)
            assert part["attends_from"] == (start if reset else 0)
            # Behind a reset nothing is predicted: not the first token of the next document, in this row or the next.
            assert part["predictions"] == stop - start - (reset and part["ends"])
        assert all(part["ends"] for part in parts[:-1])
        assert all(GREEK in part["text"] for part in parts[1:-1])
        assert all("<|endoftext|>" not in part["text"] for part in parts)
        ends += sum(part["ends"] for part in parts)
    assert ends > 5
    text = text_of(gpt, capsys, samples=5, data=options)
    assert "α-synuclein 漢字" in text and "<end of document>" in text
    assert "positions from 0, attention from column 0" in text


def test_control_characters_of_a_text_do_not_reach_the_terminal() -> None:
    text = "a\x1b[31mb\x07\x9b\n\tc"
    part = GptPart(columns=(0, 9), first_position=0, attends_from=0, ends=False, predictions=9, text=text)
    row = GptRow(global_sample=0, step=None, length=9, real_tokens=9, fill=1.0, predictions=9, parts=[part])
    text = drawn(row)
    assert "a␛[31mb␇\ufffd" in text and not {"\x1b", "\x07", "\x9b"} & set(text)


def test_characters_that_are_cut_into_tokens_come_whole() -> None:
    tokenizer = Tokenizer(byte_level_core(), "test")
    pieces = Pieces(tokenizer)
    ids = tokenizer.encode_batch([GREEK])[0].tolist()
    texts = pieces.texts(ids)
    assert len(texts) == len(ids) == len(GREEK.encode()) and "".join(texts) == GREEK
    assert texts[:2] == ["", "α"]
    # A row may begin and end inside a character: what is left of it is shown, and nothing else is lost.
    assert "".join(pieces.texts(ids[1:-1])) == "\ufffd" + GREEK[1:-1] + "\ufffd"
    both = [*ids[:1], tokenizer.eod, *ids]
    assert pieces.texts(both)[:2] == ["\ufffd", "<|endoftext|>"]
    assert "".join(pieces.texts(both)) == "\ufffd<|endoftext|>" + GREEK


def test_token_data_of_other_programs(bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for ending in (".bin", ".idx"):
        (tmp_path / f"foreign{ending}").write_bytes(bert.with_name(f"tokens{ending}").read_bytes())
    foreign = tmp_path / "foreign"
    with pytest.raises(InspectionError, match=r"no foreign\.json that names the tokenizer.*--tokenizer"):
        inspect(InspectOptions(path=foreign, samples=1))
    rows = rows_of(foreign, capsys, samples=4, tokenizer=bert.parent / "tokenizer")
    assert rows == rows_of(bert, capsys, samples=4)


def test_tokenizer_of_the_manifest_may_be_gone(bert: Path, tmp_path: Path) -> None:
    for ending in (".bin", ".idx", ".json"):
        content = bert.with_name(f"tokens{ending}").read_bytes()
        if ending == ".json":
            content = content.replace(b"/tokenizer", b"/elsewhere")
        (tmp_path / f"moved{ending}").write_bytes(content)
    with pytest.raises(InspectionError, match=r"names the tokenizer .*elsewhere, which is not there"):
        inspect(InspectOptions(path=tmp_path / "moved", samples=1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"samples": 10_000},
            InspectionError,
            r"--samples 10000: expected at most the \d+ rows of one epoch",
        ),
        ({"samples": 1, "first": 2**63 - 1}, InspectionError, r"--first \d+: expected at most 2\^62"),
        ({"samples": 1, "first": 999, "part": "validation"}, InspectionError, "validation has the rows 0 to"),
        ({"samples": 1, "part": "validation", "data": ["split=[1,0,0]"]}, InspectionError, "no documents"),
        ({"samples": 1, "architecture": "gpt"}, UserError, "gpt needs one sequence per document|<|endoftext"),
        ({"samples": 1, "data": ["sequence_lenght=4"]}, UserError, "did you mean --sequence_length"),
        (
            {"samples": 1, "data": ["sequence_length=long"]},
            UserError,
            "expected a whole number, found 'long'",
        ),
        ({"samples": 1, "data": ["prefixes=other"]}, InspectionError, "--data prefixes: the path says it"),
    ],
)
def test_what_cannot_be_shown(
    bert: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        inspect(InspectOptions(path=bert, **options))


def test_bert_rows_of_documents_are_refused(gpt: Path) -> None:
    with pytest.raises((DataError, UserError), match=r"\[CLS\]|one sequence per sentence"):
        inspect(InspectOptions(path=gpt, samples=1, architecture="bert"))


def test_paths_without_rows(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(InspectionError, match=r"with config\.yaml, for --samples; found none"):
        inspect(InspectOptions(path=tmp_path, samples=1))
    with pytest.raises(InspectionError, match="found nothing of that name"):
        inspect(InspectOptions(path=tmp_path / "nothing", samples=1))
    with pytest.raises(InspectionError, match="found another file"):
        inspect(InspectOptions(path=bert.parent / "documents.jsonl", samples=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "--samples: expected at least 1"),
        ({"samples": 1, "first": -1}, "--first: expected a global sample index"),
        ({"samples": 1, "verify": True}, "--verify checks files"),
        ({"samples": 1, "data": ["packing"]}, "expected NAME=VALUE"),
        ({"first": 3}, "--first says which rows"),
        ({"data": ["seed=1"]}, "--data says which rows"),
        ({"part": "validation"}, "--part says which rows"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        InspectOptions(path=Path("x"), **options)
