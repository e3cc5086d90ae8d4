"""Files as others wrote them: names of all times, no arguments, one file, and what is wrong with them."""

from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_bio.config.training import OptimizerConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.formats import FORMATS
from megatron_bio.convert.megatron_lm.open import open_checkpoint, recognises
from megatron_bio.convert.sources import Told
from megatron_bio.convert.tokenizer_files import open_with_tokenizer
from tests.convert.megatron_lm.checkpoints import VOCABULARY, read_everything, tiny, written
from tests.convert.tiny_runs import wordpiece_folder

SHARD = "model_optim_rng.pt"
NORMS = (
    ("input_layernorm", "input_norm"),
    ("post_attention_layernorm", "post_attention_norm"),
    ("final_layernorm", "final_norm"),
)
CORE = (
    ("self_attention.query_key_value", "self_attention.linear_qkv"),
    ("self_attention.dense", "self_attention.linear_proj"),
    ("post_attention_layernorm", "pre_mlp_layernorm"),
    ("mlp.dense_h_to_4h", "mlp.linear_fc1"),
    ("mlp.dense_4h_to_h", "mlp.linear_fc2"),
)


def load(folder: Path, rank: str = "mp_rank_00") -> dict[str, Any]:
    return torch.load(folder / "iter_0000700" / rank / SHARD, weights_only=False)


def save(folder: Path, content: dict[str, Any], rank: str = "mp_rank_00") -> None:
    torch.save(content, folder / "iter_0000700" / rank / SHARD)


def renamed(tensors: dict[str, Any], pairs) -> dict[str, Any]:
    found = {}
    for key, value in tensors.items():
        for ours, theirs in pairs:
            key = key.replace(ours, theirs)
        found[key] = value
    return found


def require_same(path: Path, checkpoint, **given: Any) -> None:
    again = open_checkpoint(path, VOCABULARY, **given)
    assert again.model == checkpoint.model
    for name, value in read_everything(again.weights).items():
        assert torch.equal(value, checkpoint.weights.read(name)), name


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_norms_as_they_were_called_later(tmp_path: Path, kind: str) -> None:
    checkpoint = tiny(kind)
    folder = written(checkpoint, tmp_path / "theirs")
    content = load(folder)
    language = content["model"]["language_model"]
    language["encoder"] = renamed(language["encoder"], NORMS)
    if kind == "bert":
        content["model"]["lm_head"] = renamed(content["model"]["lm_head"], [("layernorm", "norm")])
    save(folder, content)
    require_same(folder, checkpoint)


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("fused_norms", [False, True])
def test_names_of_megatron_core(tmp_path: Path, kind: str, fused_norms: bool) -> None:
    checkpoint = tiny(kind)
    folder = written(checkpoint, tmp_path / "theirs")
    content = load(folder)
    model = content["model"]
    layers = renamed(model["language_model"]["encoder"], CORE)
    if fused_norms:
        pairs = (
            ("input_layernorm.", "self_attention.linear_qkv.layer_norm_"),
            ("pre_mlp_layernorm.", "mlp.linear_fc1.layer_norm_"),
        )
        layers = renamed(layers, pairs)
    stack = "encoder" if kind == "bert" else "decoder"
    flat = {f"{stack}.{key}": value for key, value in layers.items()}
    flat |= {
        f"embedding.{table}.weight": value["weight"]
        for table, value in model["language_model"]["embedding"].items()
    }
    flat[f"{stack}.layers.0.self_attention.linear_qkv._extra_state"] = None
    if kind == "bert":
        head = renamed(model["lm_head"], [("layernorm", "layer_norm")])
        flat["output_layer.bias"] = head.pop("bias")
        flat |= {f"lm_head.{key}": value for key, value in head.items()}
        flat |= {f"pooler.{key}": value for key, value in model["language_model"]["pooler"].items()}
        flat |= {f"binary_head.{key}": value for key, value in model["binary_head"].items()}
    content["model"] = flat
    save(folder, content)
    require_same(folder, checkpoint)


@pytest.mark.parametrize("whole", [True, False])
def test_one_file_without_arguments_needs_the_heads(tmp_path: Path, whole: bool) -> None:
    checkpoint = tiny("bert")
    content = load(written(checkpoint, tmp_path / "theirs", megatron_checkpoint_version=0))
    file = tmp_path / "MegatronBERT.pt"
    torch.save({"total_iters": 9, "model": content["model"]} if whole else content["model"], file)
    assert recognises(file)
    told = Told(num_attention_heads=4, activation="megatron")
    require_same(file, checkpoint, told=told)
    assert open_checkpoint(file, VOCABULARY, told).step == (9 if whole else 0)
    with pytest.raises(ConvertError, match="--num_attention_heads"):
        open_checkpoint(file, VOCABULARY)
    with pytest.raises(ConvertError, match="--activation: megatron for the fused kernel"):
        open_checkpoint(file, VOCABULARY, Told(num_attention_heads=4))


