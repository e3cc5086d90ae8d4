"""BioBERT's numbers on named entities by its authors: longer training, on training and development data."""

from typing import Final

from megatron_bio.downstream.report.published.row import Published

_SOURCE = "Lee et al. 2020 (BioBERT), arXiv 1901.08746"
_SCORES: Final = {
    "NCBI-disease": 89.71,
    "BC5CDR-chem": 93.47,
    "BC5CDR-disease": 87.15,
    "BC2GM": 84.72,
    "JNLPBA": 77.49,
}

ROWS: Final = tuple(
    Published(
        task=task,
        measure="overall/f1",
        model="BioBERT v1.1",
        value=value,
        source=_SOURCE,
        protocol={"train_on": "train+development", "learning_rate": 1e-5},
        remark="More than 50 epochs.",
    )
    for task, value in _SCORES.items()
)
