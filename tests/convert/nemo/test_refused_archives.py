"""Archives that are damaged, incomplete or of models that ours cannot be: told by file and key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.nemo.open import open_checkpoint
from tests.convert.nemo.tiny_archives import CONFIG, HIDDEN, archive, parts, whole

REFUSED_SETTINGS: list[tuple[str, Any]] = [
    *(
        ("mcore_bert", True),
        ("normalization", "layernorm1p"),
        ("normalization", "rmsnorm"),
        ("transformer_engine", True),
    ),
    *(
        ("position_embedding_type", "rope"),
        ("transformer_block_type", "post_ln"),
        ("activation", "swiglu"),
        ("bias", False),
    ),
    *(("kv_channels", 8), ("num_query_groups", 2), ("share_embeddings_and_output_weights", False)),
    *(
        ("hidden_size", "many"),
        ("hidden_size", 1 << 40),
        ("num_layers", 0),
        ("num_layers", None),
        ("layernorm_epsilon", "x"),
    ),
    *(
        ("num_attention_heads", 3),
        ("megatron_legacy", "yes"),
        ("target", "nemo.TokenClassificationModel"),
        ("target", 3),
    ),
    ("virtual_pipeline_model_parallel_size", 2),
]


@pytest.mark.parametrize(("key", "value"), REFUSED_SETTINGS)
def test_settings_that_our_models_cannot_have(tmp_path: Path, key: str, value: Any) -> None:
    path = archive(tmp_path / "a.nemo", parts(whole(1), 1, 1), CONFIG | {key: value})
    with pytest.raises(ConvertError, match=rf"a.nemo: model_config.yaml: .*{key}"):
        open_checkpoint(path, None)


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"- 1",
            b"a: [",
            b"\xff",
            b"a: !!python/object/apply:os.system ['touch x']",
            b"[" * 5000,
            b"a: " + b"9" * 5000,
        ),
        b"a: &a {b: 1}\nc:\n  <<: [*a, *a]\n",
    ],
)
def test_settings_that_are_no_settings(tmp_path: Path, content: bytes) -> None:
    path = archive(tmp_path / "a.nemo", {}, CONFIG, extra={"model_config.yaml": content})
    with pytest.raises(ConvertError, match=r"a.nemo: model_config.yaml"):
        open_checkpoint(path, None)


def without(name: str) -> Callable[[dict[str, dict[str, Any]]], object]:
    return lambda files: files.pop(name)


def renamed(new: str) -> Callable[[dict[str, dict[str, Any]]], object]:
    def change(files: dict[str, dict[str, Any]]) -> None:
        for file in files.values():
            for name in list(file):
                file[name.replace("model.", new, 1)] = file.pop(name)

    return change


def changed(name: str, value: Any) -> Callable[[dict[str, dict[str, Any]]], object]:
    def change(files: dict[str, dict[str, Any]]) -> None:
        file = next(file for file in reversed(files.values()) if name in file)
        file[name] = value

    return change


DAMAGES: dict[str, tuple[str, Callable[[dict[str, dict[str, Any]]], object]]] = {
    "rank": ("ranks, found", without("tp_rank_01_pp_rank_000/model_weights.ckpt")),
    "fine-tuned": ("fine-tuned encoder", renamed("bert_model.")),
    "others": ("expected tensors model", renamed("network.")),
    "tensor": (
        "different tensors",
        lambda files: files["tp_rank_01_pp_rank_001/model_weights.ckpt"].pop("model.lm_head.bias"),
    ),
    "no tensor": ("expected a tensor", changed("model.lm_head.bias", 1)),
    "shape": ("of one shape and dtype", changed("model.lm_head.bias", torch.zeros(3))),
    "dtype": (
        "of one shape and dtype",
        changed("model.lm_head.dense.bias", torch.zeros(HIDDEN, dtype=torch.int64)),
    ),
    "integers": (
        "stored as torch.int64",
        lambda files: [
            file.update({"model.lm_head.dense.bias": torch.zeros(HIDDEN, dtype=torch.int64)})
            for name, file in files.items()
            if "pp_rank_001" in name
        ],
    ),
    "unknown tensor": (
        "not of this model",
        lambda files: [
            file.update({"model.lm_head.x": torch.ones(1)})
            for name, file in files.items()
            if "pp_rank_001" in name
        ],
    ),
    "core": (
        "Megatron Core's",
        lambda files: [file.update({"model.decoder.x": torch.ones(1)}) for file in files.values()],
    ),
}


@pytest.mark.parametrize("name", list(DAMAGES))
def test_archives_that_are_incomplete_or_of_another_model(tmp_path: Path, name: str) -> None:
    match, change = DAMAGES[name]
    files = parts(whole(2), 2, 2)
    change(files)
    with pytest.raises(ConvertError, match=f"a.nemo.*{match}"):
        open_checkpoint(archive(tmp_path / "a.nemo", files, CONFIG), None)


def test_a_second_table_with_other_values(tmp_path: Path) -> None:
    files = parts(whole(1), 1, 2)
    files["tp_rank_00_pp_rank_001/model_weights.ckpt"]["model.word_embeddings.weight"][0, 0] += 1
    checkpoint = open_checkpoint(archive(tmp_path / "a.nemo", files, CONFIG), None)
    with pytest.raises(ConvertError, match="differ"):
        checkpoint.weights.read("embeddings.word_embeddings.weight")


def test_archives_without_weights(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"expected model_weights.ckpt, found 0ab_vocab.txt"):
        open_checkpoint(archive(tmp_path / "a.nemo", {}, CONFIG), None)
    core = archive(tmp_path / "b.nemo", {}, CONFIG, extra={"model_weights/common.pt": b""})
    with pytest.raises(ConvertError, match="distributed checkpoint of Megatron Core"):
        open_checkpoint(core, None)
    missing = archive(
        tmp_path / "c.nemo", parts(whole(1), 1, 1), CONFIG | {"tokenizer": {"vocab_file": "nemo:gone.txt"}}
    )
    with pytest.raises(ConvertError, match=r"expected a member gone.txt"):
        open_checkpoint(missing, None)


def test_vocabularies_that_cannot_be_used(tmp_path: Path) -> None:
    extra = {"0ab_vocab.txt": b"[UNK]\ntwice\ntwice\n"}
    path = archive(tmp_path / "a.nemo", parts(whole(1), 1, 1), CONFIG, extra=extra)
    with pytest.raises(ConvertError, match=r"a.nemo: its vocabulary cannot be used.*twice"):
        open_checkpoint(path, None)
    assert open_checkpoint(path, 100).model.vocab_size == 100
