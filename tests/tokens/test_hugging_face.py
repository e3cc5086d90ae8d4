"""Hugging Face's AutoTokenizer reads our folders and gives our ids, and we read the folders that it writes."""

import os
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.tokens import TrainVocabularyOptions
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.vocabulary import train_vocabulary

pytestmark = pytest.mark.peer

TEXTS = [
    "Acetylcholinesterase inhibitors lower TNF-α (p < 0.05); 10⁶ cells/ml, 5 µg [PAD].",
    "Naïve Élan\tÜber 中文 ﬁ\u00a0x\u200b\n\nnew  lines ",
    "don't <|endoftext|> we've [MASK]",
    "",
]


@pytest.fixture(scope="module")
def auto_tokenizer() -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    return pytest.importorskip("transformers", reason="transformers is not installed").AutoTokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "d.jsonl.zst"
    with DocumentWriter(path) as writer:
        for number in range(20):
            writer.write(Document(id=str(number), title="Acetyl inhibitors", text=" ".join(TEXTS)))
    return path


@pytest.mark.parametrize(
    ("kind", "method", "lowercase"),
    [
        ("wordpiece", "direct", False),
        ("wordpiece", "direct", True),
        ("wordpiece", "sentencepiece", False),
        ("wordpiece", "sentencepiece", True),
        ("bpe", "direct", False),
    ],
)
def test_same_ids(
    auto_tokenizer: Any, corpus: Path, tmp_path: Path, kind: Any, method: Any, lowercase: bool
) -> None:
    folder = tmp_path / "tokenizer"
    train_vocabulary(
        TrainVocabularyOptions(
            inputs=[str(corpus)],
            output=folder,
            type=kind,
            method=method,
            lowercase=lowercase,
            size=330,
            unused=2 if kind == "wordpiece" else 0,
        )
    )
    ours = Tokenizer.load(folder)
    theirs = auto_tokenizer.from_pretrained(folder)
    expected = theirs(TEXTS, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert [ids.tolist() for ids in ours.encode_batch(TEXTS)] == expected
    assert len(theirs) == ours.vocab_size
    if kind == "wordpiece":
        assert theirs.model_max_length == 512
        pair = theirs("don", "we")
        assert [pair["input_ids"][0], pair["input_ids"][-1]] == [ours.cls, ours.sep]
        assert sorted(set(pair["token_type_ids"])) == [0, 1]
        assert (theirs.pad_token_id, theirs.mask_token_id, theirs.unk_token_id) == (
            ours.pad,
            ours.mask,
            ours.unk,
        )
    else:
        assert theirs.model_max_length == 1024
        assert theirs.eos_token_id == ours.eod
        assert theirs("don")["input_ids"] == ours.encode_batch(["don"])[0].tolist()
    theirs.save_pretrained(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved").fingerprint == ours.fingerprint
    for name in ("tokenizer.json", "special_tokens_map.json"):
        (folder / name).unlink()
    assert Tokenizer.load(folder).fingerprint == ours.fingerprint
    older = auto_tokenizer.from_pretrained(folder)
    assert older(TEXTS, add_special_tokens=False, split_special_tokens=True)["input_ids"] == expected
