"""Megatron Core's own BertModel and GPTModel on the CPU, and its own saving and loading of their checkpoints."""

import queue
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.megatron_core.table import megatron_core_table
from megatron_bio.convert.table import AsForeign
from tests.convert.tiny_runs import Tensors


@contextmanager
def megatron_core(tp: int = 1, pp: int = 1) -> Iterator[None]:
    """Set up its global state for the ranks of the default group, without the parts of it that need CUDA or processes."""
    with warnings.catch_warnings(), ExitStack() as patches:
        warnings.simplefilter("ignore")
        from megatron.core import parallel_state, tensor_parallel
        from megatron.core.dist_checkpointing.strategies import filesystem_async as files

        results: queue.Queue[Any] = queue.Queue()
        writer = files.FileSystemWriterAsync
        for target, name, value in (
            (torch.cuda, "current_device", lambda: torch.device("cpu")),
            (Tensor, "cuda", lambda self: self),
            (torch.cuda, "synchronize", lambda: None),
            (tensor_parallel, "get_cuda_rng_tracker", _NoRandomStates),
            (files, "_process_memory", lambda: 0),
            (files, "_get_write_results_queue", lambda: results),
            (writer, "write_preloaded_data_multiproc", staticmethod(_write_here)),
        ):
            patches.enter_context(mock.patch.object(target, name, value))
        # Its activations are compiled when they are first called, which takes a minute.
        patches.enter_context(torch.compiler.set_stance("force_eager"))
        parallel_state.initialize_model_parallel(tp, pp)
        try:
            yield
        finally:
            parallel_state.destroy_model_parallel()


def build(config: ModelConfig, rows: int | None = None, tp: int = 1, pp: int = 1) -> nn.Module:
    """Return the model, or this rank's part, with weights drawn by Megatron Core."""
    from megatron.core import parallel_state
    from megatron.core.models.bert.bert_layer_specs import bert_layer_local_spec
    from megatron.core.models.bert.bert_model import BertModel
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer.transformer_config import TransformerConfig

    theirs = TransformerConfig(
        num_layers=config.num_layers,
        hidden_size=config.hidden_size,
        num_attention_heads=config.num_attention_heads,
        ffn_hidden_size=config.ffn_size,
        layernorm_epsilon=config.layernorm_epsilon,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_func=functional.gelu,
        bias_activation_fusion=config.mlp_activation == "gelu_tanh",
        masked_softmax_fusion=False,
        bias_dropout_fusion=False,
        tensor_model_parallel_size=tp,
        pipeline_model_parallel_size=pp,
        pipeline_dtype=torch.float32,
        use_cpu_initialization=True,
    )
    common = {
        "vocab_size": padded_vocab_size(config.vocab_size) if rows is None else rows,
        "max_sequence_length": config.max_position_embeddings,
        "pre_process": parallel_state.is_pipeline_first_stage(),
        "post_process": parallel_state.is_pipeline_last_stage(),
        "share_embeddings_and_output_weights": True,
        "parallel_output": False,
    }
    if config.architecture == "gpt":
        return GPTModel(theirs, get_gpt_layer_local_spec(), **common).eval()
    heads = config.order_head
    return BertModel(theirs, 2, bert_layer_local_spec, add_binary_head=heads, **common).eval()


def parameter_name(name: str) -> str:
    """Return the name in the model of a name of the table."""
    name = name.replace("self_attention.linear_qkv.layer_norm_", "input_layernorm.")
    return name.replace("mlp.linear_fc1.layer_norm_", "pre_mlp_layernorm.")


def foreign(config: ModelConfig, ours: dict[str, Tensor], rows: int | None = None) -> dict[str, Tensor]:
    """Return tensors of ours under the names of Megatron Core's parameters."""
    table = megatron_core_table(config, padded_vocab_size(config.vocab_size) if rows is None else rows)
    source = AsForeign(table, Tensors(ours))
    return {parameter_name(name): source.read(name) for name in source.described()}


def outputs(
    model: nn.Module, tokens: Tensor, real: Tensor, token_types: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return logits [R, S, V] and, of a BERT with its head, [R, 2]; `real` bool [R, S] is what is no padding."""
    if hasattr(model, "encoder"):
        logits, order = model(tokens, real.long(), token_types)
        return logits, order
    length = tokens.shape[1]
    masked = ~(torch.ones(length, length).tril().bool() & real[:, None, None, :])
    positions = torch.arange(length).expand_as(tokens)
    return model(tokens, positions, masked), None


def save(
    model: nn.Module, folder: Path, common: dict[str, Any], metadata: dict[str, bool] | None = None
) -> None:
    """Save as Megatron-LM's training does: sharded tensors under "model", everything else in common.pt."""
    from megatron.core import dist_checkpointing

    kept = {} if metadata is None else {"metadata": metadata}
    dist_checkpointing.save({"model": model.sharded_state_dict(**kept), **common}, str(folder))


def load(model: nn.Module, folder: Path) -> dict[str, Any]:
    """Load strictly into the model and return what else was loaded."""
    from megatron.core import dist_checkpointing

    state = dist_checkpointing.load(
        {"model": model.sharded_state_dict()}, str(folder), strict="raise_unexpected"
    )
    missing = model.load_state_dict(state.pop("model"), strict=False).missing_keys
    assert not [name for name in missing if "_extra_state" not in name], missing
    return state


def arguments(config: ModelConfig, **changes: Any) -> Namespace:
    """Return the arguments of a training of this model that matter here."""
    known = {
        "num_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_attention_heads,
        "ffn_hidden_size": config.ffn_size,
        "max_position_embeddings": config.max_position_embeddings,
        "norm_epsilon": config.layernorm_epsilon,
        "hidden_dropout": config.hidden_dropout,
        "attention_dropout": config.attention_dropout,
        "bias_gelu_fusion": config.mlp_activation == "gelu_tanh",
        "params_dtype": torch.float32,
        "swiglu": False,
        "position_embedding_type": "learned_absolute",
    }
    return Namespace(**(known | changes))


class _NoRandomStates:
    """Nothing is dropped, so that there is no generator to switch."""

    def fork(self) -> nullcontext[None]:
        return nullcontext()


def _write_here(
    transforms: list[Any], use_msc: bool, rank: int, buckets: list[Any], results: "queue.Queue[Any]"
) -> None:
    """Write in this process what Megatron Core writes in forked ones, which a test's worker may not have."""
    from megatron.core.dist_checkpointing.strategies.filesystem_async import FileSystemWriterAsync

    found = {}
    write: Callable[..., None] = FileSystemWriterAsync.write_preloaded_data
    for place, bucket in enumerate(buckets):
        written, count = queue.Queue(), queue.Queue()
        count.put(place)
        write(transforms, place, bucket, written, count, False)
        found[place] = written.get()[1]
    results.put(found)
