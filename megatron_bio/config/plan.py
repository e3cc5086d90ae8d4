"""Options of the verb that plans a run on a cluster."""

from dataclasses import dataclass, field
from typing import Literal

from megatron_bio.config.costs import masked_budget, table_rows
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.hardware import GPUS, Gpu, find_gpu
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import Recompute, Schedule


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """GPUs and the links between them."""

    gpu: str = "A100-80GB"
    """Type of GPU: A100-40GB, A100-80GB, H100-SXM, H200, B200, V100-32GB, RTX-4090, L40S, L4, …; a type that is not
    known needs the three numbers below."""
    gpus: int = 8
    """GPUs of the run."""
    gpus_per_node: int = 8
    """GPUs of one machine."""
    memory_gib: float | None = None
    """Memory of one GPU; that of the type when not given."""
    peak_tflops: float | None = None
    """Dense peak of one GPU at `precision`; that of the type when not given."""
    memory_gb_per_second: float | None = None
    """Bandwidth of a GPU's own memory; that of the type when not given."""
    intra_node_gb_per_second: float | None = None
    """What one GPU can send to others of its node, one direction; when not given what the type has: 300 over an A100's NVLink,
    450 over an H100's, 25 over PCIe 4."""
    inter_node_gb_per_second: float = 25.0
    """One GPU's share of what its node can send to other nodes, one direction: 25 for a 200 Gb/s adapter per GPU, 1.5 for
    100 Gb/s shared by eight."""
    reserve: float = 0.1
    """Part of the memory that is left free: CUDA's and NCCL's own needs, fragmentation, and what the formulas miss."""

    def __post_init__(self) -> None:
        """Refuse an empty cluster and types that nobody knows."""
        for name in ("gpus", "gpus_per_node"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"cluster.{name}: expected at least 1, found {getattr(self, name)}.")
        for name in (
            *("memory_gib", "peak_tflops", "memory_gb_per_second"),
            *("intra_node_gb_per_second", "inter_node_gb_per_second"),
        ):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise ConfigurationError(f"cluster.{name}: expected a number above 0, found {value}.")
        if not 0.0 <= self.reserve < 1.0:
            raise ConfigurationError(f"cluster.reserve: expected 0 <= reserve < 1, found {self.reserve}.")
        if self.gpus > self.gpus_per_node and self.gpus % self.gpus_per_node:
            raise ConfigurationError(
                f"cluster.gpus {self.gpus} are not a whole number of nodes of cluster.gpus_per_node {self.gpus_per_node}; "
                f"every node gives the same number of GPUs to a run."
            )
        given = (self.memory_gib, self.peak_tflops, self.memory_gb_per_second)
        if find_gpu(self.gpu) is None and None in given:
            raise ConfigurationError(
                f"cluster.gpu: '{self.gpu}' is not a known type; choose one of {', '.join(gpu.name for gpu in GPUS)}, or give "
                f"cluster.memory_gib, cluster.peak_tflops and cluster.memory_gb_per_second."
            )

    @property
    def known(self) -> Gpu | None:
        """The type, if it is in the table."""
        return find_gpu(self.gpu)


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """A model, a batch and a cluster in; layouts that fit, with memory, speed and cost, out."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """Shape of the model; give vocab_size."""
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    """GPUs and links."""
    global_batch_size: int
    """Rows per optimizer step over all ranks."""
    sequence_length: int | None = None
    """Tokens of a row; model.max_position_embeddings when not given."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Format of the computation; weights, gradients and optimizer state are float32."""
    masked_lm_probability: float = 0.15
    """bert: part of the tokens to predict, for the size of the output layer."""
    optimizer_implementation: Literal["foreach", "fused"] = "foreach"
    """How AdamW runs; fused makes no temporary tensors."""
    token_budget: float | None = None
    """Tokens to train on, such as 300e9, for days, GPU-hours and steps; positions of rows, padding included."""
    tensor_parallel: int | None = None
    """Consider this size only."""
    pipeline_parallel: int | None = None
    """Consider this size only."""
    pipeline_schedule: Schedule | None = None
    """Consider this schedule only."""
    zero: Literal[0, 1, 2, 3] | None = None
    """Consider this sharing of state only."""
    recompute: Recompute | None = None
    """Consider this recomputation only."""
    micro_batch_size: int | None = None
    """Consider this number of rows only."""
    shown: int = 10
    """Layouts to list, fastest first."""
    json: bool = False
    """Print JSON instead of a table."""

    def __post_init__(self) -> None:
        """Refuse what cannot be planned."""
        table_rows(self.model)
        for name in ("global_batch_size", "shown"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"--{name}: expected at least 1, found {getattr(self, name)}.")
        for name in ("tensor_parallel", "pipeline_parallel", "micro_batch_size", "sequence_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"--{name}: expected at least 1, found {value}.")
        if self.row_length > self.model.max_position_embeddings:
            raise ConfigurationError(
                f"--sequence_length {self.row_length} is longer than model.max_position_embeddings "
                f"{self.model.max_position_embeddings}; lower the first or raise the second."
            )
        if not 0.0 < self.masked_lm_probability < 1.0:
            raise ConfigurationError(
                f"--masked_lm_probability: expected more than 0 and less than 1, found {self.masked_lm_probability}."
            )
        if self.token_budget is not None and not 0.0 < self.token_budget < float("inf"):
            raise ConfigurationError(f"--token_budget: expected a number above 0, found {self.token_budget}.")
        gpu = self.cluster.known
        if gpu and self.cluster.peak_tflops is None and gpu.peak(self.precision) is None:
            raise ConfigurationError(
                f"--precision {self.precision}: the tensor cores of cluster.gpu {gpu.name} do not compute in it; use fp16 or fp32, "
                f"or give cluster.peak_tflops."
            )

    @property
    def row_length(self) -> int:
        """Tokens of a row."""
        return self.sequence_length or self.model.max_position_embeddings

    @property
    def predictions(self) -> int:
        """Positions of a row that the output layer computes."""
        if self.model.architecture == "gpt":
            return self.row_length
        return masked_budget(self.masked_lm_probability, self.row_length)
