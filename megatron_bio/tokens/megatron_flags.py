"""The flags of Megatron-LM's tools preprocess_data.py and merge_datasets.py → the options of this library's verbs.

Names of flags and of output files are those of Megatron-LM (tools/, core 0.16); what a run writes has the same form.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.config.errors import REFUSALS, UserError
from megatron_bio.config.tokens import MergeOptions, PreprocessOptions
from megatron_bio.tokens.errors import PreprocessError, TokenDataError
from megatron_bio.tokens.merge import merge
from megatron_bio.tokens.preprocess import preprocess

LOWERCASE = {"BertWordPieceLowerCase": True, "BertWordPieceCase": False}
GPT2 = "GPT2BPETokenizer"
HUGGING_FACE = "HuggingFaceTokenizer"
TOKENIZER_TYPES = (*LOWERCASE, GPT2, HUGGING_FACE)
WITHOUT_MEANING = {
    "partitions": "the input is read in one pass by all workers",
    "keep_sequential_samples": "the order of the input is always kept",
    "log_interval": "progress is shown on a terminal",
    "vocab_size": "the vocabulary's own size is taken",
    "padded_vocab_size": "the vocabulary's own size is taken",
    "make_vocab_size_divisible_by": "the model pads its own tables",
    "vocab_extra_ids": "no ids are added here",
    "tokenizer_hf_use_fast": "the fast tokenizer is always taken",
    "tokenizer_hf_include_special_tokens": "texts get no special tokens here; samples add them",
    "tokenizer_hf_no_include_special_tokens": "texts get no special tokens here; samples add them",
}
"""Flags that are taken with a note, and why they change nothing."""
IMPOSSIBLE = {
    "keep_newlines": "sentences are stored without the space around them. Leave it out",
    "tokenizer_special_tokens": "the files of the tokenizer say which they are. Leave it out",
    "find_optimal_num_workers": "the output and the speed per core do not depend on it. Give --workers the number of cores",
    "tokenizer_hf_no_use_fast": "only fast tokenizers are read. Leave it out",
    "trust_remote_code": "no code of others is run. Leave it out",
    "tiktoken_pattern": "tiktoken's files are not read. Use a Hugging Face folder with tokenizer.json",
    "tokenizer_metadata": "the files of the tokenizer say all. Leave it out",
}
"""Flags that are refused, with what to do instead."""


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What Megatron's flags mean here."""

    runs: tuple[PreprocessOptions, ...]
    """One for each of --json-keys."""
    notes: tuple[str, ...]
    """Flags that were taken and change nothing."""


def translate_preprocess(words: Sequence[str]) -> Translation:
    """Raises PreprocessError for flags that have no counterpart here, and names it where there is one."""
    given = vars(_preprocess_parser().parse_args(words))
    for flag, reason in IMPOSSIBLE.items():
        if given[flag]:
            raise PreprocessError(f"--{flag.replace('_', '-')}: not done here: {reason}.")
    if given["lang"].lower() != "english":
        raise PreprocessError(
            f"--lang: expected english, the only language whose sentences are split here, found {given['lang']}. Split the "
            f"sentences yourself and give one document per line without --split-sentences."
        )
    tokenizer, lowercase = _tokenizer(given)
    level = "sentence" if given["split_sentences"] else "document"
    prefix = Path(given["output_prefix"])
    runs = [
        PreprocessOptions(
            inputs=[given["input"]],
            tokenizer=tokenizer,
            output=prefix.with_name(f"{prefix.name}_{key}_{level}"),
            keys=[key],
            split_sentences=given["split_sentences"],
            append_eod=given["append_eod"],
            lowercase=lowercase,
            workers=given["workers"],
        )
        for key in given["json_keys"]
    ]
    notes = [
        f"--{flag.replace('_', '-')} changes nothing: {reason}"
        for flag, reason in WITHOUT_MEANING.items()
        if given[flag] is not None and given[flag] is not False
    ]
    return Translation(runs=tuple(runs), notes=tuple(notes))


def translate_merge(words: Sequence[str]) -> MergeOptions:
    """The token data of a folder in the order of their names; raises TokenDataError where there are none."""
    given = vars(_merge_parser().parse_args(words))
    if given["multimodal"]:
        raise TokenDataError(
            "--multimodal: data with modes are not read here. Use Megatron-LM's own tool for them."
        )
    folder = Path(given["input"])
    prefixes = sorted(str(path.with_suffix("")) for path in folder.glob("*.idx"))
    if not prefixes:
        raise TokenDataError(
            f"--input {folder}: expected a folder with .idx and .bin files, found no .idx file there."
        )
    return MergeOptions(inputs=prefixes, output=Path(given["output_prefix"]))


def preprocess_main(words: Sequence[str]) -> int:
    """Runs `preprocess` as the flags say; gives the exit status."""

    def work() -> None:
        translation = translate_preprocess(words)
        for note in translation.notes:
            print(f"preprocess_data: {note}", file=sys.stderr)
        for options in translation.runs:
            preprocess(options)

    return _guarded("preprocess_data", work)


