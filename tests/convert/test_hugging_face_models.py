"""The exported folders in transformers: same logits, and everything that people do with a folder."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from megatron_bio.parallel.parameters import set_from_full
from megatron_bio.tokens.tokenizer import Tokenizer
from tests.convert.tiny_runs import Trained, new_model

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra 'hf')")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder is all that is needed: nothing is looked up elsewhere."""
    attempts: list[object] = []

    def refuse(_: socket.socket, address: object) -> None:
        attempts.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert not attempts


def serial_model(trained: Trained):
    model = new_model(trained.config)
    for name, parameter in model.named_parameters():
        set_from_full(parameter, trained.weights[name])
    return model


def assert_close(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    assert theirs.dtype == torch.float32
    assert (theirs - ours).abs().max() <= 1e-5 * ours.abs().max()


def test_bert_logits_are_ours_with_and_without_padding(bert: Trained, bert_export: Path) -> None:
    model, loaded = transformers.MegatronBertForPreTraining.from_pretrained(
        bert_export, output_loading_info=True
    )
    assert not any(loaded.values()), loaded
    lengths = torch.tensor([48, 30, 1])
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(203, (3, 48), generator=generator)
    types = torch.randint(2, (3, 48), generator=generator)
    real = torch.arange(48) < lengths[:, None]
    with torch.no_grad():
        output = model.eval()(tokens, attention_mask=real.long(), token_type_ids=types)
        prediction, order = serial_model(bert).logits(
            tokens, real.long(), torch.arange(48).expand(3, 48), types
        )
    assert output.prediction_logits.shape[-1] == 203
    assert_close(output.prediction_logits[real], prediction[real][:, :203])
    assert_close(output.seq_relationship_logits, order[:, 0])


def test_gpt_logits_are_ours(gpt: Trained, gpt_export: Path) -> None:
    model, loaded = transformers.GPT2LMHeadModel.from_pretrained(gpt_export, output_loading_info=True)
    assert not any(loaded.values()), loaded
    tokens = torch.randint(260, (2, 48), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        theirs = model.eval()(tokens).logits
        ours = serial_model(gpt).logits(tokens, torch.ones_like(tokens), torch.arange(48).expand(2, 48))
    assert theirs.shape[-1] == 260
    assert_close(theirs, ours[..., :260])


@pytest.mark.parametrize("name", ["AutoModelForPreTraining", "AutoModelForMaskedLM", "AutoModel"])
def test_auto_classes_load_bert_with_tied_weights(name: str, bert_export: Path) -> None:
    model, loaded = getattr(transformers, name).from_pretrained(bert_export, output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["mismatched_keys"]
    heads = {"AutoModelForPreTraining": (), "AutoModelForMaskedLM": ("bert.pooler", "cls.seq_relationship")}
    if name in heads:
        assert all(key.startswith(heads[name]) for key in loaded["unexpected_keys"])
        table = model.get_input_embeddings().weight
        assert model.get_output_embeddings().weight.data_ptr() == table.data_ptr()
        bias = model.cls.predictions.bias
        assert bias.any()
        assert model.get_output_embeddings().bias.data_ptr() == bias.data_ptr()


def test_auto_class_loads_gpt_with_tied_weights(gpt_export: Path) -> None:
    model, loaded = transformers.AutoModelForCausalLM.from_pretrained(gpt_export, output_loading_info=True)
    assert not any(loaded.values()), loaded
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    assert model.generation_config.eos_token_id == 0
    assert model.generation_config.pad_token_id == 0


def test_bert_tokenizer_frames_pairs_and_knows_the_longest_sequence(bert: Trained, bert_export: Path) -> None:
    exported = transformers.AutoTokenizer.from_pretrained(bert_export)
    ours = Tokenizer.load(bert.tokenizer)
    first, second = ours.encode_batch(["Aspirin inhibits", "heart disease"])
    encoded = exported("Aspirin inhibits", "heart disease")
    assert encoded["input_ids"] == [ours.cls, *first, ours.sep, *second, ours.sep]
    assert encoded["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert len(exported) == bert.config.vocab_size
    assert exported.model_max_length == 40
    assert len(exported("heart " * 100, truncation=True)["input_ids"]) == 40


def test_gpt_tokenizer_ends_documents(gpt: Trained, gpt_export: Path) -> None:
    exported = transformers.AutoTokenizer.from_pretrained(gpt_export)
    ours = Tokenizer.load(gpt.tokenizer)
    assert exported("Heart in\nheart")["input_ids"] == ours.encode_batch(["Heart in\nheart"])[0].tolist()
    assert exported.eos_token_id == ours.eod == 0
    assert len(exported) == gpt.config.vocab_size


def test_fill_mask_pipeline_predicts_real_tokens(bert_export: Path) -> None:
    answers = transformers.pipeline("fill-mask", model=str(bert_export))(
        "aspirin inhibits [MASK] aggregation"
    )
    assert len(answers) == 5
    assert all(0 <= answer["token"] < 203 for answer in answers)


def test_text_generation_pipeline_continues(gpt_export: Path) -> None:
    generator = transformers.pipeline("text-generation", model=str(gpt_export))
    (answer,) = generator("heart in", max_new_tokens=4, do_sample=False)
    assert answer["generated_text"].startswith("heart in")


@pytest.mark.parametrize("export", ["bert_export", "gpt_export"])
def test_code_of_the_card_runs(
    export: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = request.getfixturevalue(export)
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert f'model="path/to/{folder.name}"' in code
    exec(code.replace(f"path/to/{folder.name}", str(folder)))
    assert "token_str" in (printed := capsys.readouterr().out) or "generated_text" in printed


def test_configuration_says_what_was_trained(bert_export: Path, gpt_export: Path) -> None:
    bert = json.loads((bert_export / "config.json").read_text())
    expected = {
        "architectures": ["MegatronBertForPreTraining"],
        "vocab_size": 203,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "intermediate_size": 80,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    assert {name: bert[name] for name in expected} == expected
    gpt = json.loads((gpt_export / "config.json").read_text())
    expected = {
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": 260,
        "activation_function": "gelu_new",
        "n_inner": 80,
        "n_positions": 48,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    assert {name: gpt[name] for name in expected} == expected
