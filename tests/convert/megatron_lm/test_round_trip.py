"""Ours to Megatron-LM's files and back keeps every bit, and a plain reader of the files computes our logits."""

from itertools import product
from pathlib import Path

import pytest
import torch

from megatron_bio.convert.megatron_lm.open import open_checkpoint, recognises
from tests.convert.megatron_lm.checkpoints import (
    KINDS,
    VOCABULARY,
    inputs,
    our_logits,
    read_everything,
    tiny,
    written,
)
from tests.references.megatron_lm import Reference

ALL = list(product(KINDS, (0, 1, 2, 3), (1, 2, 4), (1, 2), (1, 2)))
CHOSEN = {
    ("bert", 0, 1, 1, 1),
    ("bert", 1, 2, 2, 1),
    ("bert", 2, 4, 1, 1),
    ("bert", 3, 2, 2, 2),
    ("bert-exact", 3, 1, 2, 1),
    ("bert-tanh", 3, 1, 1, 1),
    ("bert-no-order-head", 3, 2, 2, 1),
    ("gpt", 0, 2, 1, 1),
    ("gpt", 1, 4, 2, 1),
    ("gpt", 2, 1, 2, 2),
    ("gpt", 3, 2, 1, 2),
    ("gpt-exact", 3, 1, 1, 1),
}


def cases():
    for case in ALL:
        name = "{}-version{}-tp{}-pp{}-virtual{}".format(*case)
        yield pytest.param(*case, id=name, marks=[] if case in CHOSEN else [pytest.mark.slow])


@pytest.mark.parametrize(("kind", "version", "tensor", "stages", "virtual"), cases())
def test_every_layout_keeps_every_bit_and_computes_the_same(
    tmp_path: Path, kind: str, version: int, tensor: int, stages: int, virtual: int
) -> None:
    checkpoint = tiny(kind)
    folder = written(
        checkpoint,
        tmp_path / "theirs",
        megatron_checkpoint_version=version,
        tensor_parallel=tensor,
        pipeline_parallel=stages,
        virtual_pipeline=virtual,
    )
    assert recognises(folder)
    again = open_checkpoint(folder, VOCABULARY)
    assert again.model == checkpoint.model
    assert again.step == checkpoint.step and again.training == {"samples": 44_800}
    layout = ("tensor_parallel", "pipeline_parallel", "virtual_pipeline", "version")
    assert [again.facts[name] for name in layout] == [tensor, stages, virtual, version]
    weights = read_everything(checkpoint.weights)
    for ours, theirs in ((weights, again.weights), (read_everything(checkpoint.moments), again.moments)):
        found = read_everything(theirs)
        assert found.keys() == ours.keys()
        assert all(torch.equal(value, ours[name]) for name, value in found.items())
    _require_logits(folder, checkpoint, weights)


def _require_logits(folder: Path, checkpoint, weights: dict[str, torch.Tensor]) -> None:
    tokens, real, types = inputs()
    bert = checkpoint.model.architecture == "bert"
    logits, order = Reference(folder).logits(tokens, *((real, types) if bert else ()))
    logits = logits[..., :VOCABULARY]
    theirs = [logits[real] if bert else logits, *([order] if order is not None else [])]
    expected = our_logits(checkpoint.model, weights)
    assert len(theirs) == len(expected)
    for one, other in zip(theirs, expected, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("moments", [True, False])
def test_half_precision_goes_on_from_the_float32_copies(
    tmp_path: Path, precision: str, moments: bool
) -> None:
    checkpoint = tiny("bert", moments=moments)
    folder = written(checkpoint, tmp_path / "theirs", precision=precision, pipeline_parallel=2)
    again = open_checkpoint(folder, VOCABULARY)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    stored = torch.load(folder / "iter_0000700/mp_rank_00_000/model_optim_rng.pt", weights_only=False)
    assert stored["model"]["language_model"]["embedding"]["word_embeddings"]["weight"].dtype is dtype
    for name, value in read_everything(checkpoint.weights).items():
        assert torch.equal(again.weights.read(name), value if moments else value.to(dtype))


def test_weights_without_a_step_are_a_release(tmp_path: Path) -> None:
    folder = written(tiny("gpt", moments=False, step=0), tmp_path / "theirs")
    assert (folder / "release/mp_rank_00/model_optim_rng.pt").is_file()
    assert open_checkpoint(folder, None).step == 0


def test_padding_is_left_out_and_without_a_tokenizer_counts(tmp_path: Path) -> None:
    folder = written(tiny("bert"), tmp_path / "theirs", tensor_parallel=4)
    again = open_checkpoint(folder, None)
    assert again.model.vocab_size == 512 and again.facts["vocabulary_rows"] == 512
