"""Builds a corpus and kills itself with SIGKILL at the n-th rename, before or after it: what a power cut does.

`python killed_build.py INPUT OUTPUT N before|after [overwrite]`; every file gets its name by a rename, and so does the corpus.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.corpus.building import blocks, equal_keys
from megatron_bio.corpus.building.run import build_corpus

BLOCK_BYTES = 10_000
SETTINGS: dict[str, Any] = {"keep_dropped": True, "split": (0.7, 0.2, 0.1), "progress": False}


def main(source: str, output: str, number: int, when: str, overwrite: bool) -> None:
    """Builds until the moment comes."""
    count = 0

    def patched(original: Any) -> Any:
        def rename(self: Path, target: Path) -> Path:
            nonlocal count
            count += 1
            if count == number and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            moved: Path = original(self, target)
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return moved

        return rename

    Path.replace = patched(Path.replace)  # type: ignore[method-assign]
    Path.rename = patched(Path.rename)  # type: ignore[method-assign]
    blocks.BLOCK_BYTES = BLOCK_BYTES
    equal_keys.RANGE_KEYS = 64
    os.fsync = lambda descriptor: None
    build_corpus(BuildCorpusOptions(inputs=[source], output=Path(output), overwrite=overwrite, **SETTINGS))
    print(count)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], "overwrite" in sys.argv[5:])
