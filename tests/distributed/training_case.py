"""What a rank does in the equality tests: train a tiny model for a few steps and return full tensors."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.kernels.dropout import sample_keys
from megatron_bio.models.parts import ModelParts
from megatron_bio.parallel.computation import Computation
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.parallel.parameters import initialize, set_from_full, tp_placement
from megatron_bio.parallel.world import mesh_shape
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.passes import Passes
from megatron_bio.training.step import evaluate, train_step
from tests.distributed.batches import LENGTH, ROWS, VOCABULARY, bert_batch, gpt_batch

# An epsilon above the rounding noise of gradients, which AdamW would otherwise turn into steps.
SEED, LR, DECAY, EPSILON, STEPS = 7, 1e-3, 0.1, 1e-6, 3
MICROBATCHES = 4
CPU = torch.device("cpu")
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "post": {"norm_order": "post"},
    "post_without_order": {"norm_order": "post", "order_head": False, "activation": "gelu_tanh"},
    "megatron": {"activation": "megatron", "order_head": False},
    "scaled": {"scale_attention_by_inverse_layer": True},
}
"""Options of the model by a word for the test's name."""


@dataclass(frozen=True)
class Case:
    """One case of the matrix: a model on a layout."""

    architecture: str
    layout: ParallelConfig
    ranks: int = 1
    dropout: float = 0.0
    variant: str = ""
    kernels: frozenset[str] = frozenset()
    """Operations that go the way of the CUDA kernels, on the CPU as their definitions."""
    sequences_per_row: int = 0
    """Above 0: attention of variable length, inside `varlen_on_cpu`, with room for so many."""

    def __str__(self) -> str:
        layout = self.layout
        words = [
            self.architecture,
            f"tp{layout.tensor_parallel}",
            f"dp{self.data_parallel}",
            f"zero{layout.zero}",
        ]
        if layout.tensor_parallel > 1 and layout.sequence_parallel:
            words.append("sp")
        if layout.data_parallel_shard:
            words.append(f"shard{layout.data_parallel_shard}")
        if layout.pipeline_parallel > 1:
            words += [f"pp{layout.pipeline_parallel}", layout.pipeline_schedule]
        if layout.recompute != "none":
            words.append(f"{layout.recompute}{layout.recompute_every}")
        words += ["dropout"] * (self.dropout > 0) + [self.variant] * bool(self.variant)
        words += ["kernels"] * bool(self.kernels)
        words += ["variable_length"] * bool(self.sequences_per_row)
        return "-".join(words)

    @property
    def computation(self) -> Computation:
        return Computation(self.kernels, self.sequences_per_row)

    @property
    def data_parallel(self) -> int:
        return self.layout.data_parallel_size(self.ranks)

    @property
    def layers(self) -> int:
        """Layers that no number of stages above 1 divides."""
        return 9 if self.layout.num_stages == 8 else 5

    @property
    def model(self) -> ModelConfig:
        return ModelConfig(
            architecture=self.architecture,
            num_layers=self.layers,
            hidden_size=32,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            vocab_size=VOCABULARY,
            hidden_dropout=self.dropout,
            attention_dropout=self.dropout,
            **VARIANTS[self.variant],
        )


