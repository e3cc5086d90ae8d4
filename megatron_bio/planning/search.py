"""Which layouts fit, how fast each is, and why the others do not fit."""

from collections import Counter
from dataclasses import dataclass, replace

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.plan import PlanOptions
from megatron_bio.planning.candidates import RECOMPUTATIONS, micro_batch_sizes, splits
from megatron_bio.planning.cluster import Cluster
from megatron_bio.planning.layout import Layout, Workload, layout_problem
from megatron_bio.planning.memory import Memory, peak_memory
from megatron_bio.planning.step_time import StepTime, flops_utilisation, step_time

GIB = 2**30
AS_FAST = 1.01
"""Times that differ by less than this factor are the same to the planner."""
ZERO_ORDER = (1, 0, 2, 3)
"""Simple to complicated; 1 costs no more messages than 0 and shares the optimizer's state, so it comes first."""
_PCIE = 25.0


@dataclass(frozen=True)
class Candidate:
    """One layout with what it costs."""

    layout: Layout
    memory: Memory
    time: StepTime
    mfu: float
    """Model FLOPs utilisation, 0 to 1."""


@dataclass(frozen=True)
class Plan:
    """What a search found."""

    options: PlanOptions
    workload: Workload
    cluster: Cluster
    usable: float
    """Bytes of a GPU that a layout may use."""
    fitting: list[Candidate]
    """Fastest first."""
    refused: Counter[str]
    """How much was left out, by reason: a split with one microbatch and one recomputation counts once, and so does a split, or a
    split with one microbatch, that is refused whatever the rest is."""
    closest: tuple[Layout, Memory] | None
    """Of those that are too large, the smallest."""

    @property
    def best(self) -> Candidate:
        """Of what is as fast as the fastest within 1 %, the simplest layout; see `complexity`."""
        limit = AS_FAST * self.fitting[0].time.total
        return min((one for one in self.fitting if one.time.total <= limit), key=complexity)


def complexity(one: Candidate) -> tuple[float, ...]:
    """Return what orders layouts from simple to complicated where their times do not.

    The less tensor and then pipeline parallelism the better, then the less is shared, no groups that share apart from others, and
    the less is recomputed; then the larger microbatch, and the faster.
    """
    parallel = one.layout.parallel
    return (
        parallel.tensor_parallel,
        parallel.pipeline_parallel,
        ZERO_ORDER.index(parallel.zero),
        parallel.data_parallel_shard is not None,
        RECOMPUTATIONS.index((parallel.recompute, parallel.recompute_every)),
        -one.layout.micro_batch_size,
        one.time.total,
    )


def workload_of(options: PlanOptions) -> Workload:
    """Return the step that the options describe."""
    return Workload(
        model=options.model,
        sequence_length=options.row_length,
        predictions=options.predictions,
        global_batch_size=options.global_batch_size,
        precision=options.precision,
        fused_optimizer=options.optimizer_implementation == "fused",
    )


def cluster_of(options: PlanOptions) -> Cluster:
    """Return the cluster with the numbers of its type of GPU where none are given."""
    given, known = options.cluster, options.cluster.known
    peak = given.peak_tflops or (known.peak(options.precision) if known else None)
    memory = given.memory_gib or (known.memory if known else None)
    bandwidth = given.memory_gb_per_second or (known.bandwidth if known else None)
    assert peak and memory and bandwidth, "the options refuse a type without numbers"
    return Cluster(
        name=known.name if known else given.gpu,
        peak=peak,
        memory=memory,
        bandwidth=bandwidth,
        gpus=given.gpus,
        gpus_per_node=min(given.gpus, given.gpus_per_node),
        intra_node=given.intra_node_gb_per_second or (known.link if known else None) or _PCIE,
        inter_node=given.inter_node_gb_per_second,
    )


def search(options: PlanOptions) -> Plan:
    """Try every layout; of those that differ in recomputation only, the one that computes least twice stays."""
    workload, cluster = workload_of(options), cluster_of(options)
    usable = cluster.memory * GIB * (1 - options.cluster.reserve)
    finder = _Finder(options, workload, cluster, usable)
    for split in splits(options, cluster):
        finder.try_split(split)
    fitting = sorted(finder.fitting, key=lambda candidate: (candidate.time.total, candidate.memory.total))
    return Plan(options, workload, cluster, usable, fitting, finder.refused, finder.closest)


class _Finder:
    """Collects what fits and why the rest does not."""

    def __init__(self, options: PlanOptions, workload: Workload, cluster: Cluster, usable: float) -> None:
        self._options, self._workload, self._cluster, self._usable = options, workload, cluster, usable
        self.fitting: list[Candidate] = []
        self.refused: Counter[str] = Counter()
        self.closest: tuple[Layout, Memory] | None = None

    def try_split(self, parallel: ParallelConfig) -> None:
        """Try all microbatches of one way to deal the ranks."""
        data_parallel = parallel.data_parallel or 1
        sizes = micro_batch_sizes(self._options, self._workload, data_parallel)
        if not sizes:
            batch = self._workload.global_batch_size
            self.refused[f"data_parallel x micro_batch_size does not divide the global batch {batch}"] += 1
        for size in sizes:
            problem = layout_problem(self._workload, Layout(parallel=parallel, micro_batch_size=size))
            if problem:
                self.refused[problem] += 1
            else:
                self._try_recomputations(parallel, size)

    def _try_recomputations(self, split: ParallelConfig, size: int) -> None:
        found: list[Candidate] = []
        for kind, every in RECOMPUTATIONS:
            if self._options.recompute not in (None, kind):
                continue
            try:
                parallel = replace(split, recompute=kind, recompute_every=every)
            except ConfigurationError as error:  # the sentence up to its explanation
                self.refused[str(error).partition(":")[0]] += 1
                continue
            layout = Layout(parallel=parallel, micro_batch_size=size)
            memory = peak_memory(self._workload, layout)
            if memory.total > self._usable:
                self._refuse(layout, memory)
                continue
            found.append(candidate(self._workload, layout, self._cluster, memory))
            if kind == "none":
                break
        if found:
            self.fitting.append(min(found, key=lambda one: one.time.total))

    def _refuse(self, layout: Layout, memory: Memory) -> None:
        state = memory.weights + memory.gradients + memory.optimizer
        cause = (
            "weights, gradients and optimizer state" if state > self._usable else "activations and buffers"
        )
        self.refused[f"too little memory: {cause}"] += 1
        if self.closest is None or memory.total <= self.closest[1].total:
            self.closest = layout, memory


def candidate(workload: Workload, layout: Layout, cluster: Cluster, memory: Memory) -> Candidate:
    """Return a layout with its time."""
    time = step_time(workload, layout, cluster)
    return Candidate(layout, memory, time, flops_utilisation(workload, layout, cluster, time.total))


def without_attention_dropout(plan: Plan) -> float | None:
    """Return the seconds of the best layout's step when attention has no dropout; None when it has none already."""
    if not plan.workload.model.attention_dropout:
        return None
    model = replace(plan.workload.model, attention_dropout=0.0)
    workload = replace(plan.workload, model=model)
    return step_time(workload, plan.best.layout, plan.cluster).total
