"""Does `corpus build` find planted copies of benchmark items and of documents, and does it leave all else alone?

    python benchmarks/deduplication.py DATA --output build/deduplication

DATA is a folder with text/*.jsonl.xz (real abstracts and full texts), ner/, re/ and qa/ (benchmarks). A first build over the
real text gives the clean documents: 2,000 of those that it keeps. Into them go 200 copies of each kind: exact ones, edited ones
(2 to 5 % of the words replaced, deleted or inserted; case, punctuation; a sentence more or less; the title elsewhere) and
sentences; and as many controls, which share something but must stay. A second build has to tell them apart. Prints the recall by
kind and source, every false positive with its reason, and a row for results.csv. Exit status 1 where a demand is missed.
"""

import argparse
import io
import json
import os
import platform
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.decontamination.read import read_benchmark
from megatron_bio.corpus.document import Document, DocumentWriter, read_documents

ROOT = Path(__file__).resolve().parents[1]
SEED = 20_260
CLEAN_ABSTRACTS, CLEAN_ARTICLES = 1_800, 200
COPIES = 200
FROM_DOCUMENTS = 80
"""Of the copies of each kind; the others are from the benchmarks, the same number from each."""
SENTENCES_OF_A_PASSAGE = 6
WORDS_OF_A_PASSAGE = 40
DEMANDED = {"exact": 0.99, "edited": 0.90, "sentence": 0.90, "PMID": 0.99}
CLAIM = "planted copies found: exact at least 99 %, edited and sentences at least 90 %; false positives named"
BY_TEXT, BY_PMID = "text of a benchmark", "PMID of a benchmark"
DUPLICATES = ("exact duplicate", "near duplicate", "copied sentences", "abstract inside an article")
BENCHMARKS = {
    "BC5CDR": "ner/BC5CDR-chem/*.tsv.gz",
    "NCBI-disease": "ner/NCBI-disease/*.tsv.gz",
    "ChemProt": "re/chemprot/*/*_abstracts.tsv.gz",
    "BioASQ": "qa/bioasq-*.json.gz",
    "PubMedQA": "qa/pubmedqa-*.json.gz",
    "MedQA": "qa/medqa-*.jsonl.gz",
}
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z0-9(])")
_BEFORE_MARK, _AFTER_MARK = re.compile(r" ([,.;:)\]%?!])"), re.compile(r"([(\[]) ")
_JOINING_MARK = re.compile(r" ([-/']) ")


@dataclass(frozen=True)
class Planted:
    """A document that is put among the clean ones, and the reasons for which it may be dropped; none: it must stay."""

    kind: str
    source: str
    document: Document
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Passage:
    """A text to copy, with the title that it had."""

    title: str
    text: str
    pmids: tuple[int, ...] = ()


