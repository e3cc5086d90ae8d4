"""The whole `preprocess` side by side with Megatron-LM's `tools/preprocess_data.py`, start-up included: same texts, same files.

    python benchmarks/preprocess.py --data ../shared/data --megatron PATH/TO/Megatron-LM

reads DATA/text/*.jsonl.xz, title and text of each document once, into one plain JSONL file, and makes token data of it

* of sentences, with BERT's cased vocabulary: Megatron-LM's pass that splits, then the one that encodes;
* of documents that end with GPT-2's <|endoftext|>.

The peer encodes with its HuggingFaceTokenizer, needs torch and transformers, and runs from its own folder. Its splitter is nltk's
punkt, whose data are not to be had without a download: a module called nltk stands in that gives it this project's splitter, which
is faster than punkt. Both sides run in turn, in processes of their own. Each is run on ten documents too, which shows the start-up.
That the files of both are equal, byte for byte, is checked. Without --megatron the peer is left out.
"""

import argparse
import filecmp
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tokens import read_texts

HERE = Path(__file__).parents[1]
FEW = 10
STAND_IN = {
    "nltk/__init__.py": "import nltk.tokenize.punkt\n"
    "from megatron_bio.tokens.sentences import split_sentences\n"
    "class Splitter:\n"
    "    def tokenize(self, text):\n"
    "        return split_sentences(text)\n"
    "def download(*names, **options):\n"
    "    return True\n"
    "def load(url):\n"
    "    return Splitter()\n",
    "nltk/tokenize/__init__.py": "",
    "nltk/tokenize/punkt.py": "class PunktLanguageVars:\n    pass\n",
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some commands took."""

    wall: float
    cpu: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(wall=self.wall + other.wall, cpu=self.cpu + other.cpu)

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.cpu:.1f} CPU s)"


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One kind of token data."""

    name: str
    level: str
    """What the peer puts into its file names."""
    tokenizer: Path
    flags: tuple[str, ...]
    """The peer's, for this kind."""


def run(command: list[str], log: Path, paths: list[Path]) -> Cost:
    """Run a command to its end. Raises RuntimeError with the last lines of its output if it fails."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "HF_HUB_OFFLINE": "1"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with log.open("wb") as output:
        done = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-3000:]}")
    return Cost(wall=wall, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def ours(mode: Mode, texts: Path, output: Path, workers: int) -> Cost:
    """`megatron-bio preprocess`."""
    command = [
        sys.executable,
        "-m",
        "megatron_bio",
        "preprocess",
        "--inputs",
        str(texts),
        "--output",
        str(output),
    ]
    command += ["--tokenizer", str(mode.tokenizer), "--workers", str(workers), "--progress", "false"]
    return run(command, output.with_suffix(".log"), [HERE])


def peer(mode: Mode, texts: Path, output: Path, workers: int, megatron: Path, stand_in: Path) -> Cost:
    """Megatron-LM's tool; for sentences it has to be called twice, and goes on from the file of the first call."""
    command = [sys.executable, str(megatron / "tools/preprocess_data.py"), "--input", str(texts)]
    command += ["--output-prefix", str(output), "--workers", str(workers), "--log-interval", "100000000"]
    command += [
        "--tokenizer-type",
        "HuggingFaceTokenizer",
        "--tokenizer-model",
        str(mode.tokenizer),
        *mode.flags,
    ]
    passes = 2 if mode.level == "sentence" else 1
    log = output.with_suffix(".log")
    return sum((run(command, log, [megatron, stand_in, HERE]) for _ in range(passes)), Cost(wall=0, cpu=0))


def write_texts(path: Path, texts: list[str]) -> None:
    """One JSON object with the key `text` a line."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"text": text}) + "\n" for text in texts)


def write_tokenizers(folder: Path, vocabularies: Path) -> tuple[Path, Path]:
    """Folders of BERT's cased and of GPT-2's vocabulary, with the configuration that both sides read."""
    bert, gpt2 = folder / "bert", folder / "gpt2"
    bert.mkdir()
    gpt2.mkdir()
    (bert / "vocab.txt").write_bytes((vocabularies / "bert-cased.txt").read_bytes())
    (bert / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}'
    )
    (gpt2 / "vocab.json").write_bytes(gzip.decompress((vocabularies / "gpt2-vocab.json.gz").read_bytes()))
    (gpt2 / "merges.txt").write_bytes((vocabularies / "gpt2-merges.txt").read_bytes())
    (gpt2 / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}'
    )
    return bert, gpt2


def equal(output: Path, other: Path) -> bool:
    """Whether both .bin and both .idx have the same bytes."""
    return all(
        filecmp.cmp(f"{output}{suffix}", f"{other}{suffix}", shallow=False) for suffix in (".bin", ".idx")
    )


def compare(mode: Mode, folder: Path, megabytes: float, arguments: argparse.Namespace) -> str:
    """Both sides on few documents and on all."""
    lines = []
    for name in ("few", "all"):
        texts, output = folder / f"{name}.jsonl", folder / f"ours-{mode.level}-{name}"
        cost = ours(mode, texts, output, arguments.workers)
        line = f"{mode.name}, {'start-up' if name == 'few' else f'{megabytes:.1f} MB'}: ours {cost}"
        if arguments.megatron:
            split = folder / f"{name}_ss.jsonl"
            split.unlink(missing_ok=True)
            other = folder / f"megatron-{mode.level}-{name}"
            theirs = peer(
                mode, texts, other, arguments.workers, arguments.megatron.resolve(), folder / "stand-in"
            )
            same = equal(output, other.with_name(f"{other.name}_text_{mode.level}"))
            line += (
                f", Megatron-LM {theirs}: {theirs.wall / cost.wall:.1f} times as fast, {theirs.cpu / cost.cpu:.1f} times less "
                f"CPU; files {'equal' if same else 'DIFFER'}"
            )
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Compare sentences, then documents."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--megatron", type=Path, help="a checkout of Megatron-LM; without it only ours is timed"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--modes", nargs="*", default=["sentences", "documents"])
    arguments = parser.parse_args()
    if not arguments.megatron:
        print("no --megatron given: the peer is left out")
    texts = [text for text in map(str.strip, read_texts(arguments.data / "text")) if text]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, content in STAND_IN.items():
            (folder / "stand-in" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "stand-in" / path).write_text(content)
        write_texts(folder / "few.jsonl", texts[:FEW])
        write_texts(folder / "all.jsonl", texts)
        bert, gpt2 = write_tokenizers(folder, arguments.data / "vocab")
        flags = ("--split-sentences", "--tokenizer-hf-no-include-special-tokens")
        modes = [
            Mode(name="sentences", level="sentence", tokenizer=bert, flags=flags),
            Mode(name="documents", level="document", tokenizer=gpt2, flags=("--append-eod",)),
        ]
        for mode in modes:
            if mode.name in arguments.modes:
                print(compare(mode, folder, megabytes, arguments), flush=True)


if __name__ == "__main__":
    main()
