"""The card of an exported model: what the run knows, and what somebody has to fill in."""

import json
from dataclasses import asdict
from pathlib import Path

import yaml

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.conversion import convert
from megatron_bio.convert.hugging_face.open import open_checkpoint
from tests.convert.tiny_runs import Trained, random_model, save_run


def card(trained: Trained, output: Path, **changes: object) -> str:
    convert(ConvertOptions(checkpoint=trained.run, output=output, check=False, **changes))
    return (output / "README.md").read_text()


def test_last_losses_up_to_the_step_are_told(bert: Trained, tmp_path: Path) -> None:
    trained = save_run(tmp_path / "run", bert.tokenizer, bert.config, random_model(bert.config))
    records = [
        {"kind": "train", "step": 690, "masked_lm_loss": 3.0, "loss_scale": 1.0},
        {"kind": "train", "step": 700, "masked_lm_loss": 2.125, "loss_scale": 1.0},
        {"kind": "validation", "step": 600, "masked_lm_loss": 2.5, "order_loss": None},
        {"kind": "train", "step": 710, "masked_lm_loss": 1.0},
    ]
    text = "\n".join(map(json.dumps, records)) + '\n{"kind": "tr'
    (tmp_path / "run" / "log.jsonl").write_text(text)
    written = card(trained, tmp_path / "out")
    assert "| train masked lm loss | 2.125 at step 700 |" in written
    assert "| validation masked lm loss | 2.5 at step 600 |" in written
    assert "loss scale" not in written and "at step 710" not in written


def test_the_licence_is_given_or_asked_for(bert: Trained, tmp_path: Path) -> None:
    without = card(bert, tmp_path / "without")
    assert yaml.safe_load(without.split("---")[1]).keys() == {"library_name", "pipeline_tag", "tags"}
    assert "Fill in the licence" in without
    given = card(bert, tmp_path / "given", license="cc-by-4.0")
    assert yaml.safe_load(given.split("---")[1])["license"] == "cc-by-4.0"
    assert "Fill in the licence" not in given


def test_the_recipe_of_the_run_is_in_it_without_places(bert: Trained, tmp_path: Path) -> None:
    recipe = yaml.safe_load(card(bert, tmp_path / "out").split("```yaml\n")[1].split("```")[0])
    assert recipe["model"]["hidden_size"] == 32 and recipe["training"]["train_steps"] == 1000
    assert not {"prefixes", "tokenizer"} & recipe["data"].keys() and "output" not in recipe["training"]


def test_a_continued_run_says_what_it_began_with(bert: Trained, tmp_path: Path) -> None:
    config = {
        "model": asdict(bert.config),
        "data": {"tokenizer": str(bert.tokenizer)},
        "training": {"initial_checkpoint": "/models/biobert/checkpoints/step-00000000"},
    }
    trained = save_run(
        tmp_path / "run", bert.tokenizer, bert.config, random_model(bert.config), config=config
    )
    written = card(trained, tmp_path / "out")
    assert "pretrained with megatron-bio from the weights of biobert." in written
    assert "| weights at the start | biobert |" in written and "/models" not in written


def test_an_imported_model_says_where_it_came_from(bert_export: Path, tmp_path: Path) -> None:
    convert(
        ConvertOptions(
            checkpoint=bert_export, output=tmp_path / "ours", to_format="megatron_bio", check=False
        )
    )
    convert(ConvertOptions(checkpoint=tmp_path / "ours", output=tmp_path / "again", check=False))
    written = (tmp_path / "again" / "README.md").read_text()
    assert "converted with megatron-bio from a checkpoint of hugging_face" in written
    assert "| steps | 700 |" in written
    assert open_checkpoint(tmp_path / "again", None).step == 700
