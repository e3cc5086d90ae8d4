"""Try an exported model with plain transformers: fill masks or write text, and measure it on the held-out documents.

The accuracy stands beside that of always saying the most frequent token of the training documents.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer, logging, pipeline

from megatron_bio.config.data import DataConfig
from megatron_bio.data.batch import BertBatch, GptBatch
from megatron_bio.data.build import build_datasets
from megatron_bio.tokens.tokenizer import Tokenizer

MASKED = (
    "Patients with type 2 [MASK] were treated with metformin.",
    "The primary [MASK] was the change in blood pressure after 12 weeks.",
    "These [MASK] suggest that the drug is safe and effective.",
    "The patients were randomly [MASK] to the drug or placebo.",
    "Expression of the gene was [MASK] in treated cells than in controls.",
)
PROMPTS = (
    "Patients with type 2 diabetes",
    "The primary outcome was",
    "These results suggest that",
    "Metformin",
    "In conclusion,",
)
ROWS, BATCH = 256, 16


def main() -> None:
    """Print and write what the model does."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("run", "model", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    logging.set_verbosity_error()  # the pooler has no place in a masked-LM model, and transformers reports that at length
    logging.disable_progress_bar()
    config = yaml.safe_load((options.run / "config.yaml").read_text(encoding="utf-8"))
    bert = config["model"]["architecture"] == "bert"
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = (AutoModelForMaskedLM if bert else AutoModelForCausalLM).from_pretrained(options.model).eval()
    examples = fill_masks(model, tokenizer) if bert else write_text(model, tokenizer)
    data_config = DataConfig(**config["data"] | {"split": tuple(config["data"]["split"])})
    tokens = Tokenizer.load(Path(data_config.tokenizer))
    train, validation, _ = build_datasets(data_config, config["model"]["architecture"], tokens)
    samples = np.arange(min(ROWS, len(validation)))
    frequent = most_frequent_label(train.evaluation_batch(np.arange(min(4 * ROWS, len(train)))))
    rows = validation.evaluation_batch(samples)
    right, base, total = (score_bert if bert else score_gpt)(model, rows, frequent)
    numbers = {
        "predictions": total,
        "accuracy": right / total,
        "frequent_accuracy": base / total,
        "frequent": tokenizer.convert_ids_to_tokens(frequent),
        "examples": examples,
    }
    what = "masked words" if bert else "next tokens"
    print(
        f"Accuracy on {total:,} {what} of held-out documents: {right / total:.1%}; always saying the most frequent "
        f"({numbers['frequent']!r}) gets {base / total:.1%}."
    )
    options.output.write_text(json.dumps(numbers, indent=1), encoding="utf-8")


def fill_masks(model: torch.nn.Module, tokenizer: object) -> list[list[str]]:
    """Return [sentence, best words] for each sentence."""
    fill, examples = pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=3, device="cpu"), []
    for sentence in MASKED:
        words = ", ".join(f"{answer['token_str']} ({answer['score']:.0%})" for answer in fill(sentence))
        print(f"  {sentence}\n      -> {words}")
        examples.append([sentence, words])
    return examples


def write_text(model: torch.nn.Module, tokenizer: object) -> list[list[str]]:
    """Return [prompt, continuation] for each prompt, sampled with a fixed seed."""
    torch.manual_seed(0)
    write, examples = pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu"), []
    for prompt in PROMPTS:
        answer = write(
            prompt,
            max_new_tokens=min(30, model.config.n_positions // 2),
            do_sample=True,
            top_k=10,
            return_full_text=False,
        )
        text = answer[0]["generated_text"]
        print(f"  {prompt} ...{text}")
        examples.append([prompt, text])
    return examples


def most_frequent_label(batch: BertBatch | GptBatch) -> int:
    """Return the token that is asked for most often in training rows."""
    if isinstance(batch, BertBatch):
        return int(np.bincount(batch.masked_labels[batch.masked_weights > 0]).argmax())
    return int(np.bincount(batch.labels[batch.label_weights > 0]).argmax())


@torch.no_grad()
def score_bert(model: torch.nn.Module, batch: BertBatch, frequent: int) -> tuple[int, int, int]:
    """Return right predictions, those of the most frequent token, and all, over the masked positions."""

    def predict(part: BertBatch) -> np.ndarray:
        ids, types = torch.from_numpy(part.tokens), torch.from_numpy(part.tokentype_ids)
        mask = torch.from_numpy(part.segment_ids > 0).long()
        best = model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits.argmax(-1).numpy()
        return np.take_along_axis(best, part.masked_positions, axis=1)

    return _compare(batch, predict, batch.masked_labels, batch.masked_weights, frequent)


@torch.no_grad()
def score_gpt(model: torch.nn.Module, batch: GptBatch, frequent: int) -> tuple[int, int, int]:
    """Return the same over all next tokens."""

    def predict(part: GptBatch) -> np.ndarray:
        return model(input_ids=torch.from_numpy(part.tokens)).logits.argmax(-1).numpy()

    return _compare(batch, predict, batch.labels, batch.label_weights, frequent)


def _compare(
    batch: BertBatch | GptBatch,
    predict: Callable[..., np.ndarray],
    labels: np.ndarray,
    weights: np.ndarray,
    frequent: int,
) -> tuple[int, int, int]:
    predicted = np.concatenate(
        [predict(batch.rows(start, start + BATCH)) for start in range(0, len(batch), BATCH)]
    )
    asked = weights > 0
    return int((predicted == labels)[asked].sum()), int((labels == frequent)[asked].sum()), int(asked.sum())


if __name__ == "__main__":
    main()
