"""The checkpoints of a run: at once, or in the background while training goes on."""

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import torch.distributed as dist
from torch import Tensor

from megatron_bio.checkpoint.find import complete_checkpoints
from megatron_bio.checkpoint.save import save_checkpoint
from megatron_bio.config.training import TrainingConfig
from megatron_bio.training.host_copy import host_copy
from megatron_bio.training.watchdog import Watchdog

THREAD = "checkpoint"


def newest_checkpoint(root: Path) -> Path | None:
    """Return the newest complete checkpoint, as rank 0 sees it, on every rank; None without one.

    On a network file system another node may see a folder as it was a minute ago, and would continue from elsewhere.
    """
    newest: list[Path | None] = [None]
    if dist.get_rank() == 0 and (found := complete_checkpoints(root)):
        newest = [found[-1]]
    dist.broadcast_object_list(newest, src=0)
    return newest[0]


class Checkpoints:
    """Saves to `root` as a run's options say; all ranks make the same calls in the same order.

    With `asynchronous_checkpoints` at most one save is under way: the next one, and `finish`, wait for it. Its failure
    is raised there, on every rank. Leaving the context waits too, but raises only if nothing else has.
    """

    def __init__(
        self, root: Path, config: TrainingConfig, saved_step: int, watchdog: Watchdog, timeout: timedelta
    ) -> None:
        self.saved_step = saved_step
        """Step of the last save that was begun; it is a checkpoint once it is complete."""
        self._root = root
        self._config = config
        self._watchdog = watchdog
        self._thread: ThreadPoolExecutor | None = None
        self._group: dist.ProcessGroup | None = None
        self._under_way: Future[Path] | None = None
        self._waiting = True
        if config.asynchronous_checkpoints:
            # A group of its own: collectives of two threads in one group would be taken for each other.
            self._group = dist.new_group(backend="gloo", timeout=timeout)
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=THREAD)

    def save(self, step: int, state: dict[str, Tensor], info: dict[str, Any]) -> None:
        """Save the state of a step unless that was done; raise `CheckpointError` on every rank if one could not write."""
        if self.saved_step == step:
            return
        self.finish()
        self._watchdog.beat(f"start of the checkpoint of step {step}")
        if self._thread is None:
            self._write(step, state, info)
        else:
            self._waiting = False
            self._under_way = self._thread.submit(self._write, step, host_copy(state), info)
        self.saved_step = step

    def _write(self, step: int, state: dict[str, Tensor], info: dict[str, Any]) -> Path:
        def progress(done: str) -> None:
            # While training goes on beside it, a save must not hide that training hangs.
            if self._waiting:
                self._watchdog.beat(f"checkpoint of step {step}: {done}")

        return save_checkpoint(
            self._root,
            step,
            state,
            info,
            self._config.keep_checkpoints,
            keep_every=self._config.keep_every,
            group=self._group,
            progress=progress,
        )

    def finish(self) -> None:
        """Wait for the save under way; raise `CheckpointError` on every rank if one could not write."""
        save, self._under_way = self._under_way, None
        if save is not None:
            self._waiting = True
            self._watchdog.beat("start of waiting for the checkpoint under way")
            save.result()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._waiting = True
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        # What ended the run is told, not what a save then came to; a checkpoint that can be completed is.
        if kind is None:
            self.finish()
