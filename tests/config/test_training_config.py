"""Impossible configurations are refused with the flag and the numbers."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import PRESETS, ModelConfig, padded_vocab_size
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig, differences_on_resume
from megatron_bio.config.training import OptimizerConfig, TrainingConfig


def pretrain_config(**parts: Any) -> PretrainConfig:
    values: dict[str, Any] = {
        "data": DataConfig(prefixes=["tokens"], tokenizer="vocabulary", sequence_length=128),
        "training": TrainingConfig(output="run", train_steps=100),
    }
    return PretrainConfig(**(values | parts))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelConfig(num_attention_heads=7), "7 heads do not divide model.hidden_size 768"),
        (lambda: ModelConfig(preset="bert-340m"), "model.preset: expected one of biomegatron-345m"),
        (lambda: ModelConfig(hidden_dropout=1.0), "model.hidden_dropout: expected 0 <= p < 1, found 1.0"),
        (lambda: OptimizerConfig(lr=float("nan")), "optimizer.lr: expected a number above 0, found nan"),
        (lambda: OptimizerConfig(weight_decay=float("nan")), "optimizer.weight_decay: expected 0 or more"),
        (
            lambda: ModelConfig(init_method_std=-1.0),
            "model.init_method_std: expected more than 0, found -1.0",
        ),
        (lambda: TrainingConfig(output="", train_steps=1), "training.output: expected a folder"),
        (lambda: ParallelConfig(tensor_parallel=0), "parallel.tensor_parallel: expected at least 1, found 0"),
        (lambda: OptimizerConfig(lr=1e-4, min_lr=1.0), "optimizer.min_lr: expected 0 <= min_lr <= lr"),
        (
            lambda: OptimizerConfig(lr_schedule="constant", decay_steps=5),
            "decay_steps 5 has no meaning with optimizer.lr_schedule constant",
        ),
        (
            lambda: pretrain_config(optimizer=OptimizerConfig(warmup_steps=50, decay_steps=40)),
            "optimizer.decay_steps 40 is before the end of the warmup at step 50",
        ),
        (
            lambda: pretrain_config(optimizer=OptimizerConfig(warmup_fraction=0.5, decay_steps=49)),
            r"warmup at step 50 \(warmup_fraction 0.5 of train_steps\)",
        ),
        (
            lambda: OptimizerConfig(name="decoupled_adamw", weight_decay=1.0),
            "optimizer.weight_decay: decoupled_adamw .* must be below 1; found 1.0",
        ),
        (lambda: OptimizerConfig(initial_loss_scale=3.0), "expected a power of 2 from 1 to .* found 3.0"),
        (
            lambda: OptimizerConfig(initial_loss_scale=float("inf")),
            "expected a power of 2 from 1 to .* found inf",
        ),
        (lambda: OptimizerConfig(loss_scale_window=0), "loss_scale_window: expected at least 1, found 0"),
        (
            lambda: TrainingConfig(output="r", train_steps=9, profile_steps=(3, 2)),
            "profile_steps: expected two steps FIRST LAST .*, found 3 2",
        ),
        (
            lambda: TrainingConfig(output="r", train_steps=9, profile_all_ranks=True),
            "profile_all_ranks: it needs training.profile_steps",
        ),
        (lambda: TrainingConfig(output="r", train_steps=9, peak_tflops=0.0), "peak_tflops: .* found 0.0"),
        (
            lambda: TrainingConfig(output="r", train_steps=9, max_skipped_steps=0),
            "training.max_skipped_steps: expected at least 1, found 0",
        ),
        (
            lambda: TrainingConfig(output="r", train_steps=1, keep_every=-1),
            "training.keep_every: expected 0 or more, found -1",
        ),
        (
            lambda: TrainingConfig(output="r", train_steps=0),
            "training.train_steps: expected at least 1, found 0",
        ),
        (
            lambda: pretrain_config(parallel=ParallelConfig(tensor_parallel=5)),
            "tensor_parallel 5 does not divide model.num_attention_heads 12",
        ),
        (
            lambda: pretrain_config(model=ModelConfig(max_position_embeddings=64)),
            "data.sequence_length 128 is longer than model.max_position_embeddings 64",
        ),
        (
            lambda: pretrain_config(
                data=DataConfig(prefixes=["t"], tokenizer="v", sequence_length=126),
                parallel=ParallelConfig(tensor_parallel=4),
            ),
            "splits data.sequence_length 126 over parallel.tensor_parallel 4",
        ),
        (
            lambda: ParallelConfig(pipeline_parallel=4).check_microbatches(3),
            "1f1b: a step has 3 microbatches .*, fewer than parallel.pipeline_parallel 4",
        ),
        (
            lambda: ParallelConfig(pipeline_parallel=2, pipeline_schedule="zero_bubble").check_microbatches(
                5
            ),
            "zero_bubble: a step has 5 microbatches .* cannot be dealt evenly in 2 rounds",
        ),
        (
            lambda: ParallelConfig(pipeline_parallel=2, zero=2),
            "parallel.zero 2 cannot be combined with parallel.pipeline_parallel",
        ),
        (
            lambda: ParallelConfig(pipeline_parallel=2, pipeline_schedule="zbv", recompute="full"),
            "parallel.recompute full cannot be combined with parallel.pipeline_schedule zbv",
        ),
        (
            lambda: pretrain_config(parallel=ParallelConfig(pipeline_parallel=2, layers_per_stage=[1, 2, 3])),
            "parallel.layers_per_stage: expected 2 numbers of at least 1 .* found 1, 2, 3",
        ),
        (
            lambda: pretrain_config(parallel=ParallelConfig(pipeline_parallel=64)),
            "model.num_layers .* cannot be cut into 64 pipeline stages",
        ),
        (
            lambda: ParallelConfig(data_parallel_shard=3).shard_size(8),
            "parallel.data_parallel_shard 3 does not divide the data-parallel size 8",
        ),
        (lambda: ParallelConfig(tensor_parallel=2).data_parallel_size(3), "does not divide the 3 ranks"),
        (
            lambda: ParallelConfig(tensor_parallel=2, data_parallel=1).data_parallel_size(4),
            r"The layout needs 2 ranks .* but 4 were started",
        ),
        (
            lambda: pretrain_config(model=ModelConfig(vocab_size=10)).with_vocab_size(11),
            "model.vocab_size is 10, but the tokenizer vocabulary has 11 tokens",
        ),
    ],
)
def test_refused_with_flag_and_numbers(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"architecture": "gpt", "norm_order": "post"},
            "model.norm_order: found post .* gpt, expected it with bert only",
        ),
        (
            {"architecture": "gpt", "activation": "megatron"},
            "model.activation: found megatron .* with bert only",
        ),
        ({"architecture": "gpt", "order_head": False}, "model.order_head: found False .* with bert only"),
        (
            {"scale_attention_by_inverse_layer": True},
            "model.scale_attention_by_inverse_layer: found True .* bert, expected it with gpt only",
        ),
    ],
)
def test_what_the_architecture_does_not_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ModelConfig(**options)


def test_without_order_head_the_order_is_not_to_be_learnt() -> None:
    config = pretrain_config()
    model, data = ModelConfig(order_head=False), replace(config.data, sentence_order="none")
    with pytest.raises(
        ConfigurationError, match=r"model\.order_head is false.* data\.sentence_order is sop; set"
    ):
        replace(config, model=model)
    assert not replace(config, model=model, data=data).model.order_head


@pytest.mark.parametrize(
    ("activation", "mlp", "head"),
    [
        (None, "gelu", "gelu"),
        ("gelu", "gelu", "gelu"),
        ("gelu_tanh", "gelu_tanh", "gelu_tanh"),
        ("megatron", "gelu_tanh", "gelu"),
    ],
)
def test_activations_of_bert(activation: Any, mlp: str, head: str) -> None:
    model = ModelConfig(activation=activation)
    assert (model.mlp_activation, model.head_activation) == (mlp, head)


def test_a_bert_checkpoint_from_before_tanh_in_the_head_has_megatrons_activation() -> None:
    config = replace(pretrain_config(), model=ModelConfig(activation="gelu_tanh"))
    stored = asdict(config)
    assert differences_on_resume(stored, config) == []
    for name in ("norm_order", "order_head", "scale_attention_by_inverse_layer"):
        del stored["model"][name]
    assert differences_on_resume(stored, config) == [
        "model.activation: the checkpoint has megatron, the command gives gelu_tanh"
    ]
    assert differences_on_resume(stored, replace(config, model=ModelConfig(activation="megatron"))) == []


def test_every_preset_is_a_model() -> None:
    for name, values in PRESETS.items():
        model = ModelConfig(preset=name, **values)
        assert model.ffn_size == 4 * model.hidden_size
        assert model.activation_name == ("gelu" if model.architecture == "bert" else "gelu_tanh")


@pytest.mark.parametrize(("size", "padded"), [(1, 128), (128, 128), (28_996, 29_056), (30_522, 30_592)])
def test_vocabulary_padding(size: int, padded: int) -> None:
    assert padded_vocab_size(size) == padded


def test_the_layout_may_change_on_resume_and_the_mathematics_may_not() -> None:
    config = pretrain_config()
    stored = asdict(config)
    moved = replace(
        config,
        parallel=ParallelConfig(tensor_parallel=2),
        training=replace(
            config.training,
            micro_batch_size=2,
            stop_at_step=50,
            output="elsewhere",
            keep_every=1000,
            asynchronous_checkpoints=True,
            watchdog=False,
        ),
    )
    assert differences_on_resume(stored, moved) == []
    changed = replace(config, optimizer=OptimizerConfig(lr=5.0), model=ModelConfig(num_layers=3))
    assert differences_on_resume(stored, changed) == [
        "model.num_layers: the checkpoint has 12, the command gives 3",
        "optimizer.lr: the checkpoint has 0.0001, the command gives 5.0",
    ]


def test_json_s_lists_are_no_difference() -> None:
    config = pretrain_config()
    assert differences_on_resume(json.loads(json.dumps(asdict(config))), config) == []


def test_a_checkpoint_from_before_an_option_had_its_default() -> None:
    config = pretrain_config()
    stored = asdict(config)
    del (
        stored["optimizer"]["name"],
        stored["training"]["max_skipped_steps"],
        stored["optimizer"]["decay_steps"],
    )
    assert differences_on_resume(stored, config) == []
    other = replace(config, optimizer=OptimizerConfig(name="decoupled_adamw"))
    assert differences_on_resume(stored, other) == [
        "optimizer.name: the checkpoint has adamw, the command gives decoupled_adamw"
    ]


def test_a_bert_checkpoint_from_before_packing_had_one_sample_in_a_row() -> None:
    config = pretrain_config()
    stored = asdict(config)
    assert config.model.architecture == "bert" and config.data.packing
    single = replace(config, data=replace(config.data, packing=False))
    expected = "data.packing: the checkpoint has {}, the command gives {}"
    assert differences_on_resume(stored, single) == [expected.format(True, False)]
    del stored["data"]["packing"], stored["data"]["max_samples_per_row"], stored["data"]["sentence_order"]
    assert differences_on_resume(stored, config) == [expected.format(False, True)]
    assert differences_on_resume(stored, single) == []


def test_a_gpt_checkpoint_from_before_packing_goes_on() -> None:
    config = pretrain_config()
    config = replace(config, model=replace(config.model, architecture="gpt", activation=None))
    stored = asdict(config)
    del stored["data"]["packing"]
    assert differences_on_resume(stored, config) == []
