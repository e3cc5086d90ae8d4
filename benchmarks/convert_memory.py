"""How much memory `megatron-bio convert` takes for models of the published sizes.

    python benchmarks/convert_memory.py --folder /disk [--shape biomegatron-1.2b …] [--formats hugging_face …] [--append]

Writes a checkpoint of random weights tensor by tensor, converts it to each of the formats and back in processes of their own, and
prints the largest resident memory of each (VmHWM, which is of the process alone, where ru_maxrss may be its parent's). A
conversion is checked, as by default. Needs about three times the model on the disk. Linux only.
"""

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from results_row import append_result

SHAPES = ("small", "biomegatron-345m", "biomegatron-1.2b", "biomedlm-2.7b")
VOCABULARY = 30_000
ALLOWED_BYTES = 1e9
"""Beside 1.5 times the largest file of weights; what is aimed at is this in all."""
_CHILD = """
import sys
from pathlib import Path
from megatron_bio.cli import main
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
def convert(source, output, target):
    Path("/proc/self/clear_refs").write_text("5")
    if main(["convert", "--checkpoint", source, "--output", output, "--to", target]):
        sys.exit(1)
    return peak()
target, *roots = sys.argv[1:]
for root in roots:
    there = convert(root + "/run", root + "/" + target, target)
    back = convert(root + "/" + target, root + "/back", "megatron_bio")
    print("KILOBYTES", there, back)
"""
"""Converts a tiny model and then the one that is measured, so that what the libraries take shows."""


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="empty folder for the checkpoints")
    parser.add_argument("--shape", choices=SHAPES, nargs="+", default=["biomegatron-1.2b", "biomedlm-2.7b"])
    parser.add_argument(
        "--formats", nargs="+", default=["hugging_face"], help="each is written and read back"
    )
    parser.add_argument(
        "--most_growth",
        type=float,
        help="fail if the peak is above a tiny model's by more than this part of the model",
    )
    parser.add_argument("--append", action="store_true", help="add the rows to results.csv")
    options = parser.parse_args()
    rows = []
    for shape in options.shape:
        for row in measure(options.folder, shape, options.formats):
            print(
                f"{row['shape']:<18} {row['conversion']:<20} model {row['size'] / 1e9:6.2f} GB, peak "
                f"{row['peak'] / 1e9:5.2f} GB, of a tiny model {row['before'] / 1e9:5.2f} GB; {row['seconds']:.0f} s there "
                f"and back",
                flush=True,
            )
            rows.append(row)
    if options.append:
        append(rows)
    grown = [(row["peak"] - row["before"]) / row["size"] for row in rows]
    if not all(row["passed"] for row in rows) or max(grown) > (options.most_growth or max(grown)):
        sys.exit("more memory than allowed")


def measure(folder: Path, shape: str, formats: list[str]) -> list[dict[str, object]]:
    """Convert one shape to the formats and back; one row per conversion."""
    tiny, root = folder / f"tiny-{shape}", folder / shape
    for place, size in ((tiny, "tiny"), (root, shape)):
        make_checkpoint(place / "run", size, architecture_of(shape))
    rows = []
    for name in formats:
        started = time.monotonic()
        base, peaks = child_peaks(name, tiny, root)
        seconds = time.monotonic() - started
        for made, conversion, before, peak in zip(
            (root / name, root / "back"), (f"to {name}", f"from {name}"), base, peaks, strict=True
        ):
            files = [path.stat().st_size for path in made.rglob("*") if path.is_file()]
            rows.append(
                {
                    "shape": shape,
                    "conversion": conversion,
                    "before": before,
                    "peak": peak,
                    "size": sum(files),
                    "seconds": seconds,
                    "passed": peak <= 1.5 * max(files) + ALLOWED_BYTES,
                }
            )
        for place in (tiny, root):
            for made in (name, "back"):
                shutil.rmtree(place / made)
    shutil.rmtree(tiny)
    shutil.rmtree(root)
    return rows


def child_peaks(name: str, *roots: Path) -> list[tuple[int, int]]:
    """Convert the runs there and back in a new process; return its largest memory in bytes during each."""
    command = [sys.executable, "-c", _CHILD, name, *map(str, roots)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("KILOBYTES")]
    return [(int(there) * 1024, int(back) * 1024) for there, back in found]


def architecture_of(shape: str) -> str:
    """Return bert or gpt."""
    return "gpt" if "biomedlm" in shape else "bert"


def make_checkpoint(folder: Path, shape: str, architecture: str) -> Path:
    """Write a run with one checkpoint of random weights, one tensor in memory, and a tokenizer of its size."""
    from megatron_bio.checkpoint.stream import write_stream
    from megatron_bio.config.model import PRESETS, ModelConfig
    from megatron_bio.convert.expected import empty_model
    from megatron_bio.parallel.parameters import initial_value
    from megatron_bio.tokens.tokenizer import Tokenizer

    own = {
        "tiny": {"num_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 1000},
        "small": {"num_layers": 8, "hidden_size": 640, "num_attention_heads": 10, "vocab_size": 2000},
    }
    values = {"architecture": architecture} | (own.get(shape) or dict(PRESETS[shape]))
    config = ModelConfig(**values)
    config = replace(config, vocab_size=config.vocab_size or VOCABULARY)
    assert config.vocab_size is not None
    write_tokenizer(folder / "tokenizer", architecture, config.vocab_size)
    parameters = dict(empty_model(config).named_parameters())

    def read(name: str):
        value = initial_value(name, parameters[name.removeprefix("model.")], 1)
        return value + 0.01 * value.new_empty(value.shape).normal_() if value.ndim == 1 else value

    described = {f"model.{name}": value.detach().to_local() for name, value in parameters.items()}
    info = {
        "format": 1,
        "step": 1000,
        "samples": 1000,
        "tokens": 1000,
        "config": {"model": asdict(config), "data": {"tokenizer": str(folder / "tokenizer")}},
        "tokenizer_fingerprint": Tokenizer.load(folder / "tokenizer").fingerprint,
    }
    write_stream(folder / "checkpoints", 1000, described, read, info)
    return folder


def write_tokenizer(folder: Path, architecture: str, size: int) -> None:
    """Write a tokenizer of `size` tokens, most of which no text has."""
    from tokenizers import pre_tokenizers

    from megatron_bio.tokens.tokenizer_files import (
        BERT_SPECIAL_TOKENS,
        END_OF_TEXT,
        build_byte_level,
        build_wordpiece,
    )
    from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,;-"
    if architecture == "bert":
        pieces = [*BERT_SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)]
    else:
        pieces = [END_OF_TEXT, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pieces += [f"unused{number}" for number in range(size - len(pieces))]
    numbered = {piece: number for number, piece in enumerate(pieces)}
    core = (
        build_wordpiece(numbered, True)
        if architecture == "bert"
        else build_byte_level(numbered, [], add_prefix_space=False)
    )
    write_tokenizer_folder(folder, core)


def append(rows: list[dict[str, object]]) -> None:
    """Add the rows to results.csv with date, commit and machine."""
    claim = "conversion takes at most 1.5 times the largest file and 1 GB"
    for row in rows:
        result = f"{row['shape']}, {row['conversion']}: {row['peak'] / 1e9:.2f} GB for {row['size'] / 1e9:.2f} GB of weights"
        append_result("convert_memory", claim, result, row["seconds"])


if __name__ == "__main__":
    main()
