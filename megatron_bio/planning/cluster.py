"""GPUs, nodes and links, and how fast a message of a group of ranks goes."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What a run may use."""

    name: str
    """Type of GPU, for people."""
    peak: float
    """Dense peak of one GPU in TFLOP/s at the precision of the run."""
    memory: float
    """GiB of one GPU."""
    bandwidth: float
    """GB/s of a GPU's own memory."""
    gpus: int
    gpus_per_node: int
    intra_node: float
    """GB/s that one GPU sends inside its node, one direction."""
    inter_node: float
    """GB/s that one GPU's share of the network sends to other nodes, one direction."""

    def link(self, size: int, stride: int) -> float:
        """Return GB/s per rank of a group of `size` ranks that lie `stride` apart, when all such groups talk at once.

        Inside a node that is the link of a GPU. A ring over several nodes leaves each node once, over the network shares of all of
        the group's ranks there.
        """
        if size * stride <= self.gpus_per_node:
            return self.intra_node
        inside = max(1, self.gpus_per_node // stride)
        return min(self.intra_node, self.inter_node * min(size, inside))
