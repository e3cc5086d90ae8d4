"""Which operations run as CUDA kernels: those that were measured to win, all of them, or none."""

from megatron_bio.kernels.library import open_library

OPERATIONS = (
    "bias_dropout_add",
    "bias_dropout_add_norm",
    "bias_gelu",
    "cross_entropy",
    "embedding_sum",
    "layer_norm",
    "rows_at",
    "softmax_dropout",
)
"""What has a CUDA kernel beside its reference."""
NORMS = frozenset({"bias_dropout_add_norm", "layer_norm"})
"""Those that hold a layer norm."""
MEASURED_WINS: frozenset[str] = frozenset()
"""What `auto` takes on CUDA: the rows of the table in docs/kernels.md that win. Nothing has been measured yet."""


def chosen(option: str, device: str) -> frozenset[str]:
    """Return the operations that `kernels: option` runs as CUDA kernels on `device` (cpu or cuda).

    ValueError with the reason if `cuda` is asked for where the kernels cannot run.
    """
    if option == "reference":
        return frozenset()
    problem = obstacle(device)
    if option == "cuda" and problem:
        raise ValueError(problem)
    return frozenset() if problem else frozenset(OPERATIONS) if option == "cuda" else MEASURED_WINS


def obstacle(device: str) -> str:
    """Return why the kernels cannot run on `device`; empty if they can."""
    if device != "cuda":
        return f"the CUDA kernels run on CUDA devices, and this run is on {device}"
    library, reason = open_library()
    return "" if library else f"the library of CUDA kernels is not there: {reason}"
