"""The BioMegatron paper's table of pre-training corpora, with ours beside them and columns for the scores to come.

Shin et al., BioMegatron: Larger Biomedical Domain Language Model, 2020: Table 10 (Table 9 in the proceedings of EMNLP).
"""

from megatron_bio.corpus.statistics.as_text import ordered
from megatron_bio.corpus.statistics.counts import Amount, Counts

SCORES = ("BC5CDR-chem F1", "BC5CDR-disease F1", "NCBI-disease F1", "ChemProt F1", "BioASQ-7b MRR")
PUBLISHED = (
    ("BioBERT 110m", "PubMed abstracts", "4.5 billion", "91.7", "87.2", "87.5", "74.8", "41.1"),
    ("PubMedBERT 110m", "PubMed abstracts + full text", "16.8 billion", "92.6", "87.3", "86.8", "75.6", ""),
    (
        *("BioMegatron 345m, 50k cased", "PubMed abstracts + full text, commercial use", "6.1 billion"),
        *("92.5", "88.5", "87.0", "77.0", ""),
    ),
)
"""Model, corpus, words and scores, all as that paper gives them."""
MOST_SOURCES = 20


def as_markdown(counts: Counts) -> str:
    """One row per published corpus, per source of ours and for all of it."""
    columns = ("model", "corpus", "#words", "documents", "GB of text", *SCORES)
    empty = ("",) * len(SCORES)
    rows: list[tuple[str, ...]] = [(*row[:3], "", "", *row[3:]) for row in PUBLISHED]
    sources = ordered(counts.by_source)
    if len(sources) > 1:
        rows += [_row(name, amount) + empty for name, amount in sources[:MOST_SOURCES]]
        name = " + ".join(name for name, _ in sources[:MOST_SOURCES])
        rows.append(_row(name + (" + ..." if len(sources) > MOST_SOURCES else ""), counts.total) + empty)
    else:
        rows += [_row(name, amount) + empty for name, amount in sources]
    lines = [_line(columns), _line(("---",) * len(columns)), *map(_line, rows)]
    return "\n".join(
        [
            "# Pre-training corpora",
            "",
            "The first rows are those of the BioMegatron paper (Shin et al., 2020, Table 10, with the scores of its other",
            "tables), the rest was counted by `megatron-bio corpus stats`; words are separated by white space. Fill in the",
            "model and its scores.",
            "",
            *lines,
        ]
    )


def _row(name: str, amount: Amount) -> tuple[str, ...]:
    return ("", name, in_words(amount.words), f"{amount.documents:,}", f"{amount.bytes / 1e9:,.3f}")


def in_words(number: int) -> str:
    """`6.1 billion`, `14.3 million`, `980`."""
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:,.1f} {name}"
    return f"{number:,}"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
