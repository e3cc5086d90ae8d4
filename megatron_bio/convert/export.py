"""`megatron-bio convert`: a checkpoint becomes a folder that transformers loads, proved equal on its logits."""

import json
from pathlib import Path
from typing import Any

import torch

import megatron_bio
from megatron_bio.checkpoint.run import Run, read_run
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.check import check_export
from megatron_bio.convert.description import (
    DTYPES,
    generation_config,
    hugging_face_config,
    refuse_silent_approximation,
)
from megatron_bio.convert.folder import MARKER, check_output, replaced_folder, write_errors
from megatron_bio.convert.hugging_face import hugging_face_table, to_foreign
from megatron_bio.convert.model_card import model_card
from megatron_bio.convert.run import load_model
from megatron_bio.convert.tokenizer_files import write_tokenizer
from megatron_bio.convert.weights import write_weights
from megatron_bio.models.bert import Bert
from megatron_bio.models.gpt import Gpt
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.trained_with import find_tokenizer


def convert(options: ConvertOptions) -> None:
    """Write the Hugging Face folder of a checkpoint and print what was written and how it was checked.

    An earlier export in `options.output` stays as it was unless the new one is complete and, if the check is made, equal.
    """
    check_output(options.output)
    run = read_run(options.checkpoint)
    refuse_silent_approximation(run.model, options.approximate)
    tokenizer_path, tokenizer = find_tokenizer(
        run.tokenizer,
        options.tokenizer,
        model=run.folder,
        vocab_size=run.model.vocab_size,
        fingerprint=run.tokenizer_fingerprint,
    )
    model = load_model(run)
    with replaced_folder(options.output) as folder:
        with write_errors(options.output):
            size = _write_model(model, run, options, folder)
            _write_descriptions(run, tokenizer, options, folder)
            write_tokenizer(tokenizer_path, folder, run)
        verdict = "not made: --check false."
        if options.check:
            verdict = check_export(run, model, tokenizer, folder, _dtype(options))
        with write_errors(options.output):
            _write_json(folder / MARKER, _provenance(run, options))
    print(f"Wrote {options.output}: step {run.step}, {size / 1e6:,.1f} MB of weights in {options.precision}.")
    print(f"Check: {verdict}")


def _write_model(model: Bert | Gpt, run: Run, options: ConvertOptions, folder: Path) -> int:
    table = hugging_face_table(run.model)
    parameters = {name: value.detach().to_local() for name, value in model.named_parameters()}
    missing = parameters.keys() ^ {entry.ours for entry in table}
    assert not missing, f"the table and the model disagree on {sorted(missing)}"
    return write_weights(folder, to_foreign(table, parameters.__getitem__), _dtype(options))


def _write_descriptions(run: Run, tokenizer: Tokenizer, options: ConvertOptions, folder: Path) -> None:
    _write_json(folder / "config.json", hugging_face_config(run.model, tokenizer, options.precision))
    if run.model.architecture == "gpt":
        _write_json(folder / "generation_config.json", generation_config(tokenizer))
    (folder / "README.md").write_text(model_card(run, options.output), encoding="utf-8")


def _dtype(options: ConvertOptions) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, DTYPES[options.precision])
    return dtype


def _provenance(run: Run, options: ConvertOptions) -> dict[str, Any]:
    return {
        "megatron_bio": megatron_bio.__version__,
        "step": run.step,
        "samples": run.samples,
        "tokens": run.tokens,
        "tokenizer_fingerprint": run.tokenizer_fingerprint,
        "precision": options.precision,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
