"""Ours to another format and back: every bit, every kind of model; moments; what an imported checkpoint is good for."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint.planner import SavePlan, WriteItemType

from megatron_bio.checkpoint import stream
from megatron_bio.checkpoint.load import read_info
from megatron_bio.checkpoint.manifest import CheckpointError
from megatron_bio.checkpoint.stream import StoredTensors, write_stream
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.data import DataConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import TrainingConfig
from megatron_bio.convert.conversion import convert
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.formats import FORMATS, format_of
from megatron_bio.convert.hugging_face import tables
from megatron_bio.convert.table import Entry
from megatron_bio.convert.transformations import QueryKeyValueSplit
from megatron_bio.training.initial_weights import load_initial_weights
from megatron_bio.training.state import restore
from tests.convert.tiny_runs import (
    Tensors,
    Trained,
    byte_level_folder,
    random_model,
    read_all,
    save_run,
    tiny_config,
    wordpiece_folder,
)

KINDS = {
    "bert": {},
    "bert-no-order-head": {"order_head": False},
    "bert-tanh": {"activation": "gelu_tanh"},
    "bert-post": {"norm_order": "post", "layernorm_epsilon": 1e-12},
    "bert-post-no-order-head": {"norm_order": "post", "order_head": False},
    "gpt": {},
    "gpt-exact": {"activation": "gelu", "ffn_hidden_size": None},
    "gpt-scaled": {"scale_attention_by_inverse_layer": True, "hidden_dropout": 0.0},
}


def trained_kind(kind: str, root: Path) -> Trained:
    architecture = kind.split("-")[0]
    tokenizer = (wordpiece_folder if architecture == "bert" else byte_level_folder)(root / "tokenizer")
    config = tiny_config(architecture, tokenizer, **KINDS[kind])
    return save_run(root / "run", tokenizer, config, random_model(config))


@pytest.mark.parametrize("kind", KINDS)
def test_hugging_face_and_back_keeps_every_bit(kind: str, tmp_path: Path) -> None:
    trained = trained_kind(kind, tmp_path)
    convert(ConvertOptions(checkpoint=trained.run, output=tmp_path / "there"))
    convert(ConvertOptions(checkpoint=tmp_path / "there", output=tmp_path / "back", to_format="megatron_bio"))
    back = FORMATS["megatron_bio"].open(tmp_path / "back")
    weights = read_all(back.weights)
    assert weights.keys() == trained.weights.keys()
    vocabulary = trained.config.vocab_size
    for name, value in trained.weights.items():
        real = vocabulary if value.shape[0] == 256 or value.shape[0] == 384 else len(value)
        assert torch.equal(weights[name][:real], value[:real]), name
    ours, theirs = (
        asdict(config) | {"activation": config.activation_name, "ffn_hidden_size": config.ffn_size}
        for config in (trained.config, back.model)
    )
    assert ours == theirs
    assert (back.step, back.training["tokens"]) == (700, 1_234_567)


def test_a_broken_entry_of_the_table_is_told_by_layer(
    bert: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both directions use the table, so that only the other library's computation can show it."""
    whole = tables.hugging_face_table

    def swapped(config):
        def broken(item: Entry) -> Entry:
            if item.ours.startswith("layers.1.self_attention.query") and isinstance(
                item.transformation, QueryKeyValueSplit
            ):
                query, key, value = item.foreign
                return replace(item, foreign=(key, query, value))
            return item

        return tuple(broken(item) for item in whole(config))

    for module in ("write", "open"):
        monkeypatch.setattr(f"megatron_bio.convert.hugging_face.{module}.hugging_face_table", swapped)
    with pytest.raises(ConvertError, match=r"difference first appears at layers.1: "):
        convert(ConvertOptions(checkpoint=bert.run, output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_moments_go_along(bert: Trained, tmp_path: Path) -> None:
    state = {f"model.{name}": value for name, value in bert.weights.items()}
    for part in ("exp_avg", "exp_avg_sq"):
        state |= {f"optimizer.{name}.{part}": torch.rand(value.shape) for name, value in bert.weights.items()}
    info = read_info(bert.run / "checkpoints" / "step-00000700")
    write_stream(tmp_path / "run" / "checkpoints", 700, Tensors(state).described(), state.__getitem__, info)
    convert(ConvertOptions(checkpoint=tmp_path / "run", output=tmp_path / "out", to_format="megatron_bio"))
    copied = FORMATS["megatron_bio"].open(tmp_path / "out")
    assert copied.moments is not None
    moments = read_all(copied.moments)
    assert len(moments) == 2 * len(bert.weights)
    assert all(torch.equal(value, state[f"optimizer.{name}"]) for name, value in moments.items())


def test_tensors_in_pieces_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {"a": torch.rand(7, 3), "b": torch.rand(2)}

    class InPieces(stream._ReadWhenWritten):
        """Cuts tensors by rows, as tensor parallelism does."""

        def create_local_plan(self) -> SavePlan:
            plan = super().create_local_plan()
            return replace(plan, items=[piece for item in plan.items for piece in _halves(item)])

        def resolve_data(self, write_item) -> torch.Tensor:
            chunk = write_item.tensor_data.chunk
            first = chunk.offsets[0]
            return super().resolve_data(write_item)[first : first + chunk.sizes[0]].clone()

    monkeypatch.setattr(stream, "_ReadWhenWritten", InPieces)
    folder = write_stream(tmp_path, 1, Tensors(tensors).described(), tensors.__getitem__, {})
    source = StoredTensors(folder, "")
    assert len(source._metadata.state_dict_metadata["a"].chunks) == 2
    assert all(torch.equal(value, tensors[name]) for name, value in read_all(source).items())


def _halves(item):
    size, half = item.tensor_data.size, item.tensor_data.size[0] // 2
    for first, rows in ((0, half), (half, size[0] - half)):
        offsets = torch.Size([first, *[0] * (len(size) - 1)])
        chunk = replace(item.tensor_data.chunk, offsets=offsets, sizes=torch.Size([rows, *size[1:]]))
        yield replace(
            item,
            type=WriteItemType.SHARD,
            index=replace(item.index, offset=offsets, index=None),
            tensor_data=replace(item.tensor_data, chunk=chunk),
        )


@pytest.fixture(scope="module")
def imported(bert_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("imported") / "bert"
    convert(ConvertOptions(checkpoint=bert_export, output=output, to_format="megatron_bio", check=False))
    return output


def next_run(bert: Trained, imported: Path) -> PretrainConfig:
    return PretrainConfig(
        model=bert.config,
        data=DataConfig(prefixes=["tokens"], tokenizer=str(bert.tokenizer), sequence_length=40),
        training=TrainingConfig(output="next", train_steps=10, initial_checkpoint=str(imported)),
    )


def test_an_imported_checkpoint_starts_a_run(bert: Trained, imported: Path) -> None:
    fingerprint = read_info(imported / "checkpoints" / "step-00000700")["tokenizer_fingerprint"]
    weights = {f"model.{name}": torch.zeros_like(value) for name, value in bert.weights.items()}
    load_initial_weights(next_run(bert, imported), weights, {"tokenizer_fingerprint": fingerprint})
    assert torch.equal(weights["model.final_layernorm.bias"], bert.weights["final_layernorm.bias"])


def test_an_imported_checkpoint_is_no_run_to_go_on_with(bert: Trained, imported: Path) -> None:
    folder = imported / "checkpoints" / "step-00000700"
    with pytest.raises(CheckpointError, match=r"no run to go on with\. Give .* training.initial_checkpoint"):
        restore(folder, next_run(bert, imported), None, None, None, {})  # type: ignore[arg-type]


def test_a_damaged_file_of_ours_is_told_before_it_is_read(imported: Path, tmp_path: Path) -> None:
    shutil.copytree(imported, tmp_path / "copy")
    data = next((tmp_path / "copy" / "checkpoints").rglob("*.distcp"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is damaged: .* sha256 differs"):
        convert(ConvertOptions(checkpoint=tmp_path / "copy", output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_formats_are_recognised_by_content(bert: Trained, bert_export: Path, tmp_path: Path) -> None:
    assert format_of(bert.run, None).name == format_of(bert.run / "checkpoints", None).name == "megatron_bio"
    assert format_of(bert_export, None).name == "hugging_face"
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ConvertError, match=r"expected a checkpoint of megatron_bio .* found notes.txt"):
        format_of(tmp_path, None)
    with pytest.raises(ConvertError, match="found nothing of that name"):
        format_of(tmp_path / "absent", "nemo")


def test_a_foreign_checkpoint_needs_the_format_to_write(bert_export: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="Say with --to which format to write"):
        convert(ConvertOptions(checkpoint=bert_export, output=tmp_path / "out"))


@pytest.mark.parametrize("inside", [".", "checkpoints/step-00000700"])
def test_what_is_read_is_not_replaced(inside: str, imported: Path) -> None:
    with pytest.raises(ConvertError, match=r"would replace .*, which is read"):
        convert(ConvertOptions(checkpoint=imported / inside, output=imported))