def test_without_token_types_they_are_zero(tmp_path: Path) -> None:
    folder = written(tiny("bert-no-order-head"), tmp_path / "theirs")
    content = load(folder)
    del content["model"]["language_model"]["embedding"]["tokentype_embeddings"]
    save(folder, content)
    again = open_checkpoint(folder, VOCABULARY)
    assert not again.weights.read("embeddings.tokentype_embeddings.weight").any()
    assert again.moments is None and "ours have zeros" in str(again.facts["notes"])


def test_a_head_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = written(tiny("bert"), tmp_path / "theirs")
    content = load(folder)
    del content["model"]["lm_head"]
    save(folder, content)
    again = open_checkpoint(folder, VOCABULARY)
    assert "masked_lm_head.dense.weight" in again.facts["missing"]
    assert "masked_lm_head.dense.weight" not in again.weights.described()


def test_the_moments_of_a_distributed_optimizer_are_said_to_be_left(tmp_path: Path) -> None:
    folder = written(tiny("gpt", moments=False), tmp_path / "theirs")
    torch.save({}, folder / "iter_0000700/mp_rank_00/distrib_optim.pt")
    again = open_checkpoint(folder, VOCABULARY)
    assert again.moments is None and "distrib_optim.pt" in str(again.facts["notes"])


def edit_tensor(content: dict[str, Any], value: Any) -> None:
    content["model"]["language_model"]["encoder"]["layers.0.mlp.dense_h_to_4h.bias"] = value


