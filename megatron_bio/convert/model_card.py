"""The README.md of an exported folder: what the model is, how it was trained, how to load it, and what nobody checked."""

from pathlib import Path
from string import Template

from megatron_bio.checkpoint.run import Run

_CARD = Template("""\
---
library_name: transformers
pipeline_tag: $task
tags:
- megatron-bio
---

# $name

$kind with $layers layers, hidden size $hidden, $heads heads and $vocab tokens in the vocabulary, pretrained with megatron-bio.

## Training

| | |
|---|---|
| steps | $step of $train_steps |
| rows seen | $samples, $batch per step |
| tokens seen | $tokens, without padding |
| longest sequence trained | $length tokens |
| peak learning rate | $lr |
| computed in | $precision |
| seed | $seed |

## Loading

```python
from transformers import pipeline

model = pipeline("$task", model="path/to/$name")
print(model($example))
```

## Before you publish this

The export knows the weights, not the texts: add what the model was trained on, under which licences, and what it was evaluated
on. Nothing of that was checked here. A language model states falsehoods in the form of facts; this one gives no medical advice.
""")


def model_card(run: Run, output: Path) -> str:
    """Return the card in Markdown; it names no path of the machine that trained the model."""
    bert = run.model.architecture == "bert"
    training = run.config.training
    return _CARD.substitute(
        name=output.resolve().name,
        kind="A pre-LN BERT (MegatronBERT in transformers)" if bert else "A GPT-2",
        task="fill-mask" if bert else "text-generation",
        example='"Aspirin inhibits [MASK] aggregation."' if bert else '"Aspirin inhibits", max_new_tokens=20',
        layers=run.model.num_layers,
        hidden=run.model.hidden_size,
        heads=run.model.num_attention_heads,
        vocab=f"{run.model.vocab_size:,}",
        step=f"{run.step:,}",
        train_steps=f"{training.train_steps:,}",
        samples=f"{run.samples:,}",
        batch=f"{training.global_batch_size:,}",
        tokens=f"{run.tokens:,}",
        length=f"{run.config.data.sequence_length:,}",
        lr=f"{run.config.optimizer.lr:g}",
        precision=training.precision,
        seed=training.seed,
    )
