"""The numbers of BioMedLM's authors."""

from typing import Final

from megatron_bio.downstream.report.published.row import Published

_SOURCE = "Bolton et al. 2024 (BioMedLM), arXiv 2403.18421"
_SCORES: Final = (
    ("MedQA", "overall/accuracy", "test", "BioMedLM", 50.3, ""),
    ("MedQA", "overall/accuracy", "test", "BioMedLM", 54.7, "Trained on MedMCQA's questions too."),
    ("MedQA", "overall/accuracy", "test", "GPT-Neo 2.7b", 37.7, ""),
    ("MedMCQA", "overall/accuracy", "development", "BioMedLM", 57.3, ""),
    ("PubMedQA", "overall/accuracy", "test", "BioMedLM", 74.4, ""),
    ("PubMedQA", "overall/accuracy", "test", "GPT-Neo 2.7b", 66.1, ""),
    ("BioASQ-yesno", "yesno/accuracy", "test", "BioMedLM", 95.7, ""),
    ("BioASQ-yesno", "yesno/accuracy", "test", "GPT-Neo 2.7b", 67.1, ""),
)

ROWS: Final = tuple(
    Published(task=task, measure=measure, part=part, model=model, value=value, source=_SOURCE, remark=remark)
    for task, measure, part, model, value, remark in _SCORES
)
