"""Archives as NeMo writes them, of every layout, become our tensors; what ours cannot be is refused by key."""

import gc
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import our_shapes
from megatron_bio.convert.nemo.open import open_checkpoint, recognises
from megatron_bio.convert.sources import Checkpoint
from megatron_bio.tokens.tokenizer import Tokenizer

HIDDEN, HEADS, LAYERS, WIDE, POSITIONS = 16, 4, 4, 32, 24
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(95))]
LAYOUTS = [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2)]
CONFIG = {
    "target": "nemo.collections.nlp.models.language_modeling.megatron_bert_model.MegatronBertModel",
    "nemo_version": "1.9.0",
    "encoder_seq_length": POSITIONS,
    "max_position_embeddings": "${.encoder_seq_length}",
    "num_layers": LAYERS,
    "hidden_size": HIDDEN,
    "ffn_hidden_size": WIDE,
    "num_attention_heads": HEADS,
    "kv_channels": None,
    "layernorm_epsilon": "1e-5",
    "hidden_dropout": 0.1,
    "bert_binary_head": True,
    "make_vocab_size_divisible_by": 128,
    "apply_query_key_layer_scaling": True,
    "tokenizer": {
        "library": "megatron",
        "type": "BertWordPieceLowerCase",
        "vocab_file": "nemo:0ab_vocab.txt",
    },
}


def whole(tensor_parallel: int, architecture: str = "bert") -> dict[str, Tensor]:
    """A model under Megatron-LM's names, its vocabulary padded as Megatron pads it."""
    generator = torch.Generator().manual_seed(1)
    rows = 128 * tensor_parallel
    shapes: dict[str, tuple[int, ...]] = {
        "language_model.embedding.word_embeddings.weight": (rows, HIDDEN),
        "language_model.embedding.position_embeddings.weight": (POSITIONS, HIDDEN),
    }
    for layer in range(LAYERS):
        for name, shape in {
            "input_layernorm": (HIDDEN,),
            "self_attention.query_key_value": (3 * HIDDEN, HIDDEN),
            "self_attention.dense": (HIDDEN, HIDDEN),
            "post_attention_layernorm": (HIDDEN,),
            "mlp.dense_h_to_4h": (WIDE, HIDDEN),
            "mlp.dense_4h_to_h": (HIDDEN, WIDE),
        }.items():
            shapes[f"language_model.encoder.layers.{layer}.{name}.weight"] = shape
            shapes[f"language_model.encoder.layers.{layer}.{name}.bias"] = shape[:1]
    shapes |= {f"language_model.encoder.final_layernorm.{kind}": (HIDDEN,) for kind in ("weight", "bias")}
    if architecture == "bert":
        shapes |= {
            "language_model.embedding.tokentype_embeddings.weight": (2, HIDDEN),
            **{
                "language_model.pooler.dense.weight": (HIDDEN, HIDDEN),
                "language_model.pooler.dense.bias": (HIDDEN,),
            },
            **{
                "lm_head.bias": (rows,),
                "lm_head.dense.weight": (HIDDEN, HIDDEN),
                "lm_head.dense.bias": (HIDDEN,),
            },
            **{"lm_head.layernorm.weight": (HIDDEN,), "lm_head.layernorm.bias": (HIDDEN,)},
            **{"binary_head.weight": (2, HIDDEN), "binary_head.bias": (2,)},
        }
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def cut(name: str, value: Tensor, rank: int, ranks: int) -> Tensor:
    """The part of a tensor-parallel rank."""
    if name.endswith(("dense_4h_to_h.weight", "self_attention.dense.weight")):
        return value.chunk(ranks, dim=1)[rank].clone()
    row_wise = ("word_embeddings.weight", "lm_head.bias")
    if name.endswith(row_wise) or "query_key_value" in name or "dense_h_to_4h" in name:
        return value.chunk(ranks)[rank].clone()
    return value


