"""More tokens and more positions: what was there stays, what is new is what the documentation says."""

from pathlib import Path

import pytest
import torch

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.conversion import convert
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.formats import FORMATS
from megatron_bio.convert.resize import resize
from megatron_bio.convert.sources import Checkpoint
from megatron_bio.tokens.tokenizer import Tokenizer
from tests.convert.tiny_runs import Trained, wordpiece_folder

WORDS, POSITIONS, BIAS = (
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "masked_lm_head.bias",
)


class InMemory:
    """Tensors of a dictionary."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def described(self) -> dict[str, torch.Tensor]:
        return {name: tensor.to("meta") for name, tensor in self.tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        return self.tensors[name].clone()


def small(dtype: torch.dtype = torch.float32) -> Checkpoint:
    generator = torch.Generator().manual_seed(1)
    config = ModelConfig(
        hidden_size=8, num_attention_heads=2, num_layers=1, vocab_size=100, max_position_embeddings=16
    )
    shapes = {WORDS: (128, 8), POSITIONS: (16, 8), BIAS: (128,), "final_layernorm.weight": (8,)}
    tensors = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    tensors[WORDS][100:], tensors[BIAS][100:] = 0.0, 0.0
    weights = InMemory(tensors)
    return Checkpoint(
        format="megatron_bio", path=Path("model"), model=config, weights=weights, moments=weights
    )


def change(checkpoint: Checkpoint, tokens: int = 100, positions: int = 16, how=None) -> Checkpoint:
    return resize(checkpoint, vocab_size=tokens, max_position_embeddings=positions, new_positions=how)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokens", [101, 128, 300])
def test_new_tokens_are_the_mean_and_padding_is_zero(tokens: int, dtype: torch.dtype) -> None:
    old, new = small(dtype), change(small(dtype), tokens=tokens)
    assert new.model.vocab_size == tokens and new.moments is None
    for name in (WORDS, BIAS):
        before, after = old.weights.read(name), new.weights.read(name)
        assert after.dtype == dtype and len(after) % 128 == 0
        assert torch.equal(after[:100], before[:100])
        mean = before[:100].double().mean(0).to(dtype)
        assert torch.equal(after[100:tokens], mean.expand_as(after[100:tokens]))
        assert not after[tokens:].any()
        assert new.weights.described()[name].shape == after.shape
    assert torch.equal(new.weights.read(POSITIONS), old.weights.read(POSITIONS))


def test_copied_positions_start_again(positions: int = 40) -> None:
    old, new = small(), change(small(), positions=positions, how="copy")
    table = old.weights.read(POSITIONS)
    assert torch.equal(new.weights.read(POSITIONS), torch.cat((table, table, table[:8])))
    assert new.model.max_position_embeddings == 40


def test_interpolated_positions_lie_between_the_old_ones() -> None:
    old, new = small(), change(small(), positions=31, how="interpolate")
    before, after = old.weights.read(POSITIONS), new.weights.read(POSITIONS)
    assert after.shape == new.weights.described()[POSITIONS].shape == (31, 8)
    torch.testing.assert_close(after[::2], before)
    torch.testing.assert_close(after[1::2], (before[1:] + before[:-1]) / 2)


def test_nothing_to_do_keeps_the_moments() -> None:
    checkpoint = small()
    assert change(checkpoint) is checkpoint


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tokens": 99}, "tokens cannot be taken away"),
        ({"positions": 8, "how": "copy"}, "set data.sequence_length"),
        ({"positions": 32}, "--new_positions interpolate or --new_positions copy"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        change(small(), **asked)


def options(bert: Trained, output: Path, **changes) -> ConvertOptions:
    return ConvertOptions(checkpoint=bert.run, output=output, to_format="megatron_bio", **changes)


def test_a_model_is_prepared_for_more_tokens_and_longer_texts(
    bert: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = wordpiece_folder(tmp_path / "larger", size=303)
    settings = {"new_tokenizer": larger, "max_position_embeddings": 96, "new_positions": "copy"}
    convert(options(bert, tmp_path / "out", **settings))
    assert "before the change of size" in capsys.readouterr().out
    again = FORMATS["megatron_bio"].open(tmp_path / "out")
    assert (again.model.vocab_size, again.model.max_position_embeddings) == (303, 96)
    assert Tokenizer.load(again.tokenizer).fingerprint == Tokenizer.load(larger).fingerprint
    assert again.training["tokenizer_fingerprint"] == Tokenizer.load(larger).fingerprint
    before = bert.weights[WORDS][:203]
    assert torch.equal(again.weights.read(WORDS)[:203], before)
    assert torch.equal(again.weights.read(POSITIONS)[48:], bert.weights[POSITIONS])


def test_a_tokenizer_with_other_first_tokens_is_refused(bert: Trained, tmp_path: Path) -> None:
    other = wordpiece_folder(tmp_path / "other", size=303, lowercase=False)
    with pytest.raises(ConvertError, match="must begin with all 203 tokens"):
        convert(options(bert, tmp_path / "out", new_tokenizer=other))
    assert not (tmp_path / "out").exists()
