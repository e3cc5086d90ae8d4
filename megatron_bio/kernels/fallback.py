"""No fallback is silent: a kernel that leaves a call to its reference says so, once for each reason."""

import warnings


class FallbackWarning(UserWarning):
    """An operation was to run as a CUDA kernel and runs as its reference."""


def announce(operation: str, reason: str) -> None:
    """Warn that `operation` runs as its reference because it was given what the kernel does not take."""
    warnings.warn(
        f"{operation} runs as its reference in torch and not as a CUDA kernel: {reason}.",
        FallbackWarning,
        stacklevel=3,
    )
