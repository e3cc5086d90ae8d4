"""Tiny models that others could have made."""

from pathlib import Path

import pytest
import torch

from tests.downstream.tiny_models import save_tiny_bert, save_tiny_gpt


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def tiny_gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_gpt(tmp_path_factory.mktemp("gpt"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Models this small only wait for one another's threads, for minutes on a busy machine."""
    torch.set_num_threads(1)
