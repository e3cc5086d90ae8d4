"""The tables of BioMegatron: its own models, and BioBERT and PubMedBERT as its authors ran them."""

from collections.abc import Mapping
from typing import Any, Final

from megatron_bio.downstream.report.published.row import Published

_SOURCE = "Shin et al. 2020 (BioMegatron), arXiv 2010.06060"
_SEVENTH = "The questions are those of BioASQ 7b."

_CLASSIFIED: Final = {"epochs": 30, "learning_rate": 5e-5, "max_length": 128}
"""Appendix of BioMegatron: named entities and relations; heads of one or two layers."""
_QUESTIONS: Final = {"epochs": 30, "learning_rate": 3e-5, "max_length": 512, "first_task": "SQuAD1.1"}

_ENTITY_SETS: Final = {"BC5CDR-chem": "all", "BC5CDR-disease": "all", "NCBI-disease": "first"}
"""Which pieces of a word had a label: all, but for NCBI-disease the first."""

_Triple = tuple[float, float, float]
_BIOMEGATRON: Final[Mapping[str, tuple[_Triple, _Triple, _Triple, _Triple]]] = {
    "BioBERT 110m": ((90.0, 93.4, 91.7), (85.0, 89.4, 87.2), (85.0, 90.0, 87.5), (76.5, 73.3, 74.8)),
    "PubMedBERT 110m": ((92.1, 93.2, 92.6), (86.2, 88.4, 87.3), (85.9, 87.7, 86.8), (73.6, 77.7, 75.6)),
    "BioMegatron 345m bio-30k": (
        *((92.1, 93.6, 92.9), (85.2, 88.8, 87.0), (85.6, 88.6, 87.1), (77.8, 72.5, 75.1)),
    ),
    "BioMegatron 345m bio-50k": (
        *((92.9, 92.0, 92.5), (86.1, 91.0, 88.5), (83.7, 90.4, 87.0), (74.5, 79.7, 77.0)),
    ),
    "BioMegatron 800m": ((91.3, 92.9, 92.1), (85.8, 90.1, 87.9), (87.0, 88.8, 87.8), (80.4, 68.9, 74.3)),
    "BioMegatron 1.2b": ((92.0, 90.5, 91.3), (83.8, 89.2, 86.4), (83.5, 90.1, 86.7), (82.0, 65.6, 72.9)),
}
"""Precision, recall, F1 on the three sets of entities and on ChemProt."""
_FACTOID: Final[Mapping[str, _Triple]] = {
    "BioBERT-Base": (30.8, 64.1, 41.1),
    "BioBERT-Large": (42.8, 62.8, 50.1),
    "BioMegatron 345m": (46.2, 62.6, 52.5),
    "BioMegatron 800m": (45.2, 58.6, 50.4),
    "BioMegatron 1.2b": (47.4, 60.9, 52.4),
}
"""Strict accuracy, lenient accuracy, mean reciprocal rank."""


def _triple(task: str, group: str, model: str, numbers: _Triple, protocol: Mapping[str, Any]) -> Published:
    precision, recall, f1 = numbers
    return Published(
        task=task,
        measure=f"{group}/f1",
        model=model,
        value=f1,
        beside={f"{group}/precision": precision, f"{group}/recall": recall},
        source=_SOURCE,
        protocol=protocol,
    )


def _entities() -> list[Published]:
    return [
        _triple(task, "overall", model, rows[number], {**_CLASSIFIED, "label_pieces": pieces})
        for number, (task, pieces) in enumerate(_ENTITY_SETS.items())
        for model, rows in _BIOMEGATRON.items()
    ]


def _factoid(model: str, strict: float, lenient: float, rank: float) -> Published:
    return Published(
        task="BioASQ-factoid",
        measure="factoid/mean_reciprocal_rank",
        model=model,
        value=rank,
        beside={"factoid/strict_accuracy": strict, "factoid/lenient_accuracy": lenient},
        source=_SOURCE,
        # Whether the paper fine-tuned BioBERT itself or quotes it is not known.
        protocol=_QUESTIONS if model.startswith("BioMegatron") else {},
        remark=_SEVENTH,
    )


ROWS: Final = (
    *_entities(),
    *(_triple("ChemProt", "micro", model, rows[3], _CLASSIFIED) for model, rows in _BIOMEGATRON.items()),
    *(_factoid(model, *numbers) for model, numbers in _FACTOID.items()),
)
