"""The README.md of an exported folder: what the model is, how it was trained, how to load it, and what nobody checked.

Written from what the checkpoint knows; it names no path of the machine that trained the model.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml

from megatron_bio.checkpoint.manifest import IMPORTED_FROM
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.sources import Checkpoint

_CARD = Template("""\
---
library_name: transformers
pipeline_tag: $task
$license_line
tags:
- megatron-bio
---

# $name

$kind with $layers layers, hidden size $hidden, $heads heads and $vocab tokens in the vocabulary, $origin.

## Training

$training

## Loading

```python
from transformers import pipeline

model = pipeline("$task", model="path/to/$name")
print(model($example))
```
$caution

## Intended use and limits

For research: to be fine-tuned on and evaluated for a task before it is used for it. A language model states falsehoods in the
form of facts, and repeats what is wrong or one-sided in its texts; this one gives no medical advice and must not decide about
patients.

## Commands

$commands

## Before you publish this

The export knows the weights, not the texts: add what the model was trained on, under which licences, and what it was evaluated
on. Nothing of that was checked here.$license_reminder
""")
_MACHINE = {
    "data": ("prefixes", "tokenizer", "index_cache"),
    "training": ("output", "initial_checkpoint"),
}
"""What of a run's configuration is a place on a machine, and no property of the model."""


_SCALED = """
With transformers 4 give `model_kwargs={"attn_implementation": "eager"}`: its other forms of attention leave out
`scale_attn_by_inverse_layer_idx` and compute something else.
"""


def model_card(checkpoint: Checkpoint, name: str, options: ConvertOptions) -> str:
    """Return the card in Markdown; `name` is the folder's."""
    model = checkpoint.model
    bert = model.architecture == "bert"
    return _CARD.substitute(
        name=name,
        kind=_kind(checkpoint),
        task="fill-mask" if bert else "text-generation",
        example='"Aspirin inhibits [MASK] aggregation."' if bert else '"Aspirin inhibits", max_new_tokens=20',
        layers=model.num_layers,
        hidden=model.hidden_size,
        heads=model.num_attention_heads,
        vocab=f"{model.vocab_size:,}",
        origin=_origin(checkpoint),
        caution=_SCALED if model.scale_attention_by_inverse_layer else "",
        training=_training(checkpoint),
        commands=_commands(checkpoint, name, options),
        license_line=f"license: {options.license}" if options.license else "# license: not given",
        license_reminder=""
        if options.license
        else " Fill in the licence at the top too (`license: apache-2.0`).",
    )


def _kind(checkpoint: Checkpoint) -> str:
    if checkpoint.model.architecture == "gpt":
        return "A GPT-2"
    post = checkpoint.model.norm_order == "post"
    return "A BERT" if post else "A pre-LN BERT (MegatronBERT in transformers)"


def _origin(checkpoint: Checkpoint) -> str:
    imported = checkpoint.training.get(IMPORTED_FROM)
    if checkpoint.format == "megatron_bio" and not imported:
        began = _began_with(checkpoint)
        return "pretrained with megatron-bio" + (f" from the weights of {began}" if began else "")
    before = imported["format"] if imported else checkpoint.format
    return f"converted with megatron-bio from a checkpoint of {before}"


def _began_with(checkpoint: Checkpoint) -> str | None:
    """Return the name of the run or the imported model that `training.initial_checkpoint` named, without its place."""
    given = checkpoint.training.get("config", {}).get("training", {}).get("initial_checkpoint")
    if not given:
        return None
    names = [part for part in Path(given).parts if part != "checkpoints" and not part.startswith("step-")]
    return names[-1] if names else Path(given).name


def _training(checkpoint: Checkpoint) -> str:
    rows = _training_rows(checkpoint)
    if not rows:
        return "The checkpoint does not tell how it was trained."
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _training_rows(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    known = checkpoint.training
    config = known.get("config", {})
    data, training, optimizer = (config.get(group, {}) for group in ("data", "training", "optimizer"))
    rows: list[tuple[str, str]] = []
    if began := _began_with(checkpoint):
        rows.append(("weights at the start", began))
    if data.get("prefixes"):
        rows.append(("token data", ", ".join(_names(data["prefixes"]))))
    if checkpoint.step:
        of = f" of {training['train_steps']:,}" if "train_steps" in training else ""
        rows.append(("steps", f"{checkpoint.step:,}{of}"))
    if known.get("samples"):
        batch = f", {training['global_batch_size']:,} per step" if "global_batch_size" in training else ""
        rows.append(("rows seen", f"{known['samples']:,}{batch}"))
    if known.get("tokens"):
        rows.append(("tokens seen", f"{known['tokens']:,}, without padding"))
    if "sequence_length" in data:
        rows.append(("longest sequence trained", f"{data['sequence_length']:,} tokens"))
    if "lr" in optimizer:
        rows.append(("peak learning rate", f"{optimizer['lr']:g}"))
    if "precision" in training:
        rows += [("computed in", training["precision"]), ("seed", str(training["seed"]))]
    return rows + _losses(checkpoint)


def _names(prefixes: Sequence[str]) -> list[str]:
    return [Path(prefix).name for prefix in prefixes]


def _losses(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Return the last losses that the run's log has up to the checkpoint's step."""
    log = checkpoint.path.parent.parent / "log.jsonl"
    if checkpoint.format != "megatron_bio" or not log.is_file():
        return []
    last: dict[str, Mapping[str, Any]] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # a line that a killed run did not finish
        if isinstance(record, dict) and record.get("step", 0) <= checkpoint.step:
            last[str(record.get("kind"))] = record
    return [
        (f"{kind} {name.replace('_', ' ')}", f"{value:.4g} at step {record['step']:,}")
        for kind, record in last.items()
        for name, value in record.items()
        if "loss" in name and name != "loss_scale" and isinstance(value, float)
    ]


def _commands(checkpoint: Checkpoint, name: str, options: ConvertOptions) -> str:
    lines = [
        "```",
        f"megatron-bio convert --checkpoint {checkpoint.path.name} --to hugging_face --output {name}",
    ]
    if options.precision != "fp32":
        lines[-1] += f" --precision {options.precision}"
    config = checkpoint.training.get("config", {})
    if "training" not in config:
        return "\n".join([*lines, "```"])
    recipe = {
        group: {
            key: value
            for key, value in values.items()
            if value is not None and key not in _MACHINE.get(group, ())
        }
        for group, values in config.items()
    }
    lines.insert(1, "megatron-bio pretrain --config recipe.yaml")
    text = yaml.safe_dump(recipe, sort_keys=False, default_flow_style=False)
    return "\n".join(
        [*lines, "```", "", "The recipe, without the places of its files:", "", "```yaml", text + "```"]
    )
