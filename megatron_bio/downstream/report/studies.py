"""Tables of what other verbs counted: entity tokens (Table 4 of the BioMegatron paper), label bias (9) and corpora (10)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from megatron_bio.downstream.report.fields import field, rows
from megatron_bio.downstream.report.table import Table

FILES: Final = ("study.json", "statistics.json")
"""Names under which `vocabulary study` and `corpus stats` write; `data check --json` prints."""
FORMAT = 1

_PAPER = "Shin et al. 2020 (BioMegatron), arXiv 2010.06060"
_TOKENS: Final[Mapping[str, Mapping[str, str]]] = {
    "BERT cased": {"BC5CDR-chem": "3.012", "BC5CDR-disease": "2.420"},
    "PubMedBERT, 30k uncased": {"BC5CDR-chem": "1.654", "BC5CDR-disease": "1.236"},
    "BioMegatron, 30k cased": {"BC5CDR-chem": "1.753", "BC5CDR-disease": "1.272"},
    "BioMegatron, 50k cased": {"BC5CDR-chem": "1.478", "BC5CDR-disease": "1.116"},
}
_BIAS: Final = (("CoNLL-2003", "0.184"), ("MRPC", "0.481"), ("ChemProt", "0.27"))
_CORPORA: Final = (("BioMegatron 345m", "PubMed abstracts + full text, commercial use", "6.1 billion"),)

Studies = Sequence[tuple[Path, Mapping[str, Any]]]


def kind_of(content: Any) -> str | None:
    """Which verb wrote a JSON file; None: none of these."""
    for kind, names in _KINDS.items():
        if isinstance(content, dict) and names <= content.keys():
            return kind
    return None


def check_study(kind: str, content: Mapping[str, Any]) -> None:
    """Raises DamagedFieldError unless the file has what its table takes."""
    list(_ROWS[kind](Path(), content))


def study_tables(studies: Studies) -> Iterator[Table]:
    """A table for each kind of file that was given, with the published numbers."""
    for kind, make in _ROWS.items():
        found = [row for path, content in studies if kind_of(content) == kind for row in make(path, content)]
        if found:
            yield _TABLES[kind](found)


def _token_rows(path: Path, content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    about = field(content, "vocabularies", dict)
    for dataset in field(content, "entities", dict):
        entry = field(content["entities"], dataset, dict, "entities.")
        words = field(entry, "entity_words", int, f"entities.{dataset}.")
        cuts = field(entry, "cuts", dict, f"entities.{dataset}.")
        for name in cuts:
            where = f"entities.{dataset}.cuts.{name}."
            rate = field(
                field(cuts, name, dict, where[: -len(name) - 1]), "tokens_per_word", (int, float), where
            )
            size = field(field(about, name, dict, "vocabularies."), "tokens", int, f"vocabularies.{name}.")
            yield name, f"{size:,}", dataset, f"{rate:.3f}", f"{words:,}", str(path)


def _token_table(found: Sequence[tuple[str, ...]]) -> Table:
    there = {row[2] for row in found}
    published = [
        (name, "", dataset, rate, "", _PAPER)
        for name, rates in _TOKENS.items()
        for dataset, rate in rates.items()
        if dataset in there
    ]
    return Table(
        title="Tokens of entities",
        columns=("vocabulary", "size", "data set", "tokens / words", "entity words", "source"),
        rows=(*found, *published),
        notes=("How the paper cut and counted words is not published.",) if published else (),
    )


def _bias_rows(path: Path, content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for part, where in rows(content, "parts", ""):
        for bias, inner in rows(part, "label_bias", where):
            ratio = field(bias, "ratio", (int, float), inner)
            minority, rest = field(bias, "minority", int, inner), field(bias, "rest", int, inner)
            name = f"{field(part, 'benchmark', str, where)}, {field(part, 'part', str, where)}"
            yield (
                name,
                field(bias, "samples", str, inner),
                f"{minority:,}",
                f"{rest:,}",
                f"{ratio:.3f}",
                str(path),
            )


def _bias_table(found: Sequence[tuple[str, ...]]) -> Table:
    return Table(
        title="Label bias",
        columns=("data set", "samples", "minority", "rest", "minority / rest", "source"),
        rows=(*found, *((name, "", "", "", ratio, _PAPER) for name, ratio in _BIAS)),
        notes=(
            "What the paper counted as a sample is not published; docs/downstream-data.md says what fits.",
        ),
    )


def _corpus_rows(path: Path, content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    sources = field(content, "by_source", dict)
    amounts = [(name, field(sources, name, dict, "by_source."), f"by_source.{name}.") for name in sources]
    if len(amounts) != 1:
        amounts.append(("all sources", field(content, "total", dict), "total."))
    for name, amount, where in amounts:
        words, documents, size = (field(amount, of, int, where) for of in ("words", "documents", "bytes"))
        yield "", name, f"{words:,}", f"{documents:,}", f"{size:,}", str(path)


def _corpus_table(found: Sequence[tuple[str, ...]]) -> Table:
    return Table(
        title="Corpora",
        columns=("model", "corpus", "words", "documents", "bytes", "source"),
        rows=(*found, *((model, corpus, words, "", "", _PAPER) for model, corpus, words in _CORPORA)),
        notes=("Our words are separated by white space; the paper does not say how it counts.",),
    )


_KINDS: Final = {
    "vocabulary study": {"format", "vocabularies", "entities"},
    "data check": {"parts", "missing", "damaged"},
    "corpus stats": {"format", "total", "by_source"},
}
_ROWS: Final[Mapping[str, Callable[[Path, Mapping[str, Any]], Iterator[tuple[str, ...]]]]] = {
    "vocabulary study": _token_rows,
    "data check": _bias_rows,
    "corpus stats": _corpus_rows,
}
_TABLES: Final[Mapping[str, Callable[[Sequence[tuple[str, ...]]], Table]]] = {
    "vocabulary study": _token_table,
    "data check": _bias_table,
    "corpus stats": _corpus_table,
}