WRONG = {
    "missing": (lambda c: c["model"]["lm_head"].pop("dense.bias"), "missing: lm_head.dense.bias"),
    "extra": (
        lambda c: c["model"]["lm_head"].update(other=torch.zeros(3)),
        "not of this model: lm_head.other",
    ),
    "shape": (lambda c: edit_tensor(c, torch.zeros(7)), "of another shape"),
    "integers": (lambda c: edit_tensor(c, torch.zeros(48, dtype=torch.int64)), "floating-point"),
    "not a tensor": (lambda c: edit_tensor(c, "text"), "expected a tensor"),
    "version": (lambda c: c.update(checkpoint_version=4.0), "checkpoint_version is 4.0"),
    "no model": (lambda c: c.update(model=5), "expected tensors by name"),
    "other model": (lambda c: c.update(model={"x": torch.zeros(2)}), "expected a BERT or GPT"),
    "rotary": (lambda c: vars(c["args"]).update(position_embedding_type="rope"), "'rope'"),
    "swiglu": (lambda c: vars(c["args"]).update(swiglu=True), "args.swiglu is True"),
    "norm": (lambda c: vars(c["args"]).update(normalization="RMSNorm"), "RMSNorm"),
    "layers": (lambda c: vars(c["args"]).update(num_layers=9), "num_layers is 9, but the tensors have 4"),
    "heads": (lambda c: vars(c["args"]).update(num_attention_heads=5), "5 attention heads do not divide"),
    "epsilon": (lambda c: vars(c["args"]).update(layernorm_epsilon=-1, norm_epsilon=-1), "no model of ours"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_named(tmp_path: Path, what: str) -> None:
    change, message = WRONG[what]
    folder = written(tiny("bert"), tmp_path / "theirs")
    content = load(folder)
    change(content)
    save(folder, content)
    with pytest.raises(ConvertError, match=message):
        open_checkpoint(folder, VOCABULARY)


@pytest.mark.parametrize("tokens", [VOCABULARY + 200, 3])
def test_a_tokenizer_of_another_size_is_refused(tmp_path: Path, tokens: int) -> None:
    folder = written(tiny("bert"), tmp_path / "theirs")
    content = load(folder)
    table = content["model"]["language_model"]["embedding"]["word_embeddings"]
    if tokens == 3:
        table["weight"] = torch.zeros(2048, 16)
        content["model"]["lm_head"]["bias"] = torch.zeros(2048)
        save(folder, content)
    with pytest.raises(ConvertError, match="another tokenizer"):
        open_checkpoint(folder, tokens)


def test_a_missing_rank_is_named(tmp_path: Path) -> None:
    folder = written(tiny("bert"), tmp_path / "theirs", tensor_parallel=2, pipeline_parallel=2)
    (folder / "iter_0000700/mp_rank_01_000" / SHARD).unlink()
    with pytest.raises(ConvertError, match=r"missing: mp_rank_01_000"):
        open_checkpoint(folder, VOCABULARY)


@pytest.mark.parametrize(("size", "refused"), [(1e-5, False), (1.0, True)])
def test_copies_on_the_ranks_may_drift_but_not_differ(tmp_path: Path, size: float, refused: bool) -> None:
    checkpoint = tiny("bert")
    folder = written(checkpoint, tmp_path / "theirs", tensor_parallel=2)
    content = load(folder, "mp_rank_01")
    content["model"]["language_model"]["encoder"]["final_layernorm.weight"] += size
    save(folder, content, "mp_rank_01")
    again = open_checkpoint(folder, VOCABULARY)
    if refused:
        with pytest.raises(ConvertError, match="rank 0 and of rank 1 differ"):
            again.weights.read("final_layernorm.weight")
    else:
        expected = checkpoint.weights.read("final_layernorm.weight")
        assert torch.equal(again.weights.read("final_layernorm.weight"), expected)


def test_a_second_table_of_embeddings_that_differs_is_refused(tmp_path: Path) -> None:
    folder = written(tiny("gpt"), tmp_path / "theirs", pipeline_parallel=2)
    content = load(folder, "mp_rank_00_001")
    content["model"]["word_embeddings_for_head"]["weight"] *= 2
    save(folder, content, "mp_rank_00_001")
    with pytest.raises(ConvertError, match="first and of the last pipeline stage differ"):
        open_checkpoint(folder, VOCABULARY).weights.read("embeddings.word_embeddings.weight")


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"tensor_parallel": 3}, "--tensor_parallel 3: it must divide"),
        ({"pipeline_parallel": 3}, "4 layers are not divisible by 3"),
        ({"pipeline_parallel": 2, "virtual_pipeline": 4}, "not divisible by 8"),
    ],
)
def test_layouts_that_cannot_be_are_refused(tmp_path: Path, layout: dict, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        written(tiny("bert"), tmp_path / "theirs", **layout)


def test_arguments_are_plain_and_say_the_layout(tmp_path: Path) -> None:
    folder = written(tiny("bert"), tmp_path / "theirs", tensor_parallel=2, pipeline_parallel=2)
    content = load(folder, "mp_rank_01_001")
    assert type(content["args"]) is Namespace and content["checkpoint_version"] == 3.0
    args = content["args"]
    assert (args.tensor_model_parallel_size, args.pipeline_model_parallel_size) == (2, 2)
    assert args.padded_vocab_size == 256 and content["iteration"] == 700


def test_the_schedule_goes_along_where_the_run_is_known(tmp_path: Path) -> None:
    run = {"optimizer": asdict(OptimizerConfig(lr=2e-4, warmup_steps=10)), "training": {}}
    run["training"] = {"train_steps": 1000, "global_batch_size": 64}
    checkpoint = tiny("gpt")
    checkpoint = replace(checkpoint, training={"samples": 44_800, "config": run})
    content = load(written(checkpoint, tmp_path / "theirs"))
    state = content["opt_param_scheduler"]
    assert (state["max_lr"], state["lr_warmup_steps"], state["lr_decay_steps"]) == (2e-4, 640, 64_000)
    assert (state["num_steps"], state["lr_decay_style"]) == (44_800, "linear")
    old = content["lr_scheduler"]
    assert (old["warmup_steps"], old["decay_steps"], old["decay_style"]) == (640, 64_000, "linear")
    assert "opt_param_scheduler" not in load(written(tiny("gpt"), tmp_path / "unknown"))


@pytest.mark.parametrize("version", [0, 1])
def test_schedules_of_the_first_versions_count_iterations(tmp_path: Path, version: int) -> None:
    run = {"optimizer": asdict(OptimizerConfig(lr=2e-4, warmup_steps=10)), "training": {}}
    run["training"] = {"train_steps": 1000, "global_batch_size": 64}
    checkpoint = replace(tiny("gpt"), training={"samples": 44_800, "config": run})
    content = load(written(checkpoint, tmp_path / "theirs", megatron_checkpoint_version=version))
    assert content["lr_scheduler"] == {
        **{"start_lr": 2e-4, "min_lr": 0.0, "warmup_iter": 10, "end_iter": 1000},
        **{"decay_style": "linear", "num_iters": 700},
    }


@pytest.mark.parametrize(
    ("lowercase", "expected"), [(True, "BertWordPieceLowerCase"), (False, "BertWordPieceCase")]
)
def test_arguments_name_the_casing_of_the_tokenizer(tmp_path: Path, lowercase: bool, expected: str) -> None:
    checkpoint = replace(tiny("bert"), tokenizer=wordpiece_folder(tmp_path / "tokens", lowercase=lowercase))
    assert load(written(checkpoint, tmp_path / "theirs"))["args"].tokenizer_type == expected


def test_a_tokenizer_of_another_casing_is_refused(tmp_path: Path) -> None:
    trained, other = (wordpiece_folder(tmp_path / str(case), lowercase=case) for case in (True, False))
    folder = written(replace(tiny("bert"), tokenizer=trained), tmp_path / "theirs")
    assert open_with_tokenizer(FORMATS["megatron_lm"], folder, trained).tokenizer == trained
    with pytest.raises(ConvertError, match=r"keeps capitals, but .* was trained with BertWordPieceLowerCase"):
        open_with_tokenizer(FORMATS["megatron_lm"], folder, other)


def test_one_rank_of_several_is_told_as_such(tmp_path: Path) -> None:
    folder = written(tiny("bert"), tmp_path / "theirs", tensor_parallel=2)
    with pytest.raises(ConvertError, match="args tell 2 tensor-parallel ranks, and there is 1"):
        open_checkpoint(folder / "iter_0000700/mp_rank_00/model_optim_rng.pt", VOCABULARY)
