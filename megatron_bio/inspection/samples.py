"""`megatron-bio inspect PATH --samples N`: the rows that training gets, decoded.

`rows` says what is in a row, `drawing` shows it to people.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console

from megatron_bio.config.command_line import parse_options
from megatron_bio.config.data import DataConfig
from megatron_bio.config.inspect import InspectOptions
from megatron_bio.config.parser import Program
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.data.batch import BertBatch
from megatron_bio.data.build import Architecture, TrainingDataset, build_datasets
from megatron_bio.data.dataset import GptDataset
from megatron_bio.inspection.description import InspectionError
from megatron_bio.inspection.drawing import draw_heading, draw_row
from megatron_bio.inspection.pieces import Pieces
from megatron_bio.inspection.rows import BertRow, GptRow, bert_rows, gpt_rows
from megatron_bio.tokens.indexed import IndexedReader, data_path, index_path
from megatron_bio.tokens.sidecar import Sidecar, sidecar_path
from megatron_bio.tokens.tokenizer import Tokenizer

RUN_CONFIG, RUN_LOG = "config.yaml", "log.jsonl"
ROWS_AT_ONCE = 16
PIPED_WIDTH = 120
_LAST_ROW = 2**62
_OPTIONS = Program(name="megatron-bio pretrain", description="")


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """Which rows to show and how they are made."""

    data: DataConfig
    architecture: Architecture
    global_batch_size: int | None
    """Rows of a step, where a run or recipe says so."""


def show_samples(options: InspectOptions) -> None:
    """Print the rows; raises `InspectionError` when they do not exist, and what `build_datasets` raises."""
    assert options.samples is not None, "the caller shows rows only where they are asked for"
    chosen = _with_changes(_choose(options), options)
    tokenizer = Tokenizer.load(chosen.data.tokenizer)
    train, validation, _ = build_datasets(chosen.data, chosen.architecture, tokenizer, write_cache=False)
    dataset = train if options.part == "train" else validation
    if dataset is None:
        raise InspectionError(
            f"--part validation: data.split {', '.join(f'{share:g}' for share in chosen.data.split)} leaves no documents "
            f"for it. Give --data 'split=[0.95,0.05,0]' or another one."
        )
    _check_range(dataset, options)
    rows = _rows(dataset, options, chosen, Pieces(tokenizer))
    facts = {
        "architecture": chosen.architecture,
        "part": options.part,
        "rows_of_an_epoch": len(dataset),
        "sequence_length": chosen.data.sequence_length,
        "tokenizer": chosen.data.tokenizer,
    }
    if options.json:
        content = {"kind": "samples", "path": str(options.path)} | facts | {"rows": [asdict(r) for r in rows]}
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, markup=False, highlight=False)
    draw_heading(console, str(options.path), facts)
    for row in rows:
        draw_row(console, row)


def _choose(options: InspectOptions) -> _Chosen:
    """Recognise token data, a run or a recipe."""
    path = options.path
    recipe = path / RUN_CONFIG if path.is_dir() else path
    if recipe.is_file() and recipe.suffix in (".yaml", ".yml"):
        return _of_recipe(recipe, options)
    if path.is_dir():
        raise InspectionError(
            f"{path}: expected a run's folder, with {RUN_CONFIG}, for --samples; found none. Give a run, a recipe of "
            f"pretrain, or token data."
        )
    prefix = path.with_suffix("") if path.suffix in (".idx", ".bin") else path
    if not (index_path(prefix).is_file() or data_path(prefix).is_file()):
        raise InspectionError(
            f"{path}: expected token data (prefix, .bin or .idx), a run's folder or a recipe (.yaml) of pretrain for "
            f"--samples; found {'another file' if path.is_file() else 'nothing of that name'}."
        )
    sidecar = Sidecar.read(prefix)
    data = DataConfig(prefixes=[str(prefix)], tokenizer=_tokenizer_of(prefix, sidecar, options.tokenizer))
    if options.part == "train":  # all documents: a small file would have none left for validation
        data = replace(data, split=(1.0, 0.0, 0.0))
    return _Chosen(
        data=data,
        architecture=options.architecture or _architecture_of(prefix, sidecar),
        global_batch_size=None,
    )


def _of_recipe(recipe: Path, options: InspectOptions) -> _Chosen:
    config = parse_options(PretrainConfig, ["--config", str(recipe)], _OPTIONS)
    if options.architecture not in (None, config.model.architecture):
        raise InspectionError(
            f"--architecture {options.architecture}: {recipe} trains a {config.model.architecture}, whose rows are made "
            f"otherwise. Leave --architecture out."
        )
    data = config.data
    if _is_from_before_packing(recipe, options):
        data = replace(data, packing=False)
    if options.tokenizer is not None:
        data = replace(data, tokenizer=str(options.tokenizer))
    return _Chosen(
        data=data,
        architecture=config.model.architecture,
        global_batch_size=config.training.global_batch_size,
    )


def _is_from_before_packing(recipe: Path, options: InspectOptions) -> bool:
    """A run writes down every option that it knows; one that does not know packing had one sample in each row."""
    is_of_a_run = options.path.is_dir() or (recipe.parent / RUN_LOG).is_file()
    return is_of_a_run and "packing" not in yaml.safe_load(recipe.read_text(encoding="utf-8"))["data"]


def _tokenizer_of(prefix: Path, sidecar: Sidecar | None, given: Path | None) -> str:
    if given is not None:
        return str(given)
    if sidecar is None:
        raise InspectionError(
            f"{prefix}: there is no {sidecar_path(prefix).name} that names the tokenizer, so that the tokens cannot be shown "
            f"as text. Give --tokenizer FOLDER."
        )
    if not Path(sidecar.tokenizer).exists():
        raise InspectionError(
            f"{prefix}: {sidecar_path(prefix).name} names the tokenizer {sidecar.tokenizer}, which is not there. Give "
            f"--tokenizer FOLDER."
        )
    return sidecar.tokenizer


def _architecture_of(prefix: Path, sidecar: Sidecar | None) -> Architecture:
    if sidecar is not None:
        return "bert" if sidecar.kind == "sentences" else "gpt"
    reader = IndexedReader(prefix)
    return "gpt" if len(reader) == reader.document_count else "bert"


def _with_changes(chosen: _Chosen, options: InspectOptions) -> _Chosen:
    """Read --data NAME=VALUE as pretrain reads --data.NAME VALUE, beside all that is already known."""
    if not options.data:
        return chosen
    names = {word.partition("=")[0].replace("-", "_") for word in options.data}
    for name in ("prefixes", "tokenizer"):
        if name in names:
            raise InspectionError(f"--data {name}: the path says it, or --tokenizer. Leave it out of --data.")
    changes = [f"--{word}" for word in options.data]
    required = [f"--prefixes={json.dumps(chosen.data.prefixes)}", f"--tokenizer={chosen.data.tokenizer}"]
    changed = parse_options(DataConfig, [*required, *changes], _OPTIONS)
    return replace(
        chosen, data=replace(chosen.data, **{name: getattr(changed, name) for name in sorted(names)})
    )


def _check_range(dataset: TrainingDataset, options: InspectOptions) -> None:
    """Rows of training never end, those of validation do; nobody reads more than an epoch."""
    assert options.samples is not None
    size = len(dataset)
    if options.samples > size:
        raise InspectionError(
            f"--samples {options.samples}: expected at most the {size} rows of one epoch of {options.part}. Ask for fewer."
        )
    if options.first > _LAST_ROW:
        raise InspectionError(
            f"--first {options.first}: expected at most 2^62. Step t of a run reads rows from (t - 1) x its global batch size on."
        )
    if options.part == "validation" and options.first + options.samples > size:
        raise InspectionError(
            f"--first {options.first} --samples {options.samples}: validation has the rows 0 to {size - 1}. Ask for rows "
            f"among them."
        )


def _rows(
    dataset: TrainingDataset, options: InspectOptions, chosen: _Chosen, pieces: Pieces
) -> Iterator[BertRow | GptRow]:
    """Yield the rows in order, a few made at a time."""
    assert options.samples is not None
    stop = options.first + options.samples
    for start in range(options.first, stop, ROWS_AT_ONCE):
        numbers = np.arange(start, min(start + ROWS_AT_ONCE, stop))
        training = options.part == "train"
        batch = dataset.batch(numbers) if training else dataset.evaluation_batch(numbers)
        steps = _steps(numbers.tolist(), options, chosen)
        if isinstance(batch, BertBatch):
            documents = None
            if not isinstance(dataset, GptDataset):
                documents = dataset.documents(numbers) if training else dataset.evaluation_documents(numbers)
            yield from bert_rows(batch, pieces, steps, documents, chosen.data.sentence_order)
        else:
            yield from gpt_rows(batch, pieces, steps)


def _steps(numbers: list[int], options: InspectOptions, chosen: _Chosen) -> list[int | None]:
    """Return the step of the run, counted from 1, that reads each row."""
    if options.part != "train" or chosen.global_batch_size is None:
        return [None] * len(numbers)
    return [number // chosen.global_batch_size + 1 for number in numbers]
