"""Numbers that others published, each with its source and what is known of how it was measured."""

from typing import Final

from megatron_bio.downstream.report.published import biobert, biomedlm, biomegatron, linkbert
from megatron_bio.downstream.report.published.row import Published

PUBLISHED: Final = (*biomegatron.ROWS, *linkbert.ROWS, *biobert.ROWS, *biomedlm.ROWS)


def of_task(task: str, part: str, measure: str) -> list[Published]:
    """What was published for a measure of a task on a part of its data."""
    return [row for row in PUBLISHED if (row.task, row.part, row.measure) == (task, part, measure)]
