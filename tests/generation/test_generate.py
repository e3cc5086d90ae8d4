"""`generate` writes what transformers' generate writes, alone, in batches and on two ranks; and what it refuses."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from transformers import GPT2LMHeadModel

from megatron_bio.checkpoint.manifest import CheckpointError
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.generate import GenerateOptions
from megatron_bio.generation import generate as module
from megatron_bio.generation.errors import GenerationError
from megatron_bio.generation.session import GenerationWarning
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.tokenizer import Tokenizer
from tests.convert.tiny_runs import Trained, byte_level_folder
from tests.distributed.pool import Pool
from tests.generation.verbs import read, results, run

pytestmark = pytest.mark.filterwarnings(
    "ignore:texts of up to:megatron_bio.generation.session.GenerationWarning"
)
PROMPTS = ["heart disease and ce", "in", "aspirin inhibits pla", "µ", "hea"]
ONE_PROMPT = ["in"]


@pytest.fixture
def options(noise: Trained, tmp_path: Path) -> GenerateOptions:
    return GenerateOptions(
        checkpoint=noise.run,
        prompts=PROMPTS,
        max_new_tokens=12,
        device="cpu",
        output=tmp_path / "out.jsonl",
    )


def theirs(model: GPT2LMHeadModel, tokenizer: Tokenizer, new: int) -> list[list[int]]:
    """What transformers writes greedily after each prompt, alone and without padding."""
    written = []
    for ids in tokenizer.encode_batch(PROMPTS):
        prompt = torch.tensor(ids.astype("int64"))[None]
        whole = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=new,
            eos_token_id=tokenizer.eod,
            pad_token_id=tokenizer.eod,
        )
        written.append(whole[0, prompt.shape[1] :].tolist())
    return written


@pytest.mark.parametrize("kind", ["noise", "learnt"])
def test_greedy_is_what_transformers_writes(
    kind: str, pool: Pool, options: GenerateOptions, request: pytest.FixtureRequest
) -> None:
    trained: Trained = request.getfixturevalue(kind)
    tokenizer = Tokenizer.load(trained.tokenizer)
    expected = theirs(request.getfixturevalue(f"{kind}_gpt2"), tokenizer, 20)
    options = replace(options, checkpoint=trained.run, greedy=True, max_new_tokens=20)
    found = results(options)
    assert [line["tokens"] for line in found] == expected
    assert results(replace(options, key_value_cache=False)) == found
    assert results(replace(options, batch_size=2)) == found
    for cached in (True, False):
        pool.run(run, 2, replace(options, key_value_cache=cached))
        assert read(options.output) == found


def test_a_trained_model_ends_its_document(learnt: Trained, options: GenerateOptions) -> None:
    options = replace(
        options, checkpoint=learnt.run, prompts=["heart dis", "heart disease and c"], greedy=True
    )
    first, second = results(replace(options, max_new_tokens=40))
    assert first["prompt"] + first["continuation"] == "heart disease and cells in aspirin"
    assert (first["stopped_by"], second["stopped_by"]) == ("end_of_text", "end_of_text")
    eod = Tokenizer.load(learnt.tokenizer).eod
    assert first["tokens"][-1] == eod
    assert len(second["tokens"]) == len(first["tokens"]) - len("ease and c")
    (beyond,) = results(replace(options, prompts=["heart dis"], stop_at_end_of_text=False, max_new_tokens=36))
    assert len(beyond["tokens"]) == 36
    assert beyond["tokens"][: len(first["tokens"])] == first["tokens"]
    assert beyond["continuation"].startswith("ease and cells in aspirin<|endoftext|>")


def test_a_document_can_be_begun(learnt: Trained, options: GenerateOptions) -> None:
    options = replace(options, checkpoint=learnt.run, prompts=["", "he"], greedy=True, max_new_tokens=40)
    found = results(replace(options, begin_document=True))
    assert {line["prompt"] + line["continuation"] for line in found} == {"heart disease and cells in aspirin"}


def test_samples_depend_on_their_place_alone(pool: Pool, options: GenerateOptions) -> None:
    options = replace(options, samples_per_prompt=3, temperature=0.8, top_k=50, top_p=0.95)
    found = results(options)
    assert [(line["prompt_number"], line["sample"]) for line in found] == [
        (prompt, sample) for prompt in range(1, 6) for sample in (1, 2, 3)
    ]
    assert len({tuple(line["tokens"]) for line in found}) == len(found)
    assert results(replace(options, batch_size=4, key_value_cache=False)) == found
    pool.run(run, 2, replace(options, batch_size=15))
    assert read(options.output) == found
    assert results(replace(options, seed=5)) != found
    assert results(replace(options, prompts=PROMPTS[:1], samples_per_prompt=1)) == found[:1]


def test_what_the_filters_leave_is_drawn(options: GenerateOptions) -> None:
    greedy = [line["tokens"] for line in results(replace(options, greedy=True))]
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}, {"temperature": 0.0}):
        assert [line["tokens"] for line in results(replace(options, **narrow))] == greedy
    assert [line["tokens"] for line in results(options)] != greedy


def test_text_stops_at_the_last_position(options: GenerateOptions) -> None:
    with pytest.warns(GenerationWarning, match=r"up to 48 tokens: the model was trained on sequences of 40"):
        (line,) = results(replace(options, prompts=ONE_PROMPT, max_new_tokens=100, stop_at_end_of_text=False))
    assert len(line["tokens"]) == 47
    assert line["stopped_by"] == "max_position_embeddings"


def test_lower_precision_rounds_the_weights(options: GenerateOptions) -> None:
    """In bf16 these likeliest first tokens stay likeliest; what follows may differ."""
    options = replace(options, greedy=True, max_new_tokens=1)
    seen: list[torch.Tensor] = []
    with mock.patch.object(module, "require_finite", lambda logits, precision: seen.append(logits)):
        exact, rounded = results(options), results(replace(options, precision="bf16"))
    assert rounded == exact
    difference = (seen[1] - seen[0]).abs().max() / seen[0].abs().max()
    assert 1e-4 < difference < 3e-2


def test_one_text_is_printed_alone_and_several_with_titles(
    options: GenerateOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = results(replace(options, prompts=ONE_PROMPT))
    run(replace(options, prompts=ONE_PROMPT, output=None))
    assert capsys.readouterr().out == f"in{line['continuation']}\n"
    run(replace(options, output=None, max_new_tokens=2))
    printed = capsys.readouterr().out
    assert "--- prompt 5, sample 1 (max_new_tokens) ---\nhea" in printed


def test_prompts_from_files_and_stdin(options: GenerateOptions, tmp_path: Path) -> None:
    plain, lines = tmp_path / "prompts.txt", tmp_path / "prompts.jsonl"
    plain.write_text("\ufeffin\nhea\n", encoding="utf-8")
    lines.write_text('{"prompt": "in", "id": 7}\n{"text": "hea"}\n', encoding="utf-8")
    expected = results(replace(options, prompts=["in", "hea"]))
    assert results(replace(options, prompts=[], prompts_file=plain)) == expected
    with_id = results(replace(options, prompts=[], prompts_file=lines))
    assert with_id[0].pop("id") == 7
    assert with_id == expected
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"in\r\nhea\r\n"))):
        assert results(replace(options, prompts=[])) == expected


def test_an_id_of_half_a_character_comes_back(options: GenerateOptions, tmp_path: Path) -> None:
    lines = tmp_path / "prompts.jsonl"
    lines.write_bytes(rb'{"prompt": "in", "id": "\ud800"}')
    assert results(replace(options, prompts=[], prompts_file=lines))[0]["id"] == "\ud800"


def test_an_interruption_keeps_what_is_written(options: GenerateOptions) -> None:
    whole = results(replace(options, batch_size=2))
    write, batches = module.continue_texts, []

    def interrupted(*args: object, **more: object) -> None:
        batches.append(1)
        if len(batches) == 3:
            raise KeyboardInterrupt
        write(*args, **more)

    with mock.patch.object(module, "continue_texts", interrupted), pytest.raises(KeyboardInterrupt):
        run(replace(options, batch_size=2))
    assert read(options.output) == whole[:4]


def test_an_output_without_lines_does_not_stay(options: GenerateOptions) -> None:
    with (
        mock.patch.object(module, "continue_texts", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        run(options)
    assert not options.output.exists()
    options.output.write_text("mine")
    with pytest.raises(GenerationError, match="expected a new file, found one that is there already"):
        run(options)
    assert options.output.read_text() == "mine"


def test_weights_that_overflow_are_told(options: GenerateOptions) -> None:
    with mock.patch.object(module, "load_model", _broken), pytest.raises(GenerationError, match="not finite"):
        run(options)


def _broken(*args: object) -> object:
    model = load_model(*args)
    with torch.no_grad():
        model.final_layernorm.bias.to_local().fill_(float("inf"))
    return model


load_model = module.load_model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": ["in", ""]}, r"--prompts 2: expected a prompt of at least one token.*--begin_document"),
        ({"prompts": ["x" * 48]}, r"--prompts 1: the prompt has 48 tokens, but the model has 48 positions"),
        ({"prompts": [], "prompts_file": Path("/nowhere")}, r"--prompts_file /nowhere: .*No such file"),
        ({"output": Path("/nowhere/out.jsonl")}, r"--output /nowhere/out.jsonl: .*No such file"),
    ],
)
def test_what_is_refused(changes: dict[str, object], message: str, options: GenerateOptions) -> None:
    with pytest.raises(GenerationError, match=message):
        run(replace(options, **changes))
    assert not options.output.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (rb'{"prompt": "a \ud800"}', r"line 1: expected whole characters, found .ud800"),
        (b"", "expected at least one line, found none"),
        (b'{"prompt": "in"}\n{"prompt": \n', r"line 2: expected a JSON object with \"prompt\" or \"text\""),
        (b'{"title": "in"}', r"line 1: expected a JSON object with a text under"),
        (b"[1]", r"line 1: expected a JSON object with a text under"),
        (b'"in \xff"', r"line 1: expected UTF-8, found byte 0xff at 4"),
    ],
)
def test_files_that_are_refused(
    content: bytes, message: str, options: GenerateOptions, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(content)
    with pytest.raises(GenerationError, match=message):
        run(replace(options, prompts=[], prompts_file=file))


def test_a_bert_and_a_missing_checkpoint_and_another_tokenizer(
    options: GenerateOptions, bert: Trained, tmp_path: Path
) -> None:
    with pytest.raises(
        GenerationError, match=r"expected a checkpoint of architecture gpt, found bert; .* fill"
    ):
        run(replace(options, checkpoint=bert.run))
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        run(replace(options, checkpoint=tmp_path))
    other = byte_level_folder(tmp_path / "other")
    described = json.loads((other / "tokenizer.json").read_text())
    described["pre_tokenizer"]["add_prefix_space"] = True
    (other / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(TokenizerError, match=r"fingerprint .* would give other ids"):
        run(replace(options, tokenizer=other))


def test_ranks_that_do_not_divide_the_model(options: GenerateOptions, pool: Pool) -> None:
    with pytest.raises(AssertionError, match="its 4 attention heads are not a multiple of 3"):
        pool.run(run, 3, options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -1.0}, "--temperature: expected 0 or more"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"top_p": 0.0}, "--top_p: expected more than 0"),
        ({"top_k": -1}, "--top_k"),
        ({"max_new_tokens": 0}, "--max_new_tokens: expected at least 1"),
        ({"batch_size": 0}, "--batch_size: expected at least 1"),
        ({"precision": "int8"}, "--precision: expected one of"),
        ({"greedy": True, "samples_per_prompt": 2}, "--samples_per_prompt 2: --greedy"),
        ({"prompts": ["a"], "prompts_file": Path("b")}, "two sources"),
    ],
)
def test_options_that_cannot_work(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        GenerateOptions(checkpoint=Path("runs/gpt"), **changes)
