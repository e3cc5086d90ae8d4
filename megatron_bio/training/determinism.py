"""Steps that give the same bits every time they are run on the same machine and layout."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def deterministic_operations(wanted: bool) -> Iterator[None]:
    """Refuse, inside, every operation whose result depends on timing; open it before the first matrix product on a GPU.

    cuBLAS needs a workspace of fixed size for that, which it reads from the environment when it starts. On CPUs torch's
    operations are deterministic without it.
    """
    if not wanted:
        yield
        return
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]
