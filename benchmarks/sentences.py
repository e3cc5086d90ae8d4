"""Sentence splitters on text whose sentences are known: precision, recall and F1 of the boundaries, and CPU time, in one run.

    python benchmarks/sentences.py --data ../shared/data [--mistakes 40]

The sentences are the blocks of DATA/ner/{BC2GM,BC5CDR-chem,NCBI-disease}/*.tsv.gz, one token a line. Their tokens are put together
as they were printed before somebody parted them (`detokenised`: no space before a comma, none around a hyphen, `0 . 05` is `0.05`,
`i . v .` is `i.v.`), and twenty sentences in turn make a text, with a space between. A boundary is the place between two sentences;
a splitter is right about it if it cuts between the same two characters. Not asked for are boundaries without a sentence mark
(titles; in documents a line feed stands there) and those inside a number (`P < 0.` `05`), mistakes of whoever made the files.

sentencex and nltk's punkt take part where they are installed. Punkt's English model has to be downloaded, so it is trained here, as
punkt is without known sentences, on the abstracts of DATA/text.
"""

import argparse
import gzip
import importlib
import json
import lzma
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, islice, pairwise
from pathlib import Path

from megatron_bio.tokens.sentences import split_sentences

Splitter = Callable[[str], list[str]]
SETS = ("BC2GM", "BC5CDR-chem", "NCBI-disease")
SENTENCES_PER_TEXT = 20
ABSTRACTS_FOR_PUNKT = 3000
NAIVE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9(\[\"])")

NO_SPACE_BEFORE = set(".,;:)]}%?!'")
NO_SPACE_AFTER = set("([{'")
NO_SPACE_AROUND = set("-/_")
BEFORE_A_FRACTION = {"than", "=", "<", ">", "(", "-", "was", "of", "interval", "to", "and"}
ENDS = re.compile(r"[.!?][)\]}\"']*$")


@dataclass
class Score:
    """What one splitter did."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    doubtful: int = 0
    seconds: float = 0.0
    mistakes: list[str] = field(default_factory=list)

    def line(self, name: str, megabytes: float) -> str:
        """One row of the table."""
        precision, recall = self.right / (self.right + self.wrong), self.right / (self.right + self.missed)
        return (
            f"| {name} | {precision:.4f} | {recall:.4f} | {2 * precision * recall / (precision + recall):.4f} | {self.wrong} | "
            f"{self.missed} | {megabytes / self.seconds:.0f} |"
        )


def detokenised(tokens: list[str]) -> str:
    """A sentence as it was printed, as far as its tokens tell."""
    text, quoted = "", False
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else ""
        opens, quoted = token == '"' and not quoted, quoted != (token == '"')
        following = tokens[number + 1] if number + 1 < len(tokens) else ""
        if token == "." and before in BEFORE_A_FRACTION and following.isdigit():
            text += " ."
            continue
        joined = (
            not text
            or token in NO_SPACE_BEFORE
            or before in NO_SPACE_AFTER
            or token in NO_SPACE_AROUND
            or before in NO_SPACE_AROUND
            or (before == '"' and quoted)
            or (token == '"' and not opens)
            or (before in (".", ",") and token[0].isdigit() and _is_before_digits(tokens[number - 2]))
            or (before == "." and _is_dotted(tokens, number))
        )
        text += token if joined else f" {token}"
    return text


def _is_before_digits(token: str) -> bool:
    """Whether a mark and digits after this are one with it: 19p13.3, 0.05, PU.1, c.2097, P < .05."""
    return (
        token[-1].isdigit()
        or len(token) == 1
        or token in BEFORE_A_FRACTION
        or (token.isupper() and len(token) < 4)
    )


def _is_dotted(tokens: list[str], number: int) -> bool:
    """Whether this is the second letter of `i . v .` or a later one."""
    letters = tokens[number - 2 : number - 1] + tokens[number : number + 1]
    following = tokens[number + 1 : number + 2]
    return following == ["."] and all(len(letter) == 1 and letter.islower() for letter in letters)


def read_sentences(path: Path) -> Iterator[str]:
    """The sentences of an IOB file."""
    tokens: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            token = line.split("\t")[0].strip()
            if token:
                tokens.append(token)
            elif tokens:
                yield detokenised(tokens)
                tokens = []
    if tokens:
        yield detokenised(tokens)


def places_after(sentences: list[str]) -> list[int]:
    """How many characters that are no white space stand before the end of each sentence but the last."""
    return list(accumulate(len("".join(sentence.split())) for sentence in sentences[:-1]))


def is_doubtful(sentence: str, following: str) -> bool:
    """Whether no splitter is asked about this boundary: no mark before it, or a number that was cut at its point."""
    return not ENDS.search(sentence) or (sentence[-2:-1].isdigit() and following[0].isdigit())


def judge(splitter: Splitter, texts: list[list[str]]) -> Score:
    """Compare with the known sentences of all texts."""
    score = Score()
    for sentences in texts:
        text = " ".join(sentences)
        started = time.process_time()
        found = splitter(text)
        score.seconds += time.process_time() - started
        known = places_after(sentences)
        doubtful = {
            place for place, pair in zip(known, pairwise(sentences), strict=True) if is_doubtful(*pair)
        }
        asked = set(known) - doubtful
        cut = set(places_after([part for part in found if part.strip()])) - doubtful
        score.doubtful += len(doubtful)
        score.right += len(asked & cut)
        score.wrong += len(cut - asked)
        score.missed += len(asked - cut)
        characters = [place for place, character in enumerate(text) if not character.isspace()]
        for number in sorted(asked ^ cut):
            place = characters[number]
            kind = "cut   " if number in cut else "missed"
            score.mistakes.append(f"{kind} {text[max(0, place - 40) : place]!r} {text[place : place + 30]!r}")
    return score


def splitters(data: Path) -> dict[str, Splitter]:
    """Ours, and what is installed."""
    found: dict[str, Splitter] = {"ours": split_sentences}
    try:
        segment = importlib.import_module("sentencex").segment
        found["sentencex"] = lambda text: list(segment("en", text))
    except ImportError:
        print("sentencex is not installed: left out")
    try:
        punkt = importlib.import_module("nltk.tokenize.punkt")
        found["punkt, trained on abstracts"] = punkt.PunktSentenceTokenizer(abstracts(data)).tokenize
    except ImportError:
        print("nltk is not installed: left out")
    found["a mark, white space, a capital"] = NAIVE.split
    return found


def abstracts(data: Path) -> str:
    """Text to train punkt on."""
    with lzma.open(data / "text/abstracts.jsonl.xz", "rt", encoding="utf-8") as lines:
        return "\n".join(json.loads(line)["text"] for line in islice(lines, ABSTRACTS_FOR_PUNKT))


def main() -> None:
    """Judge all splitters on all sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mistakes", type=int, default=0, help="how many of ours to show for each set")
    arguments = parser.parse_args()
    candidates = splitters(arguments.data)
    for name in SETS:
        paths = sorted((arguments.data / "ner" / name).glob("*.tsv.gz"))
        known = [sentence for path in paths for sentence in read_sentences(path)]
        texts = [
            known[start : start + SENTENCES_PER_TEXT] for start in range(0, len(known), SENTENCES_PER_TEXT)
        ]
        megabytes = sum(len(sentence.encode()) + 1 for sentence in known) / 1e6
        print(f"\n{name}: {len(known):,} sentences, {megabytes:.2f} MB")
        print("| splitter | precision | recall | F1 | wrong | missed | MB/s |\n|---|---|---|---|---|---|---|")
        for splitter, work in candidates.items():
            score = judge(work, texts)
            print(score.line(splitter, megabytes), flush=True)
            if splitter == "ours":
                mistakes, doubtful = score.mistakes, score.doubtful
        print(f"{doubtful} boundaries were not asked for")
        print(
            "\n".join(mistakes[:: max(1, len(mistakes) // arguments.mistakes)] if arguments.mistakes else [])
        )


if __name__ == "__main__":
    main()
