"""One task on one model: its grid, its seeds, each run made once."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.evaluate import EvaluateOptions
from megatron_bio.downstream.evaluation.grid import GRID, all_settings, first_settings, tried_values
from megatron_bio.downstream.evaluation.store import WEIGHTS, RunIdentity, finished
from megatron_bio.downstream.evaluation.summary import summary
from megatron_bio.downstream.tasks.form import Examples, PartName, Settings, Task, measure_of

AnyTask = Task[Any, Any, Any]
AnyParts = dict[PartName, Examples[Any]]
TRAIN: Final = "train"
DEVELOPMENT: Final = "development"


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """A task with its data."""

    task: AnyTask
    parts: AnyParts

    def sha256(self) -> dict[str, list[str]]:
        """Per part the hashes of its files."""
        return {part: [file.sha256 for file in found.files] for part, found in self.parts.items()}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to make, or made already."""

    data: TaskData
    settings: Settings
    seed: int
    trained_on: tuple[PartName, ...]
    folder: Path
    first: "Job | None" = None
    """The run whose weights this one starts with."""

    @property
    def scored(self) -> tuple[PartName, ...]:
        """The parts that it is scored on."""
        return tuple(
            part
            for part in ("development", "test")
            if part in self.data.parts and part not in self.trained_on
        )


Maker = Callable[[Job], dict[str, Any]]
"""Makes a run, and gives the content of its result.json, which it has written."""


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """From settings and seeds to runs of one model."""

    options: EvaluateOptions
    model: str
    """Hash of weights, configuration and tokenizer."""
    output: Path
    versions: Mapping[str, object]
    first_data: Callable[[str], TaskData]
    """Name of a first task to its data."""

    def job(self, data: TaskData, settings: Settings, seed: int, trained_on: tuple[PartName, ...]) -> Job:
        """A run, with the one before it where the settings have a first task.

        Raises ConfigurationError for a first task without a training part.
        """
        first = None
        if settings.first_task:
            earlier = self.first_data(settings.first_task)
            if TRAIN not in earlier.parts:
                raise ConfigurationError(
                    f"--first_task {settings.first_task}: expected a training part, found {', '.join(earlier.parts)}. "
                    "`megatron-bio data check` shows which files are taken for what."
                )
            first = self.job(earlier, first_settings(earlier.task.defaults, self.options), seed, (TRAIN,))
        identity = RunIdentity(
            task=data.task.name,
            settings=settings,
            seed=seed,
            trained_on=trained_on,
            model=self.model,
            data=data.sha256(),
            others={
                **self.versions,
                "precision": self.options.precision,
                "early_stopping": self.options.early_stopping,
                "micro_batch_size": self.options.micro_batch_size,
                "random_weights": self.options.random_weights,
                "first": first.folder.name if first else None,
            },
        )
        folder = identity.folder(self.output)
        return Job(data=data, settings=settings, seed=seed, trained_on=trained_on, folder=folder, first=first)


def evaluate_task(data: TaskData, jobs: Jobs, make: Maker) -> dict[str, Any]:
    """The grid with the first seed, then the best settings with all seeds: the task's entry in results.json."""
    options, task = jobs.options, data.task
    points = list(all_settings(task.defaults, options))
    grid: list[dict[str, Any]] = []
    chosen = points[0]
    if len(points) > 1:
        scores = [_grid_score(jobs.job(data, point, options.seeds[0], (TRAIN,)), make) for point in points]
        chosen = points[max(range(len(points)), key=scores.__getitem__)]
        grid = [
            {**{name: getattr(point, name) for name in GRID}, "seed": options.seeds[0], DEVELOPMENT: score}
            for point, score in zip(points, scores, strict=True)
        ]
    trained_on: tuple[PartName, ...] = (TRAIN,)
    if options.train_on == "train+development" and DEVELOPMENT in data.parts:
        trained_on = (TRAIN, DEVELOPMENT)
    last = [jobs.job(data, chosen, seed, trained_on) for seed in options.seeds]
    runs = [_made(job, make, with_weights=options.keep_models) for job in last]
    return {
        "kind": task.kind,
        "main_measure": list(task.main_measure),
        "protocol": {
            "train_on": "+".join(trained_on),
            "chosen_by": DEVELOPMENT if grid else None,
            "seeds": options.seeds,
            "early_stopping": options.early_stopping if DEVELOPMENT in data.parts else None,
            "grid": tried_values(task.defaults, options),
            "settings": asdict(chosen),
            "first_settings": asdict(last[0].first.settings) if last[0].first else None,
        },
        "data": [_part(part, found) for part, found in data.parts.items()],
        "grid": grid,
        "runs": runs,
        "summary": summary(runs),
    }


def number_of_runs(data: TaskData, options: EvaluateOptions) -> int:
    """How many runs a task will take at most, first tasks not counted."""
    points = len(list(all_settings(data.task.defaults, options)))
    shared = points > 1 and options.train_on == TRAIN
    return (points if points > 1 else 0) + len(options.seeds) - shared


def _grid_score(job: Job, make: Maker) -> float:
    scores = _made(job, make)["parts"][DEVELOPMENT]["scores"]
    return measure_of(scores, job.data.task.main_measure)


def _made(job: Job, make: Maker, *, with_weights: bool = False) -> dict[str, Any]:
    found = finished(job.folder)
    lacks_weights = with_weights and not (job.folder / WEIGHTS).is_file()
    return make(job) if found is None or lacks_weights else found


def _part(name: str, found: Examples[Any]) -> dict[str, Any]:
    return {
        "part": name,
        "examples": len(found.examples),
        "left_out": dict(Counter(found.left_out)),
        "files": [{"path": str(file.path), "sha256": file.sha256} for file in found.files],
    }


def require_parts(data: TaskData, options: EvaluateOptions) -> None:
    """Raises ConfigurationError if a part is missing that the options need, before anything is trained."""
    name, there = data.task.name, ", ".join(data.parts) or "nothing"
    if TRAIN not in data.parts or len(data.parts) < 2:
        raise ConfigurationError(
            f"{name}: expected a training part and a development or test part, found {there}. "
            "`megatron-bio data check` shows which files are taken for what."
        )
    _require_own_test(data)
    if DEVELOPMENT not in data.parts and len(list(all_settings(data.task.defaults, options))) > 1:
        flags = ", ".join(f"--{flag}" for flag in GRID.values() if len(getattr(options, flag)) > 1)
        raise ConfigurationError(
            f"{flags}: expected one value for {name}, found several, and no development part that could decide. Give one value, "
            "or make a development part of the training data."
        )
    if options.train_on != TRAIN and "test" not in data.parts:
        raise ConfigurationError(
            f"--train_on {options.train_on}: expected a test part of {name}, on which the runs are scored, found {there}."
        )


def _require_own_test(data: TaskData) -> None:
    """A copy of the test set under another name would decide the grid."""
    test = {file.sha256: file.path for file in data.parts["test"].files} if "test" in data.parts else {}
    for part, found in data.parts.items():
        for file in found.files if part != "test" else ():
            if file.sha256 in test:
                raise ConfigurationError(
                    f"{file.path}: expected {part} data of their own, found the content of {test[file.sha256]}, the test part."
                )
