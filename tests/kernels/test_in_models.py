"""Whole models on the kernels of the emulated device, against the same models on torch's operations."""

import importlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from megatron_bio.config.model import ModelConfig
from megatron_bio.kernels.choice import OPERATIONS
from megatron_bio.kernels.dropout import sample_keys
from megatron_bio.kernels.library import Library
from megatron_bio.models.build import build_model
from megatron_bio.models.decoding import CachedDecoding
from megatron_bio.models.recompute import Recompute
from megatron_bio.parallel.computation import Computation
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import single_process_mesh
from megatron_bio.parallel.parameters import initialize
from tests.distributed.batches import LENGTH, VOCABULARY, bert_batch, gpt_batch

SIZES = {"num_layers": 2, "hidden_size": 36, "num_attention_heads": 3, "max_position_embeddings": LENGTH}
MODELS = {
    "bert": ModelConfig(vocab_size=VOCABULARY, **SIZES),
    "post": ModelConfig(vocab_size=VOCABULARY, norm_order="post", activation="megatron", **SIZES),
    "gpt": ModelConfig(vocab_size=VOCABULARY, architecture="gpt", **SIZES),
}
MODULES = [importlib.import_module(f"megatron_bio.kernels.{operation}") for operation in OPERATIONS]


@pytest.fixture
def launches(emulated: Library, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Give the CPU the implementations for CUDA, with the emulated library, and count the launches."""
    counts: Counter[str] = Counter()

    class Counting(Library):
        def launch(self, operation: str, *arguments: Any) -> None:
            counts[operation] += 1
            super().launch(operation, *arguments)

    library = Counting(emulated.path)
    for module in MODULES:
        monkeypatch.setattr(module, "cuda_library", lambda: library)
        for operation in vars(module).values():
            if isinstance(operation, torch.library.CustomOpDef):
                functions = operation._backend_fns
                monkeypatch.setitem(functions, "cpu", functions["cuda"])
    yield counts


def both_ways(operation: str, count: int) -> dict[str, int]:
    return {f"{operation}_{way}": count for way in ("forward", "backward")}


def built(
    name: str, kernels: tuple[str, ...], dtype: torch.dtype = torch.float32, recompute: str = "none"
) -> nn.Module:
    tensor_parallel = TensorParallel(
        single_process_mesh()["tp"], False, dtype, Computation(frozenset(kernels))
    )
    model = build_model(MODELS[name], tensor_parallel, recompute=Recompute(recompute))
    initialize(model, 7)
    return model


def trained(
    name: str, kernels: tuple[str, ...], dtype: torch.dtype = torch.float32, recompute: str = "none"
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the sums of one batch and the gradients."""
    model = built(name, kernels, dtype, recompute)
    batch = gpt_batch(0) if name == "gpt" else bert_batch(0)
    batch["dropout_keys"] = sample_keys(3, batch.pop("sample_ids"))
    sums = model(**batch)
    sums[: model.num_losses].sum().backward()
    return sums.detach(), {key: value.grad.to_local() for key, value in model.named_parameters()}


def assert_near(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for name, gradient in found.items():
        # A key's bias has no true gradient.
        scale = expected[name].norm() + 1e-3 * expected.get(name.replace(".bias", ".weight"), gradient).norm()
        assert (gradient - expected[name]).norm() <= tolerance * scale, name


@pytest.mark.parametrize("name", MODELS)
def test_models_compute_the_same(name: str, launches: Counter[str]) -> None:
    expected, expected_gradients = trained(name, ())
    assert not launches
    sums, gradients = trained(name, OPERATIONS)
    torch.testing.assert_close(sums, expected, rtol=1e-5, atol=1e-5)
    assert_near(gradients, expected_gradients, 1e-5)
    assert launches == Counter(
        # 2 blocks. What enters a block, the last norm, that of the embeddings or of the head follow no sum in their block.
        both_ways("layer_norm", {"bert": 4, "post": 2, "gpt": 3}[name])
        | both_ways("bias_dropout_add_norm", {"bert": 2, "post": 4, "gpt": 2}[name])
        | both_ways("bias_dropout_add", {"bert": 2, "post": 0, "gpt": 2}[name])
        | both_ways("bias_gelu", 2)
        | both_ways("softmax_dropout", 2)
        | both_ways("embedding_sum", 1)
        | both_ways("rows_at", 0 if name == "gpt" else 2)  # two heads
        | {f"cross_entropy_{part}": 1 for part in ("statistics", "gradient")}
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_alone(operation: str, launches: Counter[str]) -> None:
    sums, gradients = trained("bert", (operation,))
    assert launches and all(name.rpartition("_")[0] == operation for name in launches)
    expected, expected_gradients = trained("bert", ())
    torch.testing.assert_close(sums, expected, rtol=1e-5, atol=1e-5)
    assert_near(gradients, expected_gradients, 1e-5)


@pytest.mark.parametrize("name", ["post", "gpt"])
@pytest.mark.parametrize("beside", [(), ("bias_dropout_add",), ("layer_norm",)], ids=str)
def test_the_norm_in_the_pass_of_the_sum(name: str, beside: tuple[str, ...], launches: Counter[str]) -> None:
    """Where it does not fit, the operations beside it run, or torch's."""
    sums, gradients = trained(name, ("bias_dropout_add_norm", *beside))
    found = {operation.rpartition("_")[0] for operation in launches}
    assert found == {"bias_dropout_add_norm", *beside} - ({"bias_dropout_add"} if name == "post" else set())
    expected, expected_gradients = trained(name, ())
    torch.testing.assert_close(sums, expected, rtol=1e-5, atol=1e-5)
    assert_near(gradients, expected_gradients, 1e-5)


def test_decoding_computes_the_same(launches: Counter[str]) -> None:
    def logits(kernels: tuple[str, ...]) -> Tensor:
        model = built("gpt", kernels).eval()
        decoding = CachedDecoding(model, 2, 8)
        decoding.extend(torch.tensor([[5, 9, 11], [7, 3, 0]]), torch.tensor([3, 2]))
        return decoding.extend(torch.tensor([[4], [6]]), torch.tensor([1, 1]))

    expected = logits(())
    torch.testing.assert_close(logits(OPERATIONS), expected, rtol=1e-5, atol=1e-5)
    assert launches["bias_dropout_add_norm_forward"] == launches["bias_dropout_add_forward"] == 4


@pytest.mark.parametrize("recompute", ["selective", pytest.param("full", marks=pytest.mark.slow)])
def test_recomputed_gradients_are_the_same_bits(recompute: str, launches: Counter[str]) -> None:
    _, expected = trained("bert", OPERATIONS)
    _, gradients = trained("bert", OPERATIONS, recompute=recompute)
    assert all(torch.equal(gradients[name], expected[name]) for name in expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_as_near_to_float32_as_torch_is(dtype: torch.dtype, launches: Counter[str]) -> None:
    exact, exact_gradients = trained("gpt", ())

    def distance(kernels: tuple[str, ...]) -> tuple[float, float]:
        sums, gradients = trained("gpt", kernels, dtype)
        of = [
            (gradients[n] - g).norm() / g.norm() for n, g in exact_gradients.items() if "query_key" not in n
        ]
        return float((sums[0] - exact[0]).abs() / exact[0]), max(map(float, of))

    ours, torchs = distance(OPERATIONS), distance(())
    assert ours[0] < 2 * torchs[0] + 1e-3 and ours[1] < 1.5 * torchs[1]


def test_a_second_backward_over_logits_that_are_gone_is_an_error() -> None:
    model = built("gpt", OPERATIONS)
    batch = gpt_batch(0)
    batch["dropout_keys"] = sample_keys(3, batch.pop("sample_ids"))
    loss = model(**batch)[0]
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
