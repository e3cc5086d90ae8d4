"""Recording some steps with torch.profiler."""

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

_ROWS = 40
_WIDTH = 100


class StepProfiler:
    """Records the steps first..last of a run on this rank: OUTPUT/profile/trace-rank0.json and top-rank0.txt.

    The trace is Chrome's format, for ui.perfetto.dev or chrome://tracing; the table has the operations that cost most by
    themselves. It does nothing at other steps.
    """

    def __init__(self, steps: tuple[int, int] | None, output: Path, rank: int, all_ranks: bool) -> None:
        self._steps = steps if steps is not None and (rank == 0 or all_ranks) else None
        self._folder, self._rank = output / "profile", rank
        self._profile: profile | None = None

    def before(self, step: int) -> None:
        """Call it before each step, counted from 1; start with the first step to record, or inside them after a resume."""
        if self._steps is None or self._profile is not None:
            return
        first, last = self._steps
        if first <= step <= last:
            self._profile = profile(activities=_activities())
            self._profile.start()

    def after(self, step: int) -> None:
        """Call it after each step: write when it was the last to record."""
        if self._steps is not None and step >= self._steps[1]:
            self.close()

    def close(self) -> None:
        """Write what has been recorded, if anything."""
        if self._profile is None:
            return
        self._profile.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._profile.export_chrome_trace(str(self._folder / f"trace-rank{self._rank}.json"))
        on_gpu = ProfilerActivity.CUDA in _activities()
        table = self._profile.key_averages().table(
            sort_by="self_cuda_time_total" if on_gpu else "self_cpu_time_total",
            row_limit=_ROWS,
            max_name_column_width=_WIDTH,
        )
        (self._folder / f"top-rank{self._rank}.txt").write_text(table + "\n", encoding="utf-8")
        self._profile, self._steps = None, None


def _activities() -> list[ProfilerActivity]:
    cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *cuda]
