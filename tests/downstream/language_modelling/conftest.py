"""Tiny models of noise, ours and others', and documents that are shorter and longer than their context."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.evaluate_lm import EvaluateLmOptions
from megatron_bio.convert.conversion import convert
from megatron_bio.convert.hugging_face.reference import quiet
from megatron_bio.downstream.language_modelling.run import evaluate_lm
from tests.convert.tiny_runs import (
    Trained,
    byte_level_folder,
    random_model,
    save_run,
    tiny_config,
    wordpiece_folder,
)

TEXTS = (
    "Aspirin inhibits cells, in the heart.",
    "cells",
    "Disease of the heart and cells; naïve β-cells (10⁶ U/mL)\nin disease, aspirin inhibits the platelet and the cells. "
    * 3
    + "Cells.",
    "the heart of aspirin",
    "",
)
LONG = 2
"""Which of the texts is longer than the 40 tokens that the models were trained on."""
Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _run(root: Path, architecture: str, tokenizer: Path) -> Trained:
    config = tiny_config(architecture, tokenizer)
    return save_run(root / "run", tokenizer, config, random_model(config))


def _exported(trained: Trained) -> Path:
    output = trained.run.parent / "hugging_face"
    convert(ConvertOptions(checkpoint=trained.run, output=output, check=False))
    return output


@pytest.fixture(scope="session")
def bert_run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("bert")
    return _run(root, "bert", wordpiece_folder(root / "tokenizer"))


@pytest.fixture(scope="session")
def gpt_run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("gpt")
    return _run(root, "gpt", byte_level_folder(root / "tokenizer"))


@pytest.fixture(scope="session")
def bert(bert_run: Trained) -> Path:
    return _exported(bert_run)


@pytest.fixture(scope="session")
def gpt(gpt_run: Trained) -> Path:
    return _exported(gpt_run)


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory, gpt: Path) -> Path:
    """The GPT's pieces with RoBERTa's special tokens, and positions that begin behind the padding token's."""
    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = transformers.AutoTokenizer.from_pretrained(gpt)
    pieces, merges = tokenizer.get_vocab(), [("i", "n"), ("a", "t"), ("Ġ", "in")]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {
        piece: number for number, piece in enumerate([*special, *(p for p in pieces if p not in special)])
    }
    transformers.RobertaTokenizerFast(vocab=vocabulary, merges=merges).save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=42,
        type_vocab_size=1,
        initializer_range=0.5,
    )
    with quiet(transformers):
        transformers.RobertaForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "held-out.jsonl"
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(TEXTS)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def evaluate(tmp_path: Path, data: Path) -> Evaluate:
    """Run the verb on the documents and return results.json."""
    number = 0

    def run(model: Path, output: Path | None = None, **options: object) -> dict[str, Any]:
        nonlocal number
        number += 1
        place = output or tmp_path / f"results-{number}"
        settings: dict[str, Any] = {"data": str(data), "device": "cpu", **options}
        evaluate_lm(EvaluateLmOptions(model=str(model), output=place, **settings))
        content: dict[str, Any] = json.loads((place / "results.json").read_text(encoding="utf-8"))
        return content

    return run
