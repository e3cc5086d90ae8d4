"""Which documents a vocabulary is trained on."""

import itertools
import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_bio.config.tokens import TrainVocabularyOptions
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.tokenizer_files import TRAINING_RECORD
from megatron_bio.tokens.vocabulary import train_vocabulary
from megatron_bio.tokens.vocabulary_sample import NO_LIMIT, TextReader, place_in_sample, sample_limit


def write(path: Path, numbers: list[int]) -> str:
    with DocumentWriter(path) as writer:
        for number in numbers:
            writer.write(Document(id=str(number), text=f"Word{number} " * (1 + number % 5)))
    return str(path)


@pytest.fixture
def options(tmp_path: Path) -> TrainVocabularyOptions:
    files = [
        write(tmp_path / "a.jsonl.zst", list(range(60))),
        write(tmp_path / "b.jsonl.zst", list(range(60, 100))),
    ]
    return TrainVocabularyOptions(inputs=files, output=tmp_path / "t", sample=30, size=280, progress=False)


def test_the_smallest_places_are_taken_in_any_order() -> None:
    documents = [(5, 1), (1, 1), (4, 1), (2, 1), (3, 1)]
    for order in itertools.permutations(documents):
        assert sample_limit(order, 3) == 4
    assert sample_limit(documents, 5) == NO_LIMIT
    assert sample_limit(documents, 99) == NO_LIMIT
    assert sample_limit([], 3) == NO_LIMIT


def test_sizes_reach_what_is_wanted_with_the_last_one() -> None:
    documents = [(5, 10), (1, 20), (4, 30), (2, 5), (3, 1)]
    for order in itertools.permutations(documents):
        assert sample_limit(order, 20) == 2
        assert sample_limit(order, 21) == 3
        assert sample_limit(order, 26) == 4
        assert sample_limit(order, 27) == 5
        assert sample_limit(order, 57) == NO_LIMIT


def test_many_documents_against_sorting() -> None:
    generator = random.Random(3)
    places = generator.sample(range(1000), 500)
    documents = [(place, generator.randrange(1, 50)) for place in places]
    for wanted in (1, 7, 500, 4000):
        limit = sample_limit(documents, wanted)
        taken = [size for place, size in documents if place < limit]
        shortest = next(
            number
            for number in range(1, 501)
            if sum(size for _, size in sorted(documents)[:number]) >= wanted
        )
        assert len(taken) == shortest


def test_equal_ids_stay_together() -> None:
    assert sample_limit([(1, 1), (2, 1), (2, 1)], 2) == 2


def test_the_sample_does_not_depend_on_files_and_their_order(
    options: TrainVocabularyOptions, tmp_path: Path
) -> None:
    first = TextReader(options)
    texts = list(first.texts(""))
    assert (len(texts), first.documents, first.documents_read) == (30, 30, 100)
    assert first.words == sum(len(text.split()) for text in texts)
    assert first.characters == sum(map(len, texts))
    assert list(first.texts("")) == texts
    one_file = write(tmp_path / "c.jsonl.zst", list(range(99, -1, -1)))
    again = TextReader(replace(options, inputs=[one_file]))
    assert sorted(again.texts("")) == sorted(texts)


def test_seeds_give_other_samples(options: TrainVocabularyOptions) -> None:
    one, two = (set(TextReader(replace(options, seed=seed)).texts("")) for seed in (1, 2))
    assert one != two
    assert 2 <= len(one & two) <= 16  # 9 are expected of two samples of 30 of 100.
    assert place_in_sample("1", 1) != place_in_sample("1", 2)
    assert place_in_sample("pubmed:1", 1) == 13948493581479691980  # The same for ever, on every machine.


def test_characters(options: TrainVocabularyOptions) -> None:
    reader = TextReader(replace(options, sample=300, sample_unit="characters"))
    sizes = [len(text) for text in reader.texts("")]
    assert 300 <= sum(sizes) < 300 + 5 * 8
    assert reader.characters == sum(sizes)


@pytest.mark.parametrize("method", ["direct", "sentencepiece", "bpe"])
def test_training_sees_the_sample_only(
    options: TrainVocabularyOptions, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = {"type": "bpe"} if method == "bpe" else {"method": method}
    train_vocabulary(replace(options, **kind))
    record = json.loads((options.output / TRAINING_RECORD).read_text())
    assert (record["documents"], record["documents_read"]) == (30, 100)
    assert "30 documents (a sample of 100)" in capsys.readouterr().out


def test_a_sample_of_what_can_be_read_only_once_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    options = TrainVocabularyOptions(inputs=[str(pipe)], output=tmp_path / "v", sample=3, progress=False)
    with pytest.raises(TokenizerError, match="pipe is no regular file and can be read only once"):
        list(TextReader(options).texts("reading"))
