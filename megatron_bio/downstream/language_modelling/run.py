"""`megatron-bio evaluate lm`: a language model and held-out documents in, results.json out.

hugging_face_folder → load_language_model → read_held_out → measure → Unfinished → results.json, documents.jsonl
"""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch

import megatron_bio
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.evaluate_lm import EvaluateLmOptions
from megatron_bio.downstream.language_modelling.causal import CausalRows
from megatron_bio.downstream.language_modelling.documents import data_files, read_held_out
from megatron_bio.downstream.language_modelling.masked import MaskedRows
from megatron_bio.downstream.language_modelling.measure import measure
from megatron_bio.downstream.language_modelling.model import LanguageModel, load_language_model
from megatron_bio.downstream.language_modelling.progress import held_out_progress
from megatron_bio.downstream.language_modelling.results import left_out, summary, table
from megatron_bio.downstream.language_modelling.rows import RowMaker
from megatron_bio.downstream.language_modelling.unfinished import Group, Unfinished
from megatron_bio.downstream.model_folder import hugging_face_folder
from megatron_bio.downstream.model_identity import ModelIdentity, file_sha256, listed_sha256, model_identity
from megatron_bio.downstream.one_writer import one_writer
from megatron_bio.tokens.pending_files import PendingFile, publish_in_order

RESULTS, DOCUMENTS, UNFINISHED = "results.json", "documents.jsonl", "language_modelling.unfinished"


def evaluate_lm(options: EvaluateLmOptions) -> None:
    """Measure, write results.json and documents.jsonl into the output folder, and print the measures.

    Killed at any moment, the same command goes on behind the last group of documents that it finished.
    """
    with one_writer(options.output):
        _evaluate(options)


def _evaluate(options: EvaluateLmOptions) -> None:
    _require_own_results(options.output / RESULTS)
    files = data_files(options.data)
    data = _data(options, files)
    with hugging_face_folder(options.model, options.tokenizer, options.converted) as folder:
        identity = model_identity(folder.path, folder.tokenizer)
        model = load_language_model(
            folder.path,
            kind=options.kind,
            tokenizer=folder.tokenizer,
            precision=options.precision,
            device=options.device,
        )
    maker, protocol = _protocol(model, options, identity.vocabulary)
    made_from = {
        "model": identity.sha256,
        "config": identity.config_sha256,
        "tokenizer": identity.tokenizer_sha256,
        "data": data["sha256"],
    }
    unfinished = Unfinished(options.output / UNFINISHED, made_from | protocol, options.resume)
    with closing(unfinished):
        _measure(model, maker, files, options, unfinished)
    groups = unfinished.groups
    found = summary(groups, model.kind, exact=protocol["predicts"] == "all of the text")
    if not found["tokens"]:
        unfinished.path.unlink()
        raise ConfigurationError(
            f"--data {options.data}: expected text to predict, found none in {found['documents']:,} documents; left out: "
            f"{left_out(groups) or 'none'}. Look at --keys, or give more documents."
        )
    found |= {"data": {**data, "left_out": left_out(groups)}, "protocol": protocol}
    content = _content(options, identity, model, found)
    _write(options.output, groups, content)
    unfinished.path.unlink()
    print(table(found))
    print(f"\nWrote {options.output / RESULTS} and {options.output / DOCUMENTS}.")


def _measure(
    model: LanguageModel,
    maker: RowMaker,
    files: Sequence[Path],
    options: EvaluateLmOptions,
    unfinished: Unfinished,
) -> None:
    done = sum(group.read for group in unfinished.groups)
    if done:
        print(f"Goes on behind {done:,} documents that an earlier run has done.", file=sys.stderr)
    documents = islice(read_held_out(files, options.keys, options.documents), done, None)
    size = sum(file.stat().st_size for file in files)
    with held_out_progress(size, options.progress) as show:
        for group in measure(model, maker, documents, options.batch_size, show):
            unfinished.add(group)


