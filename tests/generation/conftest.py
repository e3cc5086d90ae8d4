"""One GPT of noise, one that has learnt a little, one BERT, and what transformers loads of each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import transformers

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.conversion import convert
from megatron_bio.convert.hugging_face.reference import quiet
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.parameters import initialize
from megatron_bio.tokens.tokenizer import Tokenizer
from tests.convert.tiny_runs import (
    WORDS,
    Trained,
    byte_level_folder,
    new_model,
    random_model,
    save_run,
    tiny_config,
    wordpiece_folder,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """It scales attention by layer, as BioMedLM does."""
    root = tmp_path_factory.mktemp("noise")
    tokenizer = byte_level_folder(root / "tokenizer")
    config = tiny_config("gpt", tokenizer, scale_attention_by_inverse_layer=True)
    return save_run(root / "run", tokenizer, config, random_model(config))


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """It has seen one sentence and the end of the document again and again."""
    root = tmp_path_factory.mktemp("learnt")
    tokenizer = byte_level_folder(root / "tokenizer")
    config = tiny_config("gpt", tokenizer, hidden_dropout=0.0, attention_dropout=0.0)
    model = new_model(config)
    initialize(model, 1)
    _teach(model, Tokenizer.load(tokenizer))
    return save_run(root / "run", tokenizer, config, model)


def _teach(model: Gpt, tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode_batch(["heart disease and cells in aspirin"])[0].tolist(), tokenizer.eod]
    tokens = torch.tensor([(ids[first:] + ids * 4)[:48] for first in (0, len(ids) - 1, len(ids) // 2)])
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        logits = model.logits(tokens, torch.ones_like(tokens), positions)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("bert")
    tokenizer = wordpiece_folder(root / "tokenizer")
    config = tiny_config("bert", tokenizer)
    return save_run(root / "run", tokenizer, config, random_model(config))


@pytest.fixture(scope="session")
def words() -> list[str]:
    return WORDS


def exported(trained: Trained) -> Path:
    folder = trained.run.parent / "hugging_face"
    if not folder.exists():
        convert(ConvertOptions(checkpoint=trained.run, output=folder, check=False))
    return folder


def gpt2(trained: Trained) -> transformers.GPT2LMHeadModel:
    with quiet(transformers):
        return transformers.GPT2LMHeadModel.from_pretrained(
            exported(trained), local_files_only=True, attn_implementation="eager"
        ).eval()


@pytest.fixture(scope="session")
def noise_gpt2(noise: Trained) -> transformers.GPT2LMHeadModel:
    return gpt2(noise)


@pytest.fixture(scope="session")
def learnt_gpt2(learnt: Trained) -> transformers.GPT2LMHeadModel:
    return gpt2(learnt)


@pytest.fixture(scope="session")
def bert_export(bert: Trained) -> Path:
    return exported(bert)
