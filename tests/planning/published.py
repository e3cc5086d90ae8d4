"""Published training speeds, with what their sources do not state marked as assumed.

llm-foundry: MosaicML, scripts/train/benchmarking/README.md (tokens per second and GPU; FSDP, no recomputation). The model shapes
are MPT's and reproduce the published MFU by arithmetic. Assumed: 8 GPUs where a row names no number, about 2 million tokens per
step, microbatches of 8 rows at 1024 or more positions and 32 at 512, NVLink's 300 (A100) or 450 (H100) GB/s, 25 GB/s per GPU
between nodes, 80 GB of memory where a row says A100 only.
Megatron-LM: README of core 0.5; layouts of Korthikanti et al., arXiv 2205.05198, table 3 (sequence 2048, sequence parallelism and
selective recomputation). Its kernels fuse dropout, so it is left out here.
"""

from dataclasses import dataclass
from typing import Any

from megatron_bio.config.hardware import find_gpu
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.planning.cluster import Cluster
from megatron_bio.planning.layout import Layout, Workload
from megatron_bio.planning.step_time import flops_utilisation, step_time


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    gpu: str
    gpus: int
    shape: tuple[int, int, int]
    """Layers, hidden size, heads."""
    length: int
    rows: int
    micro_batch: int
    mfu: float
    tokens: float | None = None
    """Per second and GPU."""
    vocabulary: int = 50_368
    layout: tuple[tuple[str, Any], ...] = (("zero", 3),)

    @property
    def workload(self) -> Workload:
        layers, hidden, heads = self.shape
        model = ModelConfig(
            architecture="gpt",
            num_layers=layers,
            hidden_size=hidden,
            num_attention_heads=heads,
            max_position_embeddings=self.length,
            vocab_size=self.vocabulary,
            hidden_dropout=0.0,
            attention_dropout=0.0,
        )
        return Workload(
            model=model,
            sequence_length=self.length,
            predictions=self.length,
            global_batch_size=self.rows,
            precision="bf16",
        )

    @property
    def split(self) -> Layout:
        options = dict(self.layout)
        ranks = options.get("tensor_parallel", 1) * options.get("pipeline_parallel", 1)
        parallel = ParallelConfig(**options, data_parallel=self.gpus // ranks)
        return Layout(parallel=parallel, micro_batch_size=self.micro_batch)

    @property
    def cluster(self) -> Cluster:
        gpu = find_gpu(self.gpu)
        assert gpu and gpu.bf16
        return Cluster(
            name=gpu.name,
            peak=gpu.bf16,
            memory=gpu.memory,
            bandwidth=gpu.bandwidth,
            gpus=self.gpus,
            gpus_per_node=8,
            intra_node=450.0 if gpu.name.startswith("H100") else 300.0,
            inter_node=25.0,
        )

    @property
    def published_tokens(self) -> float:
        """Tokens per second and GPU, from the MFU with N as 6N + attention where only that is published."""
        if self.tokens:
            return self.tokens
        layers, hidden, _ = self.shape
        flops = (
            72
            * layers
            * hidden**2
            * (1 + self.length / (6 * hidden) + self.vocabulary / (12 * hidden * layers))
        )
        return self.mfu * self.cluster.peak * 1e12 / flops

    @property
    def predicted_tokens(self) -> float:
        seconds = step_time(self.workload, self.split, self.cluster).total
        return self.workload.tokens / seconds / self.gpus

    @property
    def predicted_mfu(self) -> float:
        seconds = step_time(self.workload, self.split, self.cluster).total
        return flops_utilisation(self.workload, self.split, self.cluster, seconds)


_3B, _1B, _760M, _350M = (32, 2560, 20), (24, 2048, 16), (24, 1536, 12), (24, 1024, 16)


def _foundry(
    name: str, gpu: str, shape: tuple[int, int, int], length: int, mfu: float, tokens: float, gpus: int = 8
) -> Row:
    micro_batch = 8 if length > 512 else 32
    rows = max(2 * 2**20 // length, gpus * micro_batch)
    return Row(
        name=f"llm-foundry {name}, {length} tokens, {gpus} x {gpu}",
        gpu=gpu,
        gpus=gpus,
        shape=shape,
        length=length,
        rows=rows,
        micro_batch=micro_batch,
        mfu=mfu,
        tokens=tokens,
    )


def _megatron(
    name: str,
    shape: tuple[int, int, int],
    pipeline: int,
    stages: int,
    batch: int,
    micro_batch: int,
    mfu: float,
) -> Row:
    layout: dict[str, Any] = {"tensor_parallel": 8, "pipeline_parallel": pipeline, "recompute": "selective"}
    if stages > 1:
        layout |= {"pipeline_schedule": "interleaved", "stages_per_rank": stages}
    return Row(
        name=f"Megatron-LM {name}, 2048 tokens, {8 * pipeline} x A100-80GB",
        gpu="A100-80GB",
        gpus=8 * pipeline,
        shape=shape,
        length=2048,
        rows=batch,
        micro_batch=micro_batch,
        mfu=mfu,
        vocabulary=51_200,
        layout=tuple(layout.items()),
    )


FITTED = (
    _foundry("3b", "A100-40GB", _3B, 1024, 0.581, 10_731),
    _foundry("3b", "H100-SXM", _3B, 1024, 0.462, 27_046),
)
PREDICTED = (
    _foundry("3b", "A100-40GB", _3B, 2048, 0.548, 9_538, gpus=128),
    _foundry("1b", "A100-80GB", _1B, 512, 0.607, 23_148),
    _foundry("1b", "H100-SXM", _1B, 512, 0.432, 52_275),
    _foundry("350m", "A100-80GB", _350M, 512, 0.506, 69_330),
    _foundry("760m", "H100-SXM", _760M, 512, 0.404, 83_749),
    _foundry("760m", "A100-80GB", _760M, 512, 0.451, 29_446),
    _megatron("22B", (48, 6144, 64), 1, 1, 4, 4, 0.415),
    _megatron("175B", (96, 12288, 96), 8, 3, 64, 1, 0.514),
    _megatron("530B", (105, 20480, 128), 35, 3, 280, 1, 0.560),
    _megatron("1T", (128, 25600, 160), 64, 1, 512, 1, 0.563),
)