def main() -> None:
    """First build, plant, second build, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=Path("build/deduplication"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    benchmarks = sorted(path for pattern in BENCHMARKS.values() for path in options.data.glob(pattern))
    texts = sorted((options.data / "text").glob("*.jsonl.xz"))
    first = options.output / "first"
    build(texts, benchmarks, first, options.workers)
    describe_first_build(first)
    draw = random.Random(SEED)
    clean, fresh = clean_documents(texts, first, draw)
    planted = plant(options.data, clean, fresh, draw)
    inputs = [options.output / "clean.jsonl.zst", options.output / "planted.jsonl.zst"]
    write(inputs[0], clean)
    write(inputs[1], [one.document for one in planted])
    second = options.output / "second"
    build(inputs, benchmarks, second, options.workers)
    result, good = judge(second, clean, planted)
    print_row(result, time.perf_counter() - start)
    sys.exit(0 if good else 1)


def build(inputs: Sequence[Path], benchmarks: Sequence[Path], output: Path, workers: int) -> None:
    """Run the verb, as a user does."""
    command = [
        *(sys.executable, "-m", "megatron_bio", "corpus", "build", *map(str, inputs)),
        *("--output", str(output), "--overwrite", "true", "--keep_dropped", "true"),
        *("--workers", str(workers), "--benchmarks", *map(str, benchmarks)),
    ]
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": paths})


def dropped(output: Path) -> Iterator[dict[str, str]]:
    """What a build dropped: id, reason, and of what it is a copy or which benchmark it holds."""
    for name in ("dropped.jsonl.zst", "copies.jsonl.zst"):
        with DecompressedFile(output / name) as raw, io.BufferedReader(raw) as lines:
            yield from map(json.loads, lines)


def describe_first_build(output: Path) -> None:
    """Print how many real documents were dropped, by reason."""
    reasons = {entry["id"]: entry["reason"] for entry in dropped(output)}
    print("first build, real text:", dict(Counter(reasons.values())))


def clean_documents(
    texts: Sequence[Path], first: Path, draw: random.Random
) -> tuple[list[Document], list[Document]]:
    """Of the documents kept by the first build: those to keep again, and abstracts that are in none of them."""
    gone = {entry["id"] for entry in dropped(first)}
    kept: dict[bool, list[Document]] = {True: [], False: []}
    for document in read_documents(texts):
        if document.id not in gone and len(document.text.split()) >= WORDS_OF_A_PASSAGE:
            kept["pmc" in document.source].append(document)
    abstracts = draw.sample(kept[False], CLEAN_ABSTRACTS + 4 * COPIES)
    clean = abstracts[:CLEAN_ABSTRACTS] + draw.sample(kept[True], CLEAN_ARTICLES)
    return clean, abstracts[CLEAN_ABSTRACTS:]


def plant(data: Path, clean: Sequence[Document], fresh: list[Document], draw: random.Random) -> list[Planted]:
    """All copies and controls. `fresh` documents are clean ones that nothing is a copy of, each used once."""
    planted: list[Planted] = []
    passages = {source: list(benchmark_passages(data, pattern)) for source, pattern in BENCHMARKS.items()}
    passages["documents"] = [Passage(document.title, document.text) for document in clean]
    each = (COPIES - FROM_DOCUMENTS) // len(BENCHMARKS)
    words = [word for document in fresh for word in document.text.split()]

    def add(kind: str, source: str, title: str, text: str, reasons: tuple[str, ...], pmid: int = 0) -> None:
        document = Document(
            id=f"planted:{len(planted)}", title=title, text=text, meta={"pmid": pmid} if pmid else {}
        )
        planted.append(Planted(kind, source, document, reasons))

    for source, all_passages in passages.items():
        count = FROM_DOCUMENTS if source == "documents" else each
        reasons = DUPLICATES if source == "documents" else (BY_TEXT,)
        for passage in draw.sample(all_passages, count):
            add("exact", source, passage.title, passage.text, reasons)
        for passage in draw.sample(all_passages, count):
            add("edited", source, *edited(passage, words, draw), reasons)
        for passage in draw.sample([one for one in all_passages if long_sentences(one.text)], count):
            host = fresh.pop()
            taken = [draw.choice(long_sentences(passage.text))]
            if source == "documents":
                taken = most_sentences(passage.text, len(host.text.split()), draw)
            add("sentence", source, host.title, mixed(taken, host.text, draw), reasons)
            host = fresh.pop()
            sentence = draw.choice(long_sentences(passage.text)).split()
            if source != "documents":
                sentence = sentence[
                    : 12 - sum(len(re.findall(r"[A-Za-z]+|\d+", w)) > 1 for w in sentence[:12])
                ]
            add("control", source, host.title, mixed([" ".join(sentence)], host.text, draw), ())
        for passage in draw.sample(
            [one for one in all_passages if one.pmids], each * (source in ("ChemProt", "BioASQ"))
        ):
            host = fresh.pop()
            add("PMID", source, host.title, host.text, (BY_PMID,), draw.choice(passage.pmids))
    return planted


def benchmark_passages(data: Path, pattern: str) -> Iterator[Passage]:
    """Texts of a benchmark as they are printed; sentences of token files in groups."""
    for path in sorted(data.glob(pattern)):
        benchmark = read_benchmark(path)
        if benchmark.format == "IOB":
            sentences = [printed(item.whole[0]) for item in benchmark.items]
            found = [
                Passage("", " ".join(sentences[start : start + SENTENCES_OF_A_PASSAGE]))
                for start in range(0, len(sentences), SENTENCES_OF_A_PASSAGE)
            ]
        else:
            found = [
                Passage(
                    item.whole[0] if len(item.whole) > 1 else "",
                    "\n".join((*item.whole[-1:], *item.texts)),
                    item.pmids,
                )
                for item in benchmark.items
            ]
        yield from (one for one in found if len(one.text.split()) >= WORDS_OF_A_PASSAGE)


def printed(tokens: str) -> str:
    """Tokens as a sentence is printed, about."""
    return _JOINING_MARK.sub(r"\1", _AFTER_MARK.sub(r"\1", _BEFORE_MARK.sub(r"\1", tokens)))


def long_sentences(text: str) -> list[str]:
    """Sentences of at least 16 words as white space separates them."""
    return [sentence for sentence in _SENTENCE_END.split(text) if len(sentence.split()) >= 16]


def most_sentences(text: str, words_of_host: int, draw: random.Random) -> list[str]:
    """Sentences in any order, so many that they are two thirds of the words when mixed into the host."""
    sentences = _SENTENCE_END.split(text)
    draw.shuffle(sentences)
    taken: list[str] = []
    while sentences and sum(len(one.split()) for one in taken) < 2 * words_of_host:
        taken.append(sentences.pop())
    return taken


def mixed(taken: Sequence[str], text: str, draw: random.Random) -> str:
    """The taken sentences somewhere in a text."""
    sentences = _SENTENCE_END.split(text)
    for sentence in taken:
        sentences.insert(draw.randint(0, len(sentences)), sentence)
    return " ".join(sentences)


def edited(passage: Passage, words: Sequence[str], draw: random.Random) -> tuple[str, str]:
    """Title and text with 2 to 5 % of the words changed, and each other change in every second copy."""
    text = changed_words(passage.text, words, draw)
    title = passage.title
    sentences = _SENTENCE_END.split(text)
    if draw.random() < 0.5:
        sentences.insert(
            draw.randint(0, len(sentences)), " ".join(draw.choices(words, k=20)).capitalize() + "."
        )
    elif len(sentences) > 3:
        sentences.pop(draw.randrange(len(sentences)))
    text = " ".join(sentences)
    changes: list[Callable[[str], str]] = [
        lambda old: old.replace(", ", " ").replace("-", "–").replace(";", ","),
        lambda old: old.lower() if draw.random() < 0.5 else old.upper(),
    ]
    for change in changes:
        if draw.random() < 0.5:
            text = change(text)
    if draw.random() < 0.5:
        title, text = "", f"{title} {text}".strip() if draw.random() < 0.5 else f"{text} {title}".strip()
    return title, text


def changed_words(text: str, words: Sequence[str], draw: random.Random) -> str:
    """One word after the other replaced, deleted or inserted."""
    parts = text.split(" ")
    for _ in range(max(1, round(draw.uniform(0.02, 0.05) * len(parts)))):
        at = draw.randrange(len(parts))
        what = draw.choice(("replace", "delete", "insert"))
        parts[at : at + (what != "insert")] = [] if what == "delete" else [draw.choice(words)]
    return " ".join(parts)


def write(path: Path, documents: Sequence[Document]) -> None:
    """A documents file."""
    with DocumentWriter(path) as writer:
        for document in documents:
            writer.write(document)


def judge(output: Path, clean: Sequence[Document], planted: Sequence[Planted]) -> tuple[str, bool]:
    """Print the tables; the result in words, and whether the demands are met."""
    reasons = {entry["id"]: entry for entry in dropped(output)}
    found: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    false = [(one.id, "clean", reasons[one.id]) for one in clean if one.id in reasons]
    for one in planted:
        entry = reasons.get(one.document.id)
        if not one.reasons:
            false += [(one.document.id, f"control of {one.source}", entry)] if entry else []
            continue
        hit = entry is not None and entry["reason"] in one.reasons
        for source in (one.source, "all"):
            total[one.kind, source] += 1
            found[one.kind, source] += hit
        if not hit:
            print(
                f"missed    {one.document.id} {one.kind} of {one.source}: {'kept' if entry is None else entry['reason']}"
            )
    for identifier, what, entry in false:
        story = {
            key: value for key, value in entry.items() if key not in ("id", "title", "text", "meta", "source")
        }
        print(f"false     {identifier} ({what}): {story}")
    sources = [*BENCHMARKS, "documents", "all"]
    print(f"{'kind':10}" + "".join(f"{source:>14}" for source in sources))
    for kind in DEMANDED:
        cells = (f"{found[kind, one]}/{total[kind, one]}" if total[kind, one] else "" for one in sources)
        print(f"{kind:10}" + "".join(f"{cell:>14}" for cell in cells))
    recall = {kind: found[kind, "all"] / total[kind, "all"] for kind in DEMANDED}
    must_stay = len(clean) + sum(not one.reasons for one in planted)
    print(f"false positives: {len(false)} of {must_stay:,} that must stay")
    parts = [f"{kind} {found[kind, 'all']}/{total[kind, 'all']}" for kind in DEMANDED]
    result = f"{'; '.join(parts)}; false positives {len(false)} of {must_stay}"
    return result, all(recall[kind] >= least for kind, least in DEMANDED.items())


def print_row(result: str, seconds: float) -> None:
    """The row for results.csv."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.strip()
    machine = f"{os.cpu_count()} cores {platform.machine()}"
    print(
        f'{date.today().isoformat()},{commit},{machine},deduplication,"{CLAIM}","{result}",{round(seconds)}'
    )


if __name__ == "__main__":
    main()