def merge_main(words: Sequence[str]) -> int:
    """Runs `merge` as the flags say; gives the exit status."""
    return _guarded("merge_datasets", lambda: merge(translate_merge(words)))


def _guarded(program: str, work: Callable[[], None]) -> int:
    try:
        work()
    except UserError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    return 0


def _tokenizer(given: dict[str, str]) -> tuple[Path, bool | None]:
    """The tokenizer's files, and whether it lower-cases where the type says so."""
    kind = given["tokenizer_type"]
    if kind in LOWERCASE:
        return _required(given, "vocab_file", kind), LOWERCASE[kind]
    if kind == GPT2:
        return _byte_level_folder(
            _required(given, "vocab_file", kind),
            _required(given, "merge_file", kind),
            Path(f"{given['output_prefix']}_tokenizer"),
        ), None
    if kind == HUGGING_FACE:
        folder = _required(given, "tokenizer_model", kind)
        if not folder.exists():
            raise PreprocessError(
                f"--tokenizer-model: expected a folder with tokenizer.json on this machine, found none at {folder}. Nothing is "
                f"downloaded: fetch it first."
            )
        return folder, None
    raise PreprocessError(
        f"--tokenizer-type: expected one of {', '.join(TOKENIZER_TYPES)}, found {kind}. A tokenizer that Hugging Face can save "
        f"as tokenizer.json (WordPiece or byte-level BPE) goes with {HUGGING_FACE}."
    )


def _required(given: dict[str, str], flag: str, kind: str) -> Path:
    if not given[flag]:
        raise PreprocessError(
            f"--tokenizer-type {kind}: expected --{flag.replace('_', '-')} with it, found none. Give it."
        )
    return Path(given[flag])


def _byte_level_folder(vocabulary: Path, merges: Path, folder: Path) -> Path:
    """The folder of both files if they have their usual names there, else one beside the output with copies of them."""
    if vocabulary.parent == merges.parent and (vocabulary.name, merges.name) == ("vocab.json", "merges.txt"):
        return vocabulary
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(vocabulary, folder / "vocab.json")
        shutil.copyfile(merges, folder / "merges.txt")
    except OSError as error:
        raise PreprocessError(
            f"{error.filename}: expected GPT-2's vocabulary and merges to read, and {folder} to write, found: {error.strerror}."
        ) from error
    return folder


def _preprocess_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="preprocess_data.py",
        description="JSONL to token data with Megatron-LM's flags; `megatron-bio preprocess` has more.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--input", required=True, help="JSONL file (plain or compressed) or glob pattern")
    add("--json-keys", nargs="+", default=["text"], help="keys of the texts; each gives an output of its own")
    add(
        "--split-sentences", action="store_true", help="one sequence per sentence, by this library's splitter"
    )
    add("--append-eod", action="store_true", help="put the end-of-document token after each document")
    add("--lang", default="english", help="only english")
    add("--output-prefix", required=True, help="outputs are named PREFIX_KEY_document or PREFIX_KEY_sentence")
    add("--workers", type=int, default=1, help="processes")
    add("--tokenizer-type", required=True, help=", ".join(TOKENIZER_TYPES))
    add("--vocab-file", help="vocab.txt for BERT, vocab.json for GPT-2")
    add("--merge-file", help="merges.txt for GPT-2")
    add("--tokenizer-model", help="folder of a Hugging Face tokenizer")
    for flag in ("--partitions", "--log-interval", "--vocab-size", "--padded-vocab-size"):
        add(flag, type=int, help=argparse.SUPPRESS)
    for flag in ("--make-vocab-size-divisible-by", "--vocab-extra-ids"):
        add(flag, type=int, help=argparse.SUPPRESS)
    for flag in (
        "--keep-sequential-samples",
        "--keep-newlines",
        "--find-optimal-num-workers",
        "--trust-remote-code",
    ):
        add(flag, action="store_true", help=argparse.SUPPRESS)
    for flag in ("use-fast", "no-use-fast", "include-special-tokens", "no-include-special-tokens"):
        add(f"--tokenizer-hf-{flag}", action="store_true", help=argparse.SUPPRESS)
    for flag in ("--workers-to-check", "--tokenizer-special-tokens"):
        add(flag, nargs="+", help=argparse.SUPPRESS)
    for flag in ("--max-documents", "--tiktoken-pattern", "--tokenizer-metadata"):
        add(flag, help=argparse.SUPPRESS)
    return parser


def _merge_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="merge_datasets.py",
        description="All token data of a folder to one, with Megatron-LM's flags; `megatron-bio merge` takes prefixes.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--input", required=True, help="folder of .bin and .idx files, joined in the order of their names"
    )
    parser.add_argument("--output-prefix", required=True, help="output without .bin and .idx")
    parser.add_argument("--multimodal", action="store_true", help=argparse.SUPPRESS)
    return parser