def stage_of(name: str, stages: int) -> list[tuple[int, str]]:
    """The stages that have a tensor, and its name there."""
    if ".layers." in name:
        before, layer, after = name.partition(".layers.")[0], int(name.split(".")[3]), name.split(".", 4)[4]
        per_stage = LAYERS // stages
        return [(layer // per_stage, f"{before}.layers.{layer % per_stage}.{after}")]
    if name.endswith("embedding.word_embeddings.weight") and stages > 1:
        return [(0, name), (stages - 1, "word_embeddings.weight")]
    return [(0 if ".embedding." in name else stages - 1, name)]


def parts(
    tensors: dict[str, Tensor], tensor: int, pipeline: int, prefix: str = "model."
) -> dict[str, dict[str, Tensor]]:
    """File name in the archive to state dict."""
    files: dict[str, dict[str, Tensor]] = {}
    for rank in range(tensor):
        for name, value in tensors.items():
            for stage, stage_name in stage_of(name, pipeline):
                folder = "" if tensor * pipeline == 1 else f"mp_rank_{rank:02d}/"
                folder = f"tp_rank_{rank:02d}_pp_rank_{stage:03d}/" if pipeline > 1 else folder
                file = files.setdefault(f"{folder}model_weights.ckpt", {})
                file[prefix + stage_name] = cut(name, value, rank, tensor)
    return files


def archive(
    path: Path,
    files: dict[str, dict[str, Any]],
    settings: dict[str, Any],
    mode: str = "w:",
    extra: dict[str, bytes] | None = None,
) -> Path:
    contents = {
        "model_config.yaml": yaml.safe_dump(settings).encode(),
        "0ab_vocab.txt": "\n".join(WORDS).encode(),
    }
    for name, state in files.items():
        file = io.BytesIO()
        torch.save(state, file)
        contents[name] = file.getvalue()
    with tarfile.open(path, mode) as tar:
        folder = tarfile.TarInfo(".")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in (contents | (extra or {})).items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def expected(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same model under our names, vocabulary of 100 tokens padded to 128 rows with zeros."""
    ours = {}
    for name, value in tensors.items():
        our_name = name.removeprefix("language_model.").removeprefix("encoder.")
        our_name = our_name.replace("embedding.", "embeddings.").replace("lm_head", "masked_lm_head")
        our_name = our_name.replace("pooler.dense", "order_head.pooler").replace(
            "binary_head", "order_head.classifier"
        )
        if name.endswith(("word_embeddings.weight", "lm_head.bias")):
            value = torch.cat([value[: len(WORDS)], torch.zeros(128 - len(WORDS), *value.shape[1:])])
        ours[our_name] = value
    return ours


def assert_same(checkpoint: Checkpoint, tensors: dict[str, Tensor]) -> None:
    described = checkpoint.weights.described()
    wanted = expected(tensors)
    assert described.keys() == wanted.keys()
    for name, value in wanted.items():
        found = checkpoint.weights.read(name)
        assert torch.equal(found, value), name
        assert described[name].shape == value.shape and described[name].dtype == value.dtype


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
@pytest.mark.parametrize(("tensor", "pipeline"), LAYOUTS)
def test_every_layout(tmp_path: Path, tensor: int, pipeline: int, mode: str) -> None:
    tensors = whole(tensor)
    settings = CONFIG | {"tensor_model_parallel_size": tensor, "pipeline_model_parallel_size": pipeline}
    path = archive(tmp_path / "a.nemo", parts(tensors, tensor, pipeline), settings, mode)
    assert recognises(path)
    checkpoint = open_checkpoint(path, None)
    assert checkpoint.model == ModelConfig(
        architecture="bert",
        num_layers=LAYERS,
        hidden_size=HIDDEN,
        num_attention_heads=HEADS,
        ffn_hidden_size=WIDE,
        max_position_embeddings=POSITIONS,
        vocab_size=len(WORDS),
        activation="megatron",
    )
    assert {name: tuple(value.shape) for name, value in checkpoint.weights.described().items()} == our_shapes(
        checkpoint.model
    )
    assert checkpoint.facts["tensor_parallel"] == tensor and checkpoint.facts["pipeline_parallel"] == pipeline
    assert_same(checkpoint, tensors)


@pytest.mark.parametrize("tensor", [1, 2])
def test_the_order_of_queries_keys_and_values_in_legacy_archives(tmp_path: Path, tensor: int) -> None:
    """`megatron_legacy`: rows [3, n, D] in each part. Old names too: transformer, attention; O2's prefix."""
    tensors = whole(tensor)
    files = parts(tensors, tensor, 1, "model.module.")
    for file in files.values():
        for name in list(file):
            value = file.pop(name)
            if "query_key_value" in name:
                by_head = value.view(HEADS // tensor, 3, HIDDEN // HEADS, *value.shape[1:])
                value = by_head.transpose(0, 1).reshape(value.shape).clone()
            file[name.replace(".encoder.", ".transformer.").replace(".self_attention.", ".attention.")] = (
                value
            )
    checkpoint = open_checkpoint(
        archive(tmp_path / "a.nemo", files, CONFIG | {"megatron_legacy": True}), None
    )
    assert checkpoint.facts["order_of_query_key_value"] == "3, heads, head size"
    assert_same(checkpoint, tensors)


def test_the_vocabulary_comes_with_it_and_goes_with_it(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(archive(tmp_path / "a.nemo", parts(whole(1), 1, 1), CONFIG, "w:gz"), None)
    assert checkpoint.tokenizer is not None
    tokenizer = Tokenizer.load(checkpoint.tokenizer)
    assert tokenizer.vocab_size == len(WORDS) and tokenizer.encode_batch(["W3"])[0].tolist() == [8]
    folder = checkpoint.tokenizer
    del checkpoint
    gc.collect()
    assert not folder.exists()


def test_the_number_of_tokens(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.nemo", parts(whole(1), 1, 1), CONFIG)
    assert open_checkpoint(path, 90).model.vocab_size == 90
    with pytest.raises(ConvertError, match="128 rows, the tokenizer 129 tokens"):
        open_checkpoint(path, 129)
    alone = archive(
        tmp_path / "b.nemo",
        parts(whole(1), 1, 1),
        {key: value for key, value in CONFIG.items() if key != "tokenizer"},
    )
    assert open_checkpoint(alone, None).model.vocab_size == 128
    assert open_checkpoint(alone, None).tokenizer is None


def test_models_without_some_of_the_heads(tmp_path: Path) -> None:
    tensors = whole(1)
    encoder = {name: value for name, value in tensors.items() if not name.startswith("lm_head")}
    checkpoint = open_checkpoint(archive(tmp_path / "a.nemo", parts(encoder, 1, 1), CONFIG), None)
    assert checkpoint.facts["missing"] and all(
        name.startswith("masked_lm_head.") for name in checkpoint.facts["missing"]
    )
    no_order = {
        name: value
        for name, value in tensors.items()
        if not name.startswith(("binary_head", "language_model.pooler")) and "tokentype" not in name
    }
    checkpoint = open_checkpoint(
        archive(tmp_path / "b.nemo", parts(no_order, 1, 1), CONFIG | {"bert_binary_head": False}), None
    )
    assert not checkpoint.model.order_head
    assert_same(
        checkpoint,
        no_order | {"language_model.embedding.tokentype_embeddings.weight": torch.zeros(2, HIDDEN)},
    )
    pooled = {name: value for name, value in tensors.items() if not name.startswith("binary_head")}
    checkpoint = open_checkpoint(archive(tmp_path / "c.nemo", parts(pooled, 1, 1), CONFIG), None)
    assert len(checkpoint.facts["left_out"]) == 2 and not checkpoint.model.order_head


def test_gpt(tmp_path: Path) -> None:
    tensors = whole(2, "gpt")
    settings = CONFIG | {"target": "nemo.MegatronGPTModel", "bias_activation_fusion": True}
    checkpoint = open_checkpoint(archive(tmp_path / "a.nemo", parts(tensors, 2, 2), settings), 100)
    assert (checkpoint.model.architecture, checkpoint.model.activation) == ("gpt", "gelu_tanh")
    assert_same(checkpoint, tensors)


def test_the_activation(tmp_path: Path) -> None:
    files = parts(whole(1), 1, 1)
    exact = archive(tmp_path / "a.nemo", files, CONFIG | {"bias_gelu_fusion": False})
    assert open_checkpoint(exact, None).model.activation == "gelu"
    with pytest.raises(ConvertError, match="openai_gelu"):
        open_checkpoint(
            archive(tmp_path / "b.nemo", files, CONFIG | {"bias_gelu_fusion": False, "openai_gelu": True}),
            None,
        )


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
