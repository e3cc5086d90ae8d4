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
from difflib import SequenceMatcher
from pathlib import Path

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.decontamination.read import read_benchmark
from megatron_bio.corpus.document import Document, DocumentWriter, read_documents

ROOT = Path(__file__).resolve().parents[1]
CLEAN_ABSTRACTS, CLEAN_ARTICLES = 1_800, 200
COPIES = 200
FROM_DOCUMENTS = 80
"""Of the copies of each kind; the others are from the benchmarks, the same number from each."""
SENTENCES_OF_A_PASSAGE = 6
WORDS_OF_A_PASSAGE = 40
SHORT_RUN = 16
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
class Passage:
    """A text to copy, with the title that it had; `document` is the id of the clean document that it is."""

    source: str
    title: str
    text: str
    pmids: tuple[int, ...] = ()
    document: str = ""


@dataclass(frozen=True)
class Planted:
    """A document that is put among the clean ones. A control must stay, all others must be dropped."""

    kind: str
    passage: Passage
    document: Document

    def is_found(self, drops: dict[str, dict[str, str]]) -> bool:
        """Whether it was dropped for the right reason, or the document that it is a copy of was, as a copy of it."""
        entry = drops.get(self.document.id)
        if not self.passage.document:
            return entry is not None and entry["reason"] == (BY_PMID if self.kind == "PMID" else BY_TEXT)
        original = drops.get(self.passage.document)
        return (entry is not None and entry["reason"] in DUPLICATES) or (
            original is not None and original.get("of") == self.document.id
        )


class Planter:
    """Makes the planted documents; `fresh` are clean ones that nothing is a copy of, each is used once."""

    def __init__(self, fresh: list[Document], draw: random.Random) -> None:
        """Nothing is planted yet."""
        self.planted: list[Planted] = []
        self._fresh, self._draw = fresh, draw
        self._words = [word for document in fresh for word in document.text.split()]

    def plant(self, passages: Sequence[Passage], count: int) -> None:
        """`count` copies of each kind and as many controls, of passages of one source."""
        draw = self._draw
        for passage in draw.sample(passages, count):
            self._add("exact", passage, passage.title, passage.text)
        for passage in draw.sample(passages, count):
            self._add("edited", passage, *edited(passage, self._words, draw))
        for passage in draw.sample([one for one in passages if long_sentences(one.text)], count):
            host, other = self._fresh.pop(), self._fresh.pop()
            sentence = draw.choice(long_sentences(passage.text))
            if passage.document:
                self._add("sentence", passage, host.title, mostly_copied(passage.text, host.text, draw))
                self._add("control", passage, other.title, mixed([sentence], other.text, draw))
            else:
                self._add("sentence", passage, host.title, mixed([sentence], host.text, draw))
                # The words around it are in no benchmark sentence beside it, or it could go on by chance.
                control = f"Otherwise {twelve_words(sentence)} otherwise."
                self._add("control", passage, other.title, mixed([control], other.text, draw))

    def plant_pmids(self, passages: Sequence[Passage], count: int) -> None:
        """`count` documents of which only the PMID is in a benchmark."""
        for passage in self._draw.sample([one for one in passages if one.pmids], count):
            host = self._fresh.pop()
            self._add("PMID", passage, host.title, host.text, {"pmid": self._draw.choice(passage.pmids)})

    def _add(
        self, kind: str, passage: Passage, title: str, text: str, meta: dict[str, object] | None = None
    ) -> None:
        document = Document(
            id=f"planted:{len(self.planted)}", title=title, text=text, source="planted", meta=meta or {}
        )
        self.planted.append(Planted(kind, passage, document))


