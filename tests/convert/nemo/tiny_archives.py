"""Archives as NeMo writes them, of a tiny random model under Megatron-LM's names, cut for any layout."""

import io
import tarfile
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from megatron_bio.convert.sources import Checkpoint

HIDDEN, HEADS, LAYERS, WIDE, POSITIONS = 16, 4, 4, 32, 24
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(95))]
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
