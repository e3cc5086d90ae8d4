"""One run of each architecture and its export, made once."""

from pathlib import Path

import pytest

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.conversion import convert
from tests.convert.tiny_runs import (
    Trained,
    byte_level_folder,
    random_model,
    save_run,
    tiny_config,
    wordpiece_folder,
)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("bert")
    tokenizer = wordpiece_folder(root / "tokenizer")
    config = tiny_config("bert", tokenizer)
    return save_run(root / "run", tokenizer, config, random_model(config))


@pytest.fixture(scope="session")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("gpt")
    tokenizer = byte_level_folder(root / "tokenizer")
    config = tiny_config("gpt", tokenizer)
    return save_run(root / "run", tokenizer, config, random_model(config))


@pytest.fixture(scope="session")
def bert_export(bert: Trained) -> Path:
    convert(ConvertOptions(checkpoint=bert.run, output=bert.run.parent / "hugging_face"))
    return bert.run.parent / "hugging_face"


@pytest.fixture(scope="session")
def gpt_export(gpt: Trained) -> Path:
    convert(ConvertOptions(checkpoint=gpt.run, output=gpt.run.parent / "hugging_face"))
    return gpt.run.parent / "hugging_face"