def main() -> None:
    """First build, plant, second build, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=Path("build/deduplication"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20_260)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    benchmarks = sorted(path for pattern in BENCHMARKS.values() for path in options.data.glob(pattern))
    texts = sorted((options.data / "text").glob("*.jsonl.xz"))
    first = options.output / "first"
    build(texts, benchmarks, first, options.workers)
    describe_first_build(first, benchmarks)
    draw = random.Random(options.seed)
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
    with DecompressedFile(output / "dropped.jsonl.zst") as raw, io.BufferedReader(raw) as lines:
        yield from map(json.loads, lines)


def describe_first_build(output: Path, benchmarks: Sequence[Path]) -> None:
    """Print what was dropped of the real text, by reason, and name what shares little with its benchmark."""
    entries = list(dropped(output))
    print("first build, real text:", dict(Counter(entry["reason"] for entry in entries)))
    items = {
        (benchmark.name, item.name): plain_words(" . ".join((*item.whole, *item.texts)))
        for benchmark in map(read_benchmark, benchmarks)
        for item in benchmark.items
    }
    for entry in entries:
        if entry["reason"] == BY_TEXT:
            words, item = (
                plain_words(f"{entry['title']} {entry['text']}"),
                items[entry["benchmark"], entry["item"]],
            )
            run = SequenceMatcher(a=words, b=item, autojunk=False).find_longest_match()
            if run.size <= SHORT_RUN:
                shared = " ".join(words[run.a : run.a + run.size])
                print(
                    f"judge    {entry['id']} {entry['benchmark']} {entry['item']}: {run.size} words, {shared}"
                )


def plain_words(text: str) -> list[str]:
    """Runs of letters and of digits, by no code of the package."""
    return re.findall(r"[^\W\d_]+|\d+", text.lower())


def clean_documents(
    texts: Sequence[Path], first: Path, draw: random.Random
) -> tuple[list[Document], list[Document]]:
    """Of the documents kept by the first build: those to keep again, and abstracts that are in none of them."""
    gone = {entry["id"] for entry in dropped(first)}
    kept: dict[bool, list[Document]] = {True: [], False: []}
    for document in read_documents(texts):
        if document.id not in gone and len(document.text.split()) >= WORDS_OF_A_PASSAGE:
            kept["pmc" in document.source].append(document)
    abstracts = draw.sample(kept[False], CLEAN_ABSTRACTS + 3 * COPIES)
    clean = abstracts[:CLEAN_ABSTRACTS] + draw.sample(kept[True], CLEAN_ARTICLES)
    return clean, abstracts[CLEAN_ABSTRACTS:]


def plant(data: Path, clean: Sequence[Document], fresh: list[Document], draw: random.Random) -> list[Planted]:
    """All copies and controls."""
    planter = Planter(fresh, draw)
    each = (COPIES - FROM_DOCUMENTS) // len(BENCHMARKS)
    for source, pattern in BENCHMARKS.items():
        passages = [one for path in sorted(data.glob(pattern)) for one in benchmark_passages(source, path)]
        planter.plant(passages, each)
        if source in ("ChemProt", "BioASQ"):
            planter.plant_pmids(passages, each)
    documents = [
        Passage("documents", document.title, document.text, document=document.id) for document in clean
    ]
    planter.plant(documents, FROM_DOCUMENTS)
    return planter.planted


def benchmark_passages(source: str, path: Path) -> Iterator[Passage]:
    """Texts of a benchmark as they are printed; sentences of token files in groups."""
    benchmark = read_benchmark(path)
    if benchmark.format == "IOB":
        sentences = [printed(item.whole[0]) for item in benchmark.items]
        found = [
            Passage(source, "", " ".join(sentences[start : start + SENTENCES_OF_A_PASSAGE]))
            for start in range(0, len(sentences), SENTENCES_OF_A_PASSAGE)
        ]
    elif source == "MedQA":
        found = [Passage(source, "", "\n".join((*item.whole, *item.texts))) for item in benchmark.items]
    else:
        found = [
            Passage(source, item.whole[0], "\n".join((*item.whole[1:], *item.texts)), item.pmids)
            for item in benchmark.items
        ]
    yield from (one for one in found if len(one.text.split()) >= WORDS_OF_A_PASSAGE)


def printed(tokens: str) -> str:
    """Tokens as a sentence is printed, about."""
    return _JOINING_MARK.sub(r"\1", _AFTER_MARK.sub(r"\1", _BEFORE_MARK.sub(r"\1", tokens)))


def long_sentences(text: str) -> list[str]:
    """Sentences of at least 16 words as white space separates them."""
    sentences = (sentence for line in text.split("\n") for sentence in _SENTENCE_END.split(line))
    return [sentence for sentence in sentences if len(sentence.split()) >= 16]


def mostly_copied(text: str, host: str, draw: random.Random) -> str:
    """All sentences of a text but one, in any order, among so many of a host that these are a third of the words at most."""
    sentences = _SENTENCE_END.split(text)
    draw.shuffle(sentences)
    sentences = sentences[: max(1, len(sentences) - 1)]
    room = sum(len(one.split()) for one in sentences) // 2
    others: list[str] = []
    for sentence in _SENTENCE_END.split(host):
        room -= len(sentence.split())
        if room < 0:
            break
        others.append(sentence)
    return mixed(others, " ".join(sentences), draw)


def twelve_words(sentence: str) -> str:
    """As many of the first words as are at most twelve when each run of letters, each of digits and each Greek letter is one."""
    taken: list[str] = []
    left = 12
    for word in sentence.split():
        left -= len(re.findall(r"[^\W\d_α-ω]+|\d+|[α-ω]", word.lower()))
        if left < 0:
            break
        taken.append(word)
    return " ".join(taken)


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
    drops = {entry["id"]: entry for entry in dropped(output)}
    copies = [one for one in planted if one.kind != "control"]
    controls = [one for one in planted if one.kind == "control"]
    found: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for one in copies:
        hit = one.is_found(drops)
        for source in (one.passage.source, "all"):
            total[one.kind, source] += 1
            found[one.kind, source] += hit
        if not hit:
            fate = drops.get(one.document.id, {"reason": "kept"})["reason"]
            print(
                f"missed  {one.document.id}, {one.kind}, {one.passage.source} {one.passage.document}: {fate}"
            )
    of_copies = {one.document.id for one in copies}
    must_stay = [*clean, *(control.document for control in controls)]
    false = [
        drops[one.id] for one in must_stay if one.id in drops and drops[one.id].get("of") not in of_copies
    ]
    for entry in false:
        print(
            "false  ",
            {key: entry[key] for key in ("id", "reason", "of", "benchmark", "item") if key in entry},
        )
    sources = [*BENCHMARKS, "documents", "all"]
    print(f"{'kind':10}" + "".join(f"{source:>14}" for source in sources))
    for kind in DEMANDED:
        cells = (f"{found[kind, one]}/{total[kind, one]}" if total[kind, one] else "" for one in sources)
        print(f"{kind:10}" + "".join(f"{cell:>14}" for cell in cells))
    parts = [f"{kind} {found[kind, 'all']}/{total[kind, 'all']}" for kind in DEMANDED]
    result = f"{'; '.join(parts)}; false positives {len(false)} of {len(must_stay)}"
    print(result)
    return result, all(found[kind, "all"] >= least * total[kind, "all"] for kind, least in DEMANDED.items())


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
