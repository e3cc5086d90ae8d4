"""Whole runs: interrupted and resumed equals uninterrupted, at the same layout bit for bit, at another to rounding."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import read_info
from megatron_bio.config.pretrain import PretrainConfig
from tests.distributed.comparison import compare
from tests.distributed.pool import CaseFailedError, Pool
from tests.distributed.tiny_run import config, make_data, records, tensors, train


@pytest.fixture(scope="module", params=["bert", "gpt"])
def run(request: pytest.FixtureRequest, pool: Pool, tmp_path_factory: pytest.TempPathFactory):
    """The architecture, its data, and the folder of an uninterrupted run on two data-parallel ranks."""
    folder = tmp_path_factory.mktemp(request.param)
    make_data(folder, request.param)
    pool.run(train, 2, config(folder, request.param, "through"), 1)
    return request.param, folder


def test_resumed_at_the_same_layout_is_bit_for_bit(pool: Pool, run) -> None:
    architecture, folder = run
    pool.run(train, 2, config(folder, architecture, "same", stop_at_step=3), 1)
    pool.run(train, 2, config(folder, architecture, "same"), 1)
    expected, resumed = tensors(folder / "through"), tensors(folder / "same")
    assert expected.keys() == resumed.keys()
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []
    assert records(folder / "same") == records(folder / "through")


def test_resumed_at_another_layout_is_equal_to_rounding(pool: Pool, run) -> None:
    architecture, folder = run
    pool.run(train, 2, config(folder, architecture, "other", stop_at_step=3, micro_batch_size=4), 2)
    pool.run(train, 4, config(folder, architecture, "other"), 2)
    expected, resumed = tensors(folder / "through"), tensors(folder / "other")
    assert compare(resumed, expected, 2 * 1e-3 * 6) == []
    losses = [[r["loss"] for r in records(folder / name)] for name in ("other", "through")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_checkpoint_says_what_it_is_and_a_finished_run_has_nothing_to_do(pool: Pool, run) -> None:
    architecture, folder = run
    info = read_info(resolve_checkpoint(folder / "through"))
    assert (info["step"], info["samples"]) == (6, 48)
    assert 48 < info["tokens"] <= 48 * 32
    before = records(folder / "through")
    pool.run(train, 2, config(folder, architecture, "through"), 1)
    assert records(folder / "through") == before


def interrupt_then_train(run: PretrainConfig) -> None:
    """Signal rank 1 while it trains."""
    if torch.distributed.get_rank() == 1:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, 1.5)
    train(run, 1)


def test_a_signal_to_one_rank_saves_on_all_and_ends(pool: Pool, run) -> None:
    architecture, folder = run
    long = config(
        folder, architecture, "signal", train_steps=5000, checkpoint_interval=10**6, evaluation_interval=0
    )
    pool.run(interrupt_then_train, 2, long)
    step = read_info(resolve_checkpoint(folder / "signal"))["step"]
    assert 0 < step < 5000
    assert records(folder / "signal")[-1]["step"] <= step


def test_another_configuration_does_not_continue_a_run(pool: Pool, run) -> None:
    architecture, folder = run
    changed = config(folder, architecture, "through")
    changed = replace(changed, optimizer=replace(changed.optimizer, lr=5e-3))
    with pytest.raises(
        CaseFailedError, match=r"optimizer\.lr: the checkpoint has 0\.001, the command gives 0\.005"
    ):
        pool.run(train, 1, changed, 1)


def test_tokenizer_of_other_data_is_refused(pool: Pool, run, tmp_path: Path) -> None:
    architecture, folder = run
    other = tmp_path / "other"
    other.mkdir()
    make_data(other, architecture)
    text = (other / "documents.jsonl").read_text(encoding="utf-8").replace("insulin", "metformin")
    (other / "documents.jsonl").write_text(text, encoding="utf-8")
    remake(other, architecture)
    wrong = config(folder, architecture, "wrong")
    wrong = replace(wrong, data=replace(wrong.data, tokenizer=str(other / "vocabulary")))
    with pytest.raises(CaseFailedError, match="tokenizer"):
        pool.run(train, 1, wrong, 1)
    assert not (folder / "wrong" / "checkpoints").exists()


@pytest.mark.parametrize("run", ["bert"], indirect=True)
def test_a_variant_without_order_head_shows_no_order_and_goes_on_at_another_layout(pool: Pool, run) -> None:
    _, folder = run

    def variant(**training: int) -> PretrainConfig:
        plain = config(folder, "bert", "variant", train_steps=2, **training)
        model = replace(plain.model, norm_order="post", activation="megatron", order_head=False)
        return replace(plain, model=model, data=replace(plain.data, sentence_order="none"))

    pool.run(train, 1, variant(stop_at_step=1), 1)
    pool.run(train, 2, variant(), 2)
    written = records(folder / "variant")
    assert [(line["kind"], line["step"]) for line in written] == [
        *(("train", 1), ("validation", 1), ("train", 2), ("validation", 2))
    ]
    for line in written:
        assert not [name for name in line if "order" in name]
        assert line["loss"] == line["masked_lm_loss"] > 0
    assert not [name for name in tensors(folder / "variant") if "order_head" in name or "final_" in name]


def remake(folder: Path, architecture: str) -> None:
    from megatron_bio.config.tokens import TrainVocabularyOptions
    from megatron_bio.tokens.vocabulary import train_vocabulary

    kind = "wordpiece" if architecture == "bert" else "bpe"
    train_vocabulary(
        TrainVocabularyOptions(
            inputs=[str(folder / "documents.jsonl")],
            output=folder / "vocabulary",
            type=kind,
            size=400,
            progress=False,
        )
    )
