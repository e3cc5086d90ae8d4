"""`megatron-bio evaluate`: fine-tune a model on benchmarks, with all that a reader of the numbers has to know.

named_tasks → hugging_face_folder → evaluate_task (grid, seeds) → RunMaker → results.json
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import megatron_bio
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.evaluate import EvaluateOptions
from megatron_bio.downstream.data_check.findings import Findings
from megatron_bio.downstream.data_check.look import look_into
from megatron_bio.downstream.evaluation.overlap import overlap, with_earlier
from megatron_bio.downstream.evaluation.provenance import provenance
from megatron_bio.downstream.evaluation.table import table
from megatron_bio.downstream.evaluation.task_run import (
    Job,
    Jobs,
    Maker,
    TaskData,
    evaluate_task,
    number_of_runs,
    require_parts,
)
from megatron_bio.downstream.model_folder import hugging_face_folder
from megatron_bio.downstream.model_identity import model_identity
from megatron_bio.downstream.one_writer import one_writer
from megatron_bio.downstream.tasks.form import PartName, UsedFile
from megatron_bio.downstream.tasks.known import ALL, AnyTask, named_tasks, passed_over
from megatron_bio.downstream.whole_file import write_json

RESULTS, MODEL = "results.json", "model"
FORM, VERSION = "megatron-bio results", 1


def evaluate(options: EvaluateOptions) -> None:
    """Make all runs that are not made yet, write results.json after each task, and print the table."""
    _require_libraries()
    if options.corpus is not None:
        overlap(options.corpus, {})  # a wrong folder is named before anything is trained
    findings = look_into(_folder(options.data_dir))
    data = [_read(task, files, findings, options.data_dir) for task, files in _tasks(options, findings)]
    for entry in data:
        require_parts(entry, options)
    if ALL in options.tasks and _rank() == 0 and (names := passed_over(findings)):
        print(f"Passed over, with files for one part alone: {', '.join(names)}.", file=sys.stderr)
    for model, output in _models(options):
        with one_writer(output) if _rank() == 0 else nullcontext():
            _evaluate_model(options, model, output, data, findings)


def _evaluate_model(
    options: EvaluateOptions, model: str, output: Path, data: Sequence[TaskData], findings: Findings
) -> None:
    from megatron_bio.downstream.evaluation.make_run import RunMaker, load_tokenizer

    tokenizer_folder = Path(options.tokenizer) if options.tokenizer else None
    with hugging_face_folder(model, tokenizer_folder, output / MODEL) as folder:
        identity = asdict(model_identity(folder.path, folder.tokenizer)) | {
            "name": options.name or Path(model).name,
            "path": model,
            "random_weights": options.random_weights,
        }
        tokenizer = load_tokenizer(folder.tokenizer)
        results = _results(output / RESULTS, identity, options.cpu)
        jobs = Jobs(
            options=options,
            model=f"{identity['sha256']} {identity['config_sha256']} {identity['tokenizer_sha256']}",
            output=output,
            versions={"megatron_bio": megatron_bio.__version__},
            first_data=lambda name: _first_data(name, findings, options),
        )
        maker = RunMaker(folder.path, tokenizer, options, is_main=_rank() == 0)
        total = sum(number_of_runs(entry, options) for entry in data)
        with _progress(total) as advance:
            for entry in data:
                results["tasks"][entry.task.name] = evaluate_task(entry, jobs, _told(maker, advance))
                _write(output / RESULTS, results, options, data)
    if _rank() == 0:
        print("\n".join(table(results)))
        print(f"\nWrote {output / RESULTS}.")


def _write(path: Path, results: dict[str, Any], options: EvaluateOptions, data: Sequence[TaskData]) -> None:
    if options.corpus is not None:
        found = overlap(options.corpus, {entry.task.name: _scored_files(entry) for entry in data})
        results["overlap"] = with_earlier(found, results["overlap"])
    if _rank() == 0:
        write_json(path, results)


def _results(path: Path, identity: dict[str, Any], cpu: bool) -> dict[str, Any]:
    """What an earlier command found of other tasks of the same model, under the head of this one."""
    earlier: dict[str, Any] = {}
    if path.exists():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            before = earlier["model"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path}: expected results of evaluate, found: {error!r}. Give another --output."
            ) from error
        different = [
            name
            for name in ("sha256", "config_sha256", "tokenizer_sha256", "random_weights")
            if before.get(name) != identity[name]
        ]
        if different:
            raise ConfigurationError(
                f"{path}: holds results of another model, {before.get('name')} ({', '.join(different)} differ). "
                "Give another --output."
            )
    return {
        "form": FORM,
        "version": VERSION,
        "model": identity,
        **provenance(cpu),
        "tasks": earlier.get("tasks", {}),
        "language_modelling": earlier.get("language_modelling"),
        "overlap": earlier.get("overlap"),
    }


def _models(options: EvaluateOptions) -> Iterator[tuple[str, Path]]:
    """Each model to evaluate, and the folder of its results."""
    if options.model is not None:
        yield options.model, options.output
        return
    from megatron_bio.convert.native_checkpoint.open import checkpoints_of_run

    assert options.run is not None
    for checkpoint in checkpoints_of_run(options.run):
        yield str(checkpoint), options.output / checkpoint.name


def _tasks(
    options: EvaluateOptions, findings: Findings
) -> list[tuple[AnyTask, dict[PartName, tuple[Path, ...]]]]:
    return named_tasks(options.tasks, findings, lambda name: look_into(_folder(options.data_dir / name)))


def _first_data(name: str, findings: Findings, options: EvaluateOptions) -> TaskData:
    ((task, files),) = _tasks(replace(options, tasks=[name]), findings)
    return _read(task, files, findings, options.data_dir)


def _read(
    task: AnyTask, files: dict[PartName, tuple[Path, ...]], findings: Findings, folder: Path
) -> TaskData:
    if not files:
        damaged = "".join(f" {message}" for message in findings.damaged.values())
        raise ConfigurationError(
            f"{task.name}: expected its data in {folder}, found none. `megatron-bio data check {folder}` says what is "
            f"there.{damaged}"
        )
    return TaskData(task=task, parts=task.read(files))


def _scored_files(entry: TaskData) -> list[UsedFile]:
    return [file for part, found in entry.parts.items() if part != "train" for file in found.files]


def _told(maker: Maker, advance: Callable[[str], None]) -> Maker:
    def make(job: Job) -> dict[str, Any]:
        advance(f"{job.data.task.name}, {job.folder.name}")
        return maker(job)

    return make


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar of runs on stderr, if that is a terminal and this process is the first."""
    if not sys.stderr.isatty() or _rank() != 0:
        yield lambda title: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("runs", total=total)
        started = 0

        def advance(title: str) -> None:
            nonlocal started
            progress.update(bar, description=title, completed=started)
            started += 1

        yield advance


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ConfigurationError(
            f"{path}: expected a folder with data, found {'a file' if path.exists() else 'nothing'}."
        )
    return path


def _require_libraries() -> None:
    missing = [name for name in ("transformers", "accelerate") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)}: not installed, and fine-tuning runs on it. Install it with pip install 'megatron-bio[eval]'."
        )


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))
