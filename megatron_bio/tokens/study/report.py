"""A study as text for the terminal, as Markdown for a document, and as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from megatron_bio.tokens.study.measure import Study
from megatron_bio.tokens.study.vocabulary import Cuts, StudiedVocabulary

FORMAT = 1
BREAK_RATE = "tokens of entity words / entity words"


def as_text(study: Study) -> str:
    """Tables in columns, a vocabulary a line."""
    lines = _columns(_summary(study))
    for index, word in enumerate(study.words):
        if index == 0:
            lines += ["", "pieces"]
        lines.append(f"  {word}")
        width = max(len(vocabulary.name) for vocabulary in study.vocabularies)
        for vocabulary, pieces in zip(study.vocabularies, study.pieces[index], strict=True):
            lines.append(f"    {vocabulary.name:<{width}}  {' '.join(pieces)}")
    lines += _notes(study)
    return "\n".join(lines)


def as_markdown(study: Study) -> str:
    """The same tables in Markdown."""
    lines = _markdown_table(_summary(study))
    if study.words:
        rows = [["", *study.words]]
        for index, vocabulary in enumerate(study.vocabularies):
            rows.append([vocabulary.name, *(" ".join(pieces[index]) for pieces in study.pieces)])
        lines += ["", *_markdown_table(rows)]
    lines += _notes(study)
    return "\n".join(lines)


def as_json(study: Study) -> str:
    """Everything that was counted, with fingerprints of the vocabularies and sha256 of the data sets."""
    content = {
        "format": FORMAT,
        "vocabularies": {vocabulary.name: _about(vocabulary) for vocabulary in study.vocabularies},
        "entities": {
            dataset.name: {
                "sha256": dataset.sha256,
                "entity_words": dataset.words.total(),
                "all_words": dataset.all_words,
                "cuts": _cuts(study, cuts),
            }
            for dataset, cuts in zip(study.entities, study.entity_cuts, strict=True)
        },
        "text": _cuts(study, study.text_cuts) if study.text_cuts else None,
        "pieces": {
            word: dict(zip((vocabulary.name for vocabulary in study.vocabularies), pieces, strict=True))
            for word, pieces in zip(study.words, study.pieces, strict=True)
        },
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def _summary(study: Study) -> list[list[str]]:
    """The head and one row for each vocabulary."""
    head = ["vocabulary", "tokens", "case"]
    head += [f"{dataset.name} ({dataset.words.total():,} entity words)" for dataset in study.entities]
    if study.text_cuts:
        head += [f"tokens/word of {study.text_cuts[0].words:,} words", "whole words", "unknown tokens"]
    rows = [head]
    for index, vocabulary in enumerate(study.vocabularies):
        row = [
            vocabulary.name,
            f"{vocabulary.size:,}",
            "uncased" if vocabulary.lowercase else "cased",
            *(_rate(cuts[index]) for cuts in study.entity_cuts),
        ]
        if study.text_cuts:
            cuts = study.text_cuts[index]
            row += [
                f"{cuts.tokens_per_word:.3f}",
                f"{100 * cuts.whole / max(1, cuts.words):.1f} %",
                f"{100 * cuts.unknown_tokens / max(1, cuts.tokens):.4f} %",
            ]
        rows.append(row)
    return rows


def _rate(cuts: Cuts) -> str:
    """The break rate; unknown words are named, for [UNK] is one token and flatters it."""
    unknown = f" ({cuts.unknown:,} unknown)" if cuts.unknown else ""
    return f"{cuts.tokens_per_word:.3f}{unknown}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if number == 0 else f"{cell:>{width}}"
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def _notes(study: Study) -> list[str]:
    notes = [f"{vocabulary.name}: {note}" for vocabulary in study.vocabularies for note in vocabulary.notes]
    explanation = [f"Numbers beside data sets are {BREAK_RATE}."] if study.entities else []
    return ["", *explanation, *notes] if explanation or notes else []


def _about(vocabulary: StudiedVocabulary) -> dict[str, object]:
    return {
        "tokens": vocabulary.size,
        "kind": vocabulary.kind,
        "lowercase": vocabulary.lowercase,
        "fingerprint": vocabulary.fingerprint,
        "notes": list(vocabulary.notes),
    }


def _cuts(study: Study, cuts: Sequence[Cuts]) -> dict[str, dict[str, float]]:
    return {
        vocabulary.name: asdict(counted) | {"tokens_per_word": round(counted.tokens_per_word, 6)}
        for vocabulary, counted in zip(study.vocabularies, cuts, strict=True)
    }
