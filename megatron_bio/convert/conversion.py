"""`megatron-bio convert`: a checkpoint of one format becomes one of another, proved to compute the same.

    format_of → open_with_tokenizer → Checkpoint → write → open again → check

No more than about one tensor is in memory, whatever the formats.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import megatron_bio
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.check import check
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.folder import MARKER, check_output, replaced_folder, write_errors
from megatron_bio.convert.formats import FORMATS, Format, format_of
from megatron_bio.convert.new_heads import with_new_heads
from megatron_bio.convert.resize import with_new_sizes
from megatron_bio.convert.sources import Checkpoint, Told
from megatron_bio.convert.stored_values import FiniteTensors
from megatron_bio.convert.tokenizer_files import open_with_tokenizer
from megatron_bio.tokens.tokenizer import Tokenizer


def convert(options: ConvertOptions) -> None:
    """Write the checkpoint in the other format and print what was written and how it was checked.

    What an earlier conversion wrote to `options.output` stays as it was unless the new folder is complete and, if the
    check is made, equal.
    """
    check_output(options.output)
    _require_apart(options)
    source = format_of(options.checkpoint, options.from_format)
    target = _target(source, options)
    told = Told(num_attention_heads=options.num_attention_heads, activation=options.activation)
    checkpoint = open_with_tokenizer(source, options.checkpoint, options.tokenizer, told)
    original, new = with_new_heads(_finite(checkpoint), options.new_heads)
    checkpoint = with_new_sizes(original, options)
    assert checkpoint.tokenizer is not None
    tokenizer = Tokenizer.load(checkpoint.tokenizer)
    with replaced_folder(options.output) as folder:
        with write_errors(options.output):
            target.write(checkpoint, folder, options)
            _write_marker(folder, checkpoint, tokenizer, target, options)
        written = target.open(folder, checkpoint.model.vocab_size)
        verdict = "not made: --check false."
        if options.check:
            verdict = _check(original, checkpoint, written, tokenizer)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(_report(checkpoint, target, options, size))
    for note in [*checkpoint.facts.get("notes", ()), *filter(None, [new])]:
        print(f"Note: {note}")
    print(f"Check: {verdict}")


def _check(original: Checkpoint, converted: Checkpoint, written: Checkpoint, tokenizer: Tokenizer) -> str:
    """Compare what was written with what was read, by way of the original as ours if tokens or positions were added to it."""
    if converted.model == original.model:
        return check(original, written, tokenizer)
    assert original.tokenizer is not None
    as_read = check(original, replace(original, format="megatron_bio"), Tokenizer.load(original.tokenizer))
    as_written = check(replace(converted, format="megatron_bio"), written, tokenizer)
    return f"before the change of size {as_read} After it {as_written}"


def _target(source: Format, options: ConvertOptions) -> Format:
    if options.to_format is not None:
        return FORMATS[options.to_format]
    if source.name != "megatron_bio":
        raise ConvertError(
            f"{options.checkpoint}: it is a checkpoint of {source.title}. Say with --to which format to write, as "
            f"--to megatron_bio."
        )
    return FORMATS["hugging_face"]


def _require_apart(options: ConvertOptions) -> None:
    """Refuse an output that would replace what is read."""
    output = options.output.resolve()
    for path in filter(None, (options.checkpoint, options.tokenizer)):
        if output == path.resolve() or output in path.resolve().parents:
            raise ConvertError(
                f"--output {options.output}: writing there would replace {path}, which is read. Give another folder."
            )


def _finite(checkpoint: Checkpoint) -> Checkpoint:
    moments = checkpoint.moments
    return replace(
        checkpoint,
        weights=FiniteTensors(checkpoint.weights),
        moments=None if moments is None else FiniteTensors(moments),
    )


def _report(checkpoint: Checkpoint, target: Format, options: ConvertOptions, size: int) -> str:
    stored = "fp32" if target.name == "megatron_bio" else options.precision
    step = f"step {checkpoint.step}, " if checkpoint.step else ""
    return (
        f"Wrote {options.output}: {FORMATS[checkpoint.format].title} to {target.title}, {step}{size / 1e6:,.1f} MB with weights "
        f"in {stored}."
    )


def _write_marker(
    folder: Path, checkpoint: Checkpoint, tokenizer: Tokenizer, target: Format, options: ConvertOptions
) -> None:
    known = checkpoint.training
    content: dict[str, Any] = {
        "megatron_bio": megatron_bio.__version__,
        "format": target.name,
        "converted_from": checkpoint.format,
        "step": checkpoint.step,
        "samples": known.get("samples"),
        "tokens": known.get("tokens"),
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "precision": options.precision,
    }
    (folder / MARKER).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
