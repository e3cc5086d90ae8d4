import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("transformers")

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.fine_tuning.classifier import Classifier, load_backbone, reads_last
from megatron_bio.downstream.fine_tuning.collation import Collator
from megatron_bio.downstream.fine_tuning.losses import cross_entropy
from megatron_bio.downstream.fine_tuning.outputs import SortedRows, outputs_of
from megatron_bio.downstream.tasks.named_entities import ENTITY_SETTINGS

ROWS = [[2, 9, 10, 3], [2, 11, 3], [2, 12, 13, 14, 15, 3]]


def classifier(folder: Path, kind: str, outputs: int = 3) -> Classifier:
    torch.manual_seed(3)
    settings = replace(ENTITY_SETTINGS, head_dropout=0.0, head_size=16)
    return Classifier(load_backbone(str(folder), False), kind, outputs, settings, cross_entropy).eval()


@pytest.fixture(params=["bert", "gpt"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"tiny_{request.param}")


@pytest.mark.parametrize("kind", ["tokens", "sequence", "spans"])
def test_padding_changes_nothing(folder: Path, kind: str) -> None:
    model = classifier(folder, kind, 2)
    rows = [{"input_ids": ids} for ids in ROWS]
    together = SortedRows(rows)
    padded = model(**Collator(0)(list(together)))["logits"].detach().numpy()
    for row, found in zip(rows, outputs_of(padded, together, kind), strict=True):
        alone = model(**Collator(0)([row]))["logits"].detach().numpy()[0]
        np.testing.assert_allclose(found, alone.T if kind == "spans" else alone, atol=1e-5)


def test_choices_of_different_numbers(folder: Path) -> None:
    model = classifier(folder, "choices", 1)
    rows = [{"input_ids": ROWS[:2], "labels": 1}, {"input_ids": ROWS, "labels": 2}]
    together = model(**Collator(0)(rows))
    for row, found in zip(rows, together["logits"], strict=True):
        alone = model(**Collator(0)([row]))["logits"][0]
        assert torch.allclose(found[: len(alone)], alone, atol=1e-5)
    each = [model(**Collator(0)([row]))["loss"] for row in rows]
    assert torch.allclose(together["loss"], sum(each) / 2, atol=1e-5)


def test_spans_never_point_at_padding(folder: Path) -> None:
    model = classifier(folder, "spans", 2)
    rows = [{"input_ids": ids, "start_positions": 1, "end_positions": 2} for ids in ROWS]
    each = [model(**Collator(0)([row]))["loss"] for row in rows]
    assert torch.allclose(model(**Collator(0)(rows))["loss"], sum(each) / 3, atol=1e-5)


def test_a_decoder_reads_the_last_piece_and_an_encoder_the_first(tiny_bert: Path, tiny_gpt: Path) -> None:
    for folder, last in ((tiny_bert, False), (tiny_gpt, True)):
        assert classifier(folder, "sequence").reads_last is last
    for name in ("llama", "qwen3", "gemma2", "opt", "bloom", "biogpt", "gpt_neox"):
        assert reads_last(name)
    for name in ("megatron-bert", "roberta", "electra", "modernbert", "deberta-v2", "t5"):
        assert not reads_last(name)


def test_random_weights_are_of_the_same_shape_and_others(tiny_bert: Path) -> None:
    trained, random = (
        load_backbone(str(tiny_bert), False).state_dict(),
        load_backbone(str(tiny_bert), True).state_dict(),
    )
    assert trained.keys() == random.keys()
    name = "encoder.layer.0.attention.self.query.weight"
    assert trained[name].shape == random[name].shape and not torch.equal(trained[name], random[name])


def test_files_that_lack_weights_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bert, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigurationError, match=r"encoder.layer.0.output.dense.weight first"):
        load_backbone(str(tmp_path), False)
