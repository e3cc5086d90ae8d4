import shutil
from pathlib import Path

import pytest

from megatron_bio.config.errors import ConfigurationError

pytest.importorskip("transformers")

from megatron_bio.downstream.fine_tuning.classifier import load_backbone
from megatron_bio.downstream.language_modelling.model import load_language_model
from megatron_bio.downstream.model_identity import model_identity


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_a_model_without_its_tokenizer_is_refused(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole = request.getfixturevalue(f"tiny_{kind}")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(whole / name, tmp_path)
    with pytest.raises(ConfigurationError, match=r"expected .*tokenizer"):
        model_identity(tmp_path)
    assert model_identity(tmp_path, whole).vocabulary == model_identity(whole).vocabulary > 50


def test_weights_that_were_cut_off_are_refused(tiny_gpt: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_gpt, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ConfigurationError, match="expected whole weights"):
        load_backbone(str(tmp_path), False)
    with pytest.raises(ConfigurationError, match="expected whole weights"):
        load_language_model(tmp_path, kind=None, tokenizer=tmp_path, precision="fp32", device="cpu")