def _protocol(
    model: LanguageModel, options: EvaluateLmOptions, vocabulary: int
) -> tuple[RowMaker, dict[str, Any]]:
    """Return what makes the rows, and what decides the numbers besides model and data."""
    causal = model.kind == "causal"
    if causal and (options.pseudo_likelihood or options.mask != "words"):
        raise ConfigurationError(
            f"--mask, --pseudo_likelihood: {options.model} is a causal model, which masks nothing. Leave them out."
        )
    before, after = ([], []) if causal else model.special_tokens()
    context = _context(model, options, least=2 + len(before) + len(after))
    room = context - len(before) - len(after)
    stride = max(1, context // 2) if options.stride is None else options.stride
    if stride >= room:
        raise ConfigurationError(
            f"--stride: expected less than the {room} tokens of text that a row holds, found {stride}."
        )
    protocol: dict[str, Any] = {
        "context": context,
        "stride": stride,
        "precision": options.precision,
        "keys": options.keys,
        "first_documents": options.documents,
    }
    if causal:
        tokenizer = model.tokenizer
        beginning = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        protocol |= {"predicts": "all of the text", "beginning": tokenizer.convert_ids_to_tokens(beginning)}
        return CausalRows(
            context=context, stride=stride, beginning=beginning, vocabulary=vocabulary
        ), protocol
    share = None if options.pseudo_likelihood else options.mask_share
    protocol |= {
        "predicts": "all of the text" if share is None else f"a share of the {options.mask}",
        "mask": options.mask,
        "mask_share": share,
        "seed": None if share is None else options.seed,
    }
    maker = MaskedRows(
        context=context,
        stride=stride,
        before=before,
        after=after,
        mask_id=model.tokenizer.mask_token_id,
        mask=options.mask,
        share=share,
        seed=options.seed,
    )
    return maker, protocol


def _context(model: LanguageModel, options: EvaluateLmOptions, least: int) -> int:
    context = options.context or model.positions
    if context is None:
        raise ConfigurationError(
            f"--context: {options.model} does not say how many tokens it takes at once; give the number."
        )
    if context < least or context > (model.positions or context):
        most = f" and at most the {model.positions} that the model was made for" if model.positions else ""
        raise ConfigurationError(f"--context: expected at least {least}{most}, found {context}.")
    return context


def _data(options: EvaluateLmOptions, files: Sequence[Path]) -> dict[str, Any]:
    sha256 = file_sha256(files[0]) if len(files) == 1 else listed_sha256(files)
    return {"path": options.data, "sha256": sha256, "files": len(files)}


def _content(
    options: EvaluateLmOptions, identity: ModelIdentity, model: LanguageModel, found: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what results.json says, in the form that `report` reads."""
    libraries = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    on_cuda = model.device.type == "cuda"
    return {
        "form": "megatron-bio results",
        "version": 1,
        "model": {
            "name": options.name or Path(options.model).name,
            "path": options.model,
            **asdict(identity),
            "random_weights": False,
        },
        "command": ["megatron-bio", *sys.argv[1:]],
        "versions": {
            "megatron_bio": megatron_bio.__version__,
            "python": platform.python_version(),
            **libraries,
        },
        "device": torch.cuda.get_device_name(model.device) if on_cuda else "cpu",
        "date": date.today().isoformat(),
        "tasks": {},
        "language_modelling": found,
        "overlap": None,
    }


def _write(output: Path, groups: Sequence[Group], content: Mapping[str, Any]) -> None:
    documents, results = PendingFile(output / DOCUMENTS), PendingFile(output / RESULTS)
    try:
        for group in groups:
            for document in group.documents:
                line = json.dumps(asdict(document), ensure_ascii=False)
                documents.write(line.encode(errors="backslashreplace") + b"\n")
        results.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        documents.finish()
        results.finish()
        publish_in_order([documents, results])
    finally:
        documents.discard()
        results.discard()


def _require_own_results(path: Path) -> None:
    """Refuse to replace the results of fine-tuning."""
    try:
        tasks = json.loads(path.read_text(encoding="utf-8")).get("tasks")
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError):
        tasks = "unknown"
    if tasks:
        raise ConfigurationError(
            f"--output {path.parent}: expected a folder without results, or with earlier ones of evaluate lm; {path.name} holds "
            f"others. Give another folder; report takes several."
        )
