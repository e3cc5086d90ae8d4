"""The table of LinkBERT's authors: their biomedical models and PubMedBERT on the tasks of BLURB and on MedQA."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from megatron_bio.downstream.report.published.row import Published

_SOURCE = "Yasunaga et al. 2022 (LinkBERT), arXiv 2203.15827"
_SPLIT = "BLURB's data: its parts and preparation may be others than ours."
_OF_LARGE: Final = {"batch_size": 16, "learning_rate": 2e-5}

# The settings are those of BioLinkBERT-large in the published scripts.
_SCORES: Final[Mapping[tuple[str, str], tuple[float | None, float, float, Mapping[str, Any]]]] = {
    ("BC5CDR-chem", "overall/f1"): (93.33, 93.75, 94.04, {}),
    ("BC5CDR-disease", "overall/f1"): (85.62, 86.10, 86.39, {}),
    ("NCBI-disease", "overall/f1"): (87.82, 88.18, 88.76, _OF_LARGE | {"epochs": 10, "max_length": 512}),
    ("BC2GM", "overall/f1"): (84.52, 84.90, 85.18, {}),
    # Of PubMedBERT two numbers are in circulation.
    ("JNLPBA", "overall/f1"): (None, 79.03, 80.06, {"learning_rate": 3e-5, "epochs": 4}),
    ("ChemProt", "micro/f1"): (77.24, 77.57, 79.98, _OF_LARGE | {"epochs": 4, "max_length": 256}),
    ("GAD", "positive/f1"): (82.34, 84.39, 84.90, {"epochs": 5}),
    ("PubMedQA", "overall/accuracy"): (
        55.84,
        70.20,
        72.18,
        {"batch_size": 32, "learning_rate": 3e-5, "epochs": 23},
    ),
    ("BioASQ-yesno", "yesno/accuracy"): (87.56, 91.43, 94.82, {"epochs": 30}),
    ("MedQA", "overall/accuracy"): (
        *(38.1, 40.0, 44.6, {"batch_size": 64, "learning_rate": 3e-5, "epochs": 6, "max_length": 512}),
    ),
}
"""PubMedBERT, BioLinkBERT-base, BioLinkBERT-large, and what is known of how the last was trained."""


def _rows() -> Iterator[Published]:
    for (task, measure), (pubmed, base, large, protocol) in _SCORES.items():
        unknown: Mapping[str, Any] = {}
        models = (
            ("PubMedBERT", pubmed, unknown),
            ("BioLinkBERT-base", base, unknown),
            ("BioLinkBERT-large", large, protocol),
        )
        for model, value, known in models:
            if value is not None:
                yield Published(
                    task=task,
                    measure=measure,
                    model=model,
                    value=value,
                    source=_SOURCE,
                    protocol=known,
                    remark=_SPLIT,
                )


ROWS: Final = tuple(_rows())
