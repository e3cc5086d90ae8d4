"""The numbers are those of transformers, whatever the batch, and of our checkpoint as of its export."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import transformers

from megatron_bio.convert.hugging_face.reference import quiet
from megatron_bio.downstream.language_modelling.masked import Draw
from megatron_bio.downstream.language_modelling.model import load_language_model
from megatron_bio.downstream.language_modelling.rows import Row
from tests.convert.tiny_runs import Trained
from tests.downstream.language_modelling.conftest import LONG, TEXTS, Evaluate

MEASURES = ("loss", "perplexity", "accuracy", "nats_per_word", "bits_per_predicted_byte")
SHORT = [text for number, text in enumerate(TEXTS) if text and number != LONG]


def only_short(data: Path) -> None:
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in SHORT), encoding="utf-8")


def opened(folder: Path, name: str):
    with quiet(transformers):
        model = getattr(transformers, name).from_pretrained(folder).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def test_causal_loss_is_what_transformers_gives(gpt: Path, data: Path, evaluate: Evaluate) -> None:
    only_short(data)
    model, tokenizer = opened(gpt, "GPT2LMHeadModel")
    nats, tokens = 0.0, 0
    for text in SHORT:
        ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]])
        nats += model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    found = evaluate(gpt)["language_modelling"]
    assert found["tokens"] == tokens
    assert found["loss"] == pytest.approx(nats / tokens, abs=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(
        nats / math.log(2) / sum(len(text.encode()) for text in SHORT)
    )


@torch.no_grad()
def test_causal_windows_are_what_transformers_gives(gpt: Path, data: Path, evaluate: Evaluate) -> None:
    data.write_text(json.dumps({"text": TEXTS[LONG]}) + "\n", encoding="utf-8")
    model, tokenizer = opened(gpt, "GPT2LMHeadModel")
    ids = torch.tensor([tokenizer.eos_token_id, *tokenizer(TEXTS[LONG])["input_ids"]])
    nats, context, stride = 0.0, 20, 5
    for target in range(1, len(ids)):
        # The first window reaches to token 20; every later one predicts 16 tokens, the first of them from 5 tokens.
        start = 0 if target <= context else (target - context - 1) // 16 * 16 + 16
        logits = model(ids[None, start:target]).logits[0, -1]
        nats += F.cross_entropy(logits, ids[target]).item()
    found = evaluate(gpt, context=context, stride=stride)["language_modelling"]
    assert found["tokens"] == len(ids) - 1
    assert found["loss"] == pytest.approx(nats / (len(ids) - 1), abs=1e-5)


@torch.no_grad()
def test_right_is_what_is_likeliest(gpt: Path) -> None:
    model, _ = opened(gpt, "GPT2LMHeadModel")
    ids = [0, 40, 50, 60, 70, 80]
    best = model(torch.tensor([ids])).logits[0].argmax(-1).tolist()
    rows = [Row(ids, range(6), best), Row(ids[:3], [0, 2], [best[0], best[2] + 1])]
    ours = load_language_model(gpt, kind=None, tokenizer=gpt, precision="fp32", device="cpu")
    assert ours.score(rows).right == [6, 1]


@torch.no_grad()
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_masked_loss_is_what_transformers_gives(
    name: str, request: pytest.FixtureRequest, data: Path, evaluate: Evaluate
) -> None:
    only_short(data)
    folder = request.getfixturevalue(name)
    model, tokenizer = opened(
        folder, "RobertaForMaskedLM" if name == "roberta" else "MegatronBertForMaskedLM"
    )
    nats, tokens, words = 0.0, 0, 0
    for text in SHORT:
        draw = Draw(5, text)
        spans = [match.span() for match in re.finditer(r"\S+", text)]
        hidden = [span for number, span in enumerate(spans) if draw.of(number) < 0.4]
        encoded = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        offsets = encoded.pop("offset_mapping")[0].tolist()
        masked = torch.tensor([any(first <= a < b <= end for first, end in hidden) for a, b in offsets])[None]
        ids = encoded["input_ids"]
        if masked.any():
            labels = torch.where(masked, ids, -100)
            output = model(
                **{**encoded, "input_ids": ids.where(~masked, tokenizer.mask_token_id)}, labels=labels
            )
            nats += output.loss.item() * int(masked.sum())
        tokens, words = tokens + int(masked.sum()), words + len(hidden)
    found = evaluate(folder, mask_share=0.4, seed=5)["language_modelling"]
    assert words and (found["tokens"], found["words"]) == (tokens, words)
    assert found["loss"] == pytest.approx(nats / tokens, abs=1e-5)
    assert found["nats_per_word"] == pytest.approx(nats / words, abs=1e-4)


@torch.no_grad()
def test_pseudo_likelihood_masks_every_piece_once(bert: Path, data: Path, evaluate: Evaluate) -> None:
    only_short(data)
    model, tokenizer = opened(bert, "MegatronBertForMaskedLM")
    nats, tokens = 0.0, 0
    for text in SHORT:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        for place in range(1, ids.shape[1] - 1):
            masked = ids.clone()
            masked[0, place] = tokenizer.mask_token_id
            nats += F.cross_entropy(model(masked).logits[0, place], ids[0, place]).item()
            tokens += 1
    found = evaluate(bert, pseudo_likelihood=True, mask="pieces")["language_modelling"]
    assert found["tokens"] == tokens
    assert found["loss"] == pytest.approx(nats / tokens, abs=1e-5)
    assert found["bits_per_byte"] == pytest.approx(
        nats / math.log(2) / sum(len(text.encode()) for text in SHORT), rel=1e-5
    )


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt"])
def test_batch_size_and_padding_change_nothing(
    name: str, request: pytest.FixtureRequest, evaluate: Evaluate
) -> None:
    folder = request.getfixturevalue(name)
    more = {} if name == "gpt" else {"mask_share": 0.4}
    alone = evaluate(folder, batch_size=1, **more)["language_modelling"]
    for size in (3, 50):
        together = evaluate(folder, batch_size=size, **more)["language_modelling"]
        assert (together["tokens"], together["accuracy"]) == (alone["tokens"], alone["accuracy"])
        for measure in MEASURES:
            assert together[measure] == pytest.approx(alone[measure], rel=1e-5), measure


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_a_run_gives_the_numbers_of_its_export(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, evaluate: Evaluate
) -> None:
    run: Trained = request.getfixturevalue(f"{name}_run")
    of_export = evaluate(request.getfixturevalue(name))
    of_run = evaluate(run.run, converted=tmp_path / "kept")
    assert (tmp_path / "kept" / "config.json").is_file()
    for measure in (*MEASURES, "bits_per_byte"):
        assert of_run["language_modelling"][measure] == of_export["language_modelling"][measure], measure
    for field in ("sha256", "tokenizer_sha256", "parameters", "vocabulary", "type"):
        assert of_run["model"][field] == of_export["model"][field]
    assert of_run["model"]["pretraining_step"] == 700


def test_the_same_words_are_masked_for_every_vocabulary(
    bert: Path, roberta: Path, evaluate: Evaluate
) -> None:
    ours, theirs = (evaluate(folder, mask_share=0.3)["language_modelling"] for folder in (bert, roberta))
    assert ours["tokens"] != theirs["tokens"]
    assert (ours["words"], ours["predicted_bytes"]) == (theirs["words"], theirs["predicted_bytes"])
    assert (
        evaluate(bert, mask_share=0.3, seed=2)["language_modelling"]["predicted_bytes"]
        != ours["predicted_bytes"]
    )


def test_bf16_is_near(gpt: Path, evaluate: Evaluate) -> None:
    exact, rounded = (
        evaluate(gpt, precision=name)["language_modelling"]["loss"] for name in ("fp32", "bf16")
    )
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.05)
