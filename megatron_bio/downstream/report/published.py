"""Numbers that others published, each with its source and what is known of how it was measured."""

from dataclasses import dataclass
from typing import Final

_MEGATRON = "Shin et al. 2020 (BioMegatron), arXiv 2010.06060"
_LINK = "Yasunaga et al. 2022 (LinkBERT), arXiv 2203.15827"
_CARD = "Bolton et al. 2024 (BioMedLM), arXiv 2403.18421"
NOT_PUBLISHED: Final = "not published"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One number of one model on the test part of one task, in per cent."""

    task: str
    measure: str
    """Path as in our scores."""
    model: str
    value: float
    source: str
    train_on: str = NOT_PUBLISHED
    epochs: str = NOT_PUBLISHED
    seeds: str = NOT_PUBLISHED


def _entities(model: str, chemical: float, disease: float, ncbi: float) -> list[Published]:
    values = {"BC5CDR-chem": chemical, "BC5CDR-disease": disease, "NCBI-disease": ncbi}
    return [
        Published(task=task, measure="overall/f1", model=model, value=value, source=_MEGATRON, epochs="30")
        for task, value in values.items()
    ]


def _chemprot(model: str, value: float) -> Published:
    return Published(
        task="ChemProt", measure="micro/f1", model=model, value=value, source=_MEGATRON, epochs="30"
    )


def _factoid(model: str, value: float) -> Published:
    return Published(
        task="BioASQ-factoid",
        measure="factoid/mean_reciprocal_rank",
        model=model,
        value=value,
        source=_MEGATRON,
        epochs="30",
    )


def _one(task: str, measure: str, source: str, **models: float) -> list[Published]:
    return [
        Published(task=task, measure=measure, model=model.replace("_", " "), value=value, source=source)
        for model, value in models.items()
    ]


PUBLISHED: Final = (
    *_entities("BioBERT 110m", 91.7, 87.2, 87.5),
    *_entities("PubMedBERT 110m", 92.6, 87.3, 86.8),
    *_entities("BioMegatron 345m bio-30k", 92.9, 87.0, 87.1),
    *_entities("BioMegatron 345m bio-50k", 92.5, 88.5, 87.0),
    *_entities("BioMegatron 800m", 92.1, 87.9, 87.8),
    *_entities("BioMegatron 1.2b", 91.3, 86.4, 86.7),
    _chemprot("BioBERT 110m", 74.8),
    _chemprot("PubMedBERT 110m", 75.6),
    _chemprot("BioMegatron 345m bio-30k", 75.1),
    _chemprot("BioMegatron 345m bio-50k", 77.0),
    _chemprot("BioMegatron 800m", 74.3),
    _chemprot("BioMegatron 1.2b", 72.9),
    _factoid("BioBERT-Base", 41.1),
    _factoid("BioBERT-Large", 50.1),
    _factoid("BioMegatron 345m", 52.5),
    _factoid("BioMegatron 800m", 50.4),
    _factoid("BioMegatron 1.2b", 52.4),
    *_one("BC2GM", "overall/f1", _LINK, PubMedBERT=84.52, BioLinkBERT_base=84.90, BioLinkBERT_large=85.18),
    *_one(
        "PubMedQA",
        "overall/accuracy",
        _LINK,
        PubMedBERT=55.84,
        BioLinkBERT_base=70.20,
        BioLinkBERT_large=72.18,
    ),
    *_one(
        "BioASQ-yesno",
        "yesno/accuracy",
        _LINK,
        PubMedBERT=87.56,
        BioLinkBERT_base=91.43,
        BioLinkBERT_large=94.82,
    ),
    *_one("MedQA", "overall/accuracy", _LINK, PubMedBERT=38.1, BioLinkBERT_base=40.0, BioLinkBERT_large=44.6),
    *_one("MedQA", "overall/accuracy", _CARD, BioMedLM=50.3),
    *_one("MedMCQA", "overall/accuracy", _CARD, BioMedLM=57.3),
    *_one("PubMedQA", "overall/accuracy", _CARD, BioMedLM=74.4),
    *_one("BioASQ-yesno", "yesno/accuracy", _CARD, BioMedLM=95.7),
)


def of_task(task: str, measure: str) -> list[Published]:
    """What was published for a measure of a task."""
    return [row for row in PUBLISHED if (row.task, row.measure) == (task, measure)]