def perturbed(name: str, full: Tensor) -> Tensor:
    """Move a weight, so that no bias is 0 and no layer norm is the identity; the same for a name at every layout."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    return full + 0.05 * torch.randn(full.shape, generator=torch.Generator().manual_seed(seed))


def whole(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).clone()


def fill(parts: ModelParts) -> None:
    initialize(parts, SEED)
    for name, p in parts.named_parameters():
        set_from_full(p, perturbed(name, whole(p)))


def build(case: Case, mesh: DeviceMesh, compute_dtype: torch.dtype = torch.float32) -> Passes:
    parts = build_model_parts(case.model, case.layout, mesh, CPU, compute_dtype, case.computation)
    fill(parts)
    return distribute(parts, case.layout, mesh, compute_dtype=compute_dtype, sequence_length=LENGTH)


def mesh_of(case: Case) -> DeviceMesh:
    return build_mesh(mesh_shape(case.layout, case.ranks), "cpu")


def microbatches(case: Case, mesh: DeviceMesh, step: int) -> list[dict[str, Tensor]]:
    """Return this rank's microbatches of a step, as the data package deals rows."""
    batch = bert_batch(step) if case.architecture == "bert" else gpt_batch(step)
    batch["dropout_keys"] = sample_keys(SEED, batch.pop("sample_ids"))
    rank = mesh_shape(case.layout, case.ranks).data_parallel_rank(dist.get_rank())
    count = min(MICROBATCHES, ROWS // case.data_parallel)
    chosen = torch.arange(ROWS).view(count, case.data_parallel, -1)[:, rank]
    return [{name: field[part] for name, field in batch.items()} for part in chosen]


def replica_digest(model: ModelParts) -> str:
    """Return a digest of what this rank holds of parameters that every tp rank should hold alike."""
    digest = hashlib.sha256()
    for p in model.parameters():
        if not tp_placement(p).is_shard():
            digest.update(p.detach().to_local().contiguous().numpy().tobytes())
    return digest.hexdigest()


def tied_digest(model: ModelParts) -> str | None:
    """Return a digest of this rank's word table, or None; raise if it holds two that differ."""
    tables = [
        t.detach().to_local().contiguous() for t in (model.word_table, model.tied_copy) if t is not None
    ]
    assert len(tables) < 2 or torch.equal(*tables), "the two word tables of a rank differ"
    return hashlib.sha256(tables[0].numpy().tobytes()).hexdigest() if tables else None


def gathered(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of all ranks by name, whole, on rank 0, and none on the others; a collective call."""
    arrays = {name: whole(tensor).numpy() for name, tensor in own.items()}  # pickled faster than tensors
    everywhere = [{}] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(arrays, everywhere)
    return {name: torch.from_numpy(array) for part in everywhere or () for name, array in part.items()}


def train(case: Case, implementation: str = "foreach") -> dict[str, Any]:
    """Return losses, evaluation, the clipped gradients of step 0, and the parameters after STEPS steps, all full."""
    mesh = mesh_of(case)
    passes = build(case, mesh)
    model = passes.model
    optimizer = build_optimizer(
        model, OptimizerConfig(lr=LR, weight_decay=DECAY, epsilon=EPSILON, implementation=implementation)
    )
    losses, norms, gradients, evaluated = [], [], {}, None
    for step in range(STEPS):
        batches = microbatches(case, mesh, step)
        if step == STEPS - 1:  # before a last step, to see that an evaluation leaves nothing behind
            evaluated = evaluate(passes, batches, mesh)
        result = train_step(passes, optimizer, batches, mesh, lr=LR, clip_grad=1.0)
        losses.append((result.sums[: model.num_losses] / result.counts).sum().item())
        norms.append(result.gradient_norm)
        if step == 0:
            gradients = gathered({name: p.grad for name, p in model.named_parameters()})
    parameters = gathered(dict(model.named_parameters()))
    result = {
        "losses": losses,
        "norms": norms,
        "evaluation": (evaluated.sums[: model.num_losses] / evaluated.counts).sum().item(),
        "replicas": replica_digest(model),
        "table": tied_digest(model),
    }
    if dist.get_rank() != 0:
        return result
    return {**result, "gradients": gradients, "parameters": parameters}


def initial_weights(model: ModelConfig) -> dict[str, Tensor]:
    """Return the full weights before the first step, built by one process."""
    parts = build_model_parts(model, ParallelConfig(), build_mesh(MeshShape(), "cpu"), CPU, torch.float32)
    fill(parts)
    return {name: whole(p) for name, p in parts.named_parameters()}
