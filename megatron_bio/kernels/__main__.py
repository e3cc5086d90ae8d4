"""`python -m megatron_bio.kernels`: which CUDA kernels are here and active, and whether they compute what they should.

Ends with 1 if a kernel is wrong, and with 0 where none can run.
"""

import argparse
import sys

import torch

from megatron_bio.kernels.choice import MEASURED_WINS, OPERATIONS, obstacle
from megatron_bio.kernels.library import cuda_library, open_library
from megatron_bio.kernels.selfcheck import largest_error


def main() -> int:
    """Print the library, the choice of `auto`, and the self-check."""
    parser = argparse.ArgumentParser(
        prog="python -m megatron_bio.kernels",
        description="Show the CUDA kernels and check them against float64.",
    )
    parser.add_argument(
        "--cases", type=int, default=20, help="random cases per operation and dtype (default: 20)"
    )
    options = parser.parse_args()
    library, reason = open_library()
    print(f"library: {library.path if library else f'not there: {reason}'}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"device: {torch.cuda.get_device_name() if device == 'cuda' else 'cpu'}")
    print(
        f"kernels auto takes: {', '.join(sorted(MEASURED_WINS)) or 'none; none has been measured to be faster'}"
    )
    if problem := obstacle(device):
        print(f"self-check: not run, {problem}")
        return 0
    return _check(options.cases)


def _check(cases: int) -> int:
    wrong = 0
    for operation in OPERATIONS:
        error, where = largest_error(operation, cuda_library(), cases, "cuda")
        wrong += error > 1.0
        print(
            f"{operation}: {'WRONG' if error > 1.0 else 'right'}, largest error {error:.2f} of what is allowed ({where})"
        )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
