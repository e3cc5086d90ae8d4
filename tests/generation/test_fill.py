"""`fill` gives the tokens and probabilities of transformers' fill-mask pipeline, in batches and on two ranks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import transformers

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.generate import FillOptions
from megatron_bio.convert.hugging_face.reference import quiet
from megatron_bio.generation.errors import GenerationError
from megatron_bio.generation.fill import Candidate, _with_the_best
from tests.convert.tiny_runs import Trained, random_model, save_run, tiny_config, wordpiece_folder
from tests.distributed.pool import Pool
from tests.generation.verbs import read, results, run

TEXTS = [
    "Aspirin inhibits platelet [MASK] in [MASK] disease.",
    "[MASK]",
    "the heart[MASK], of the cells",
    "Heart [MASK][MASK] aspirin - a1b2, [MASK] Zzz",
]


@pytest.fixture
def options(bert: Trained, tmp_path: Path) -> FillOptions:
    return FillOptions(
        checkpoint=bert.run, texts=TEXTS, top_k=4, device="cpu", output=tmp_path / "filled.jsonl"
    )


def theirs(export: Path, top_k: int) -> list[list[list[tuple[int, float]]]]:
    with quiet(transformers):
        pipeline = transformers.pipeline("fill-mask", str(export), device="cpu")
        found = [pipeline(text, top_k=top_k) for text in TEXTS]
    several = [one if isinstance(one[0], list) else [one] for one in found]
    return [
        [[(candidate["token"], candidate["score"]) for candidate in mask] for mask in text]
        for text in several
    ]


def test_candidates_are_those_of_the_pipeline(bert_export: Path, options: FillOptions, pool: Pool) -> None:
    found = results(options)
    expected = theirs(bert_export, 4)
    assert [line["text"] for line in found] == TEXTS
    for line, masks in zip(found, expected, strict=True):
        ours = [[(one["id"], one["probability"]) for one in mask] for mask in line["masks"]]
        assert [[number for number, _ in mask] for mask in ours] == [[n for n, _ in mask] for mask in masks]
        for mask, other in zip(ours, masks, strict=True):
            assert [p for _, p in mask] == pytest.approx([p for _, p in other], abs=1e-5)
    assert_same(results(replace(options, batch_size=1)), found)
    pool.run(run, 2, options)
    assert_same(read(options.output), found)


def assert_same(found: list[dict], expected: list[dict]) -> None:
    """Equal but for the rounding of the probabilities."""
    for line, other in zip(found, expected, strict=True):
        assert line["filled"] == other["filled"]
        for mask, same in zip(line["masks"], other["masks"], strict=True):
            assert [one["token"] for one in mask] == [one["token"] for one in same]
            assert [one["probability"] for one in mask] == pytest.approx(
                [one["probability"] for one in same], abs=1e-6
            )


def test_all_tokens_have_probability_one(options: FillOptions) -> None:
    (line,) = results(replace(options, texts=TEXTS[:1], top_k=10_000))
    for mask in line["masks"]:
        assert len(mask) == 203
        assert sum(one["probability"] for one in mask) == pytest.approx(1.0, abs=1e-5)


def test_printed_text(options: FillOptions, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = results(replace(options, texts=TEXTS[:1]))
    run(replace(options, texts=TEXTS[:1], output=None))
    printed = capsys.readouterr().out.splitlines()
    best = [mask[0] for mask in line["masks"]]
    assert printed[0] == TEXTS[0]
    assert printed[1].startswith(f"  [MASK] 1: {best[0]['token']} {best[0]['probability']:.4f}  ")
    assert printed[2].startswith(f"  [MASK] 2: {best[1]['token']} ")


def test_the_case_is_the_tokenizers(bert: Trained, options: FillOptions, tmp_path: Path) -> None:
    texts = ["Heart [MASK]", "heart [MASK]"]
    same = results(replace(options, texts=texts))
    assert same[0]["filled"].lower() == same[1]["filled"].lower()
    assert_same([same[0] | {"filled": ""}], [same[1] | {"filled": ""}])
    tokenizer = wordpiece_folder(tmp_path / "cased", lowercase=False)
    config = tiny_config("bert", tokenizer)
    cased = save_run(tmp_path / "run", tokenizer, config, random_model(config))
    other = results(replace(options, texts=texts, checkpoint=cased.run))
    assert other[0]["masks"] != other[1]["masks"]


def test_pieces_join_the_word_before_them(options: FillOptions) -> None:
    best = [[Candidate("in", 1, 0.5)], [Candidate("##s", 2, 0.5)]]
    assert _with_the_best("Cells [MASK] heart [MASK].", best) == "Cells in hearts."


def test_lines_with_an_id(options: FillOptions, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"id": "a", "text": TEXTS[1]}) + "\n")
    (line,) = results(replace(options, texts=[], texts_file=file))
    assert (line["id"], line["text"]) == ("a", TEXTS[1])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a [MASK]", "heart [mask]"], r"--texts 2: expected a text with at least one \[MASK\], in capitals"),
        (["x " * 50 + "[MASK]"], r"--texts 1: the text has 53 tokens .* but the model has 48 positions"),
        ([""], r"--texts 1: expected a text with at least one"),
    ],
)
def test_texts_that_are_refused(texts: list[str], message: str, options: FillOptions) -> None:
    with pytest.raises(GenerationError, match=message):
        run(replace(options, texts=texts))
    assert not options.output.exists()


def test_a_gpt_is_refused(options: FillOptions, noise: Trained) -> None:
    with pytest.raises(
        GenerationError, match=r"expected a checkpoint of architecture bert, found gpt; .* generate"
    ):
        run(replace(options, checkpoint=noise.run))


def test_options_that_cannot_work() -> None:
    with pytest.raises(ConfigurationError, match="--top_k: expected at least 1"):
        FillOptions(checkpoint=Path("runs/first"), top_k=0)
