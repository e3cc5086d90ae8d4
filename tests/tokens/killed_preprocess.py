"""Preprocesses and kills itself with SIGKILL at the n-th step that reaches the disk: what a power cut does.

`python killed_preprocess.py WORKERS N OPTION…`; steps are the moments before and after each write, sync and rename. With
N = 0 it runs to the end and prints the number of steps.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from megatron_bio.cli import main
from megatron_bio.tokens import document_lines, growing_tokens, preprocess


def run(workers: str, number: int, words: list[str]) -> int:
    """Runs until the moment comes."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def patched(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            step()
            result = original(*arguments)
            step()
            return result

        return call

    Path.replace = patched(Path.replace)  # type: ignore[method-assign]
    os.fsync = patched(lambda descriptor: None)
    added = growing_tokens.GrowingTokens.add
    growing_tokens.GrowingTokens.add = patched(added)  # type: ignore[method-assign]
    document_lines.BLOCK_LINES = 20
    preprocess.SAVE_SECONDS = 0.0
    status = main(["preprocess", *words, "--workers", workers])
    print(count)
    return status


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
