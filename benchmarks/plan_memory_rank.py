"""One rank of plan_memory.py: the command line, watched from the first module that is built to the last optimizer step.

    torchrun … benchmarks/plan_memory_rank.py FOLDER pretrain …

Writes FOLDER/memory-RANK.json: bytes that the process had before the model was built, its peak in training, steps.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from megatron_bio.cli import main


def status(name: str) -> int:
    """Return a size of this process in bytes, as Linux counts it."""
    found = re.search(
        rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found, f"/proc/self/status has no {name}"
    return int(found[1]) * 1024


class Watch:
    """Notes memory at the first module and after every optimizer step."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {"steps": 0}
        self._build = torch.nn.Module.__init__
        watch, build = self, self._build

        def first(module: torch.nn.Module, *args: Any, **more: Any) -> None:
            torch.nn.Module.__init__ = build  # type: ignore[method-assign]
            watch.seen["before"] = status("VmRSS")
            build(module, *args, **more)

        torch.nn.Module.__init__ = first  # type: ignore[method-assign]
        register_optimizer_step_post_hook(self._after_step)

    def _after_step(self, *_: Any) -> None:
        self.seen["steps"] += 1
        self.seen["peak"] = status("VmHWM")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    watch = Watch()
    code = main(sys.argv[2:])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"memory-{os.environ['RANK']}.json").write_text(json.dumps(watch.seen), encoding="utf-8")
    sys.exit(code)
