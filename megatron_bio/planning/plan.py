"""The verb `plan`."""

from megatron_bio.config.plan import PlanOptions
from megatron_bio.planning.reasons import nothing_fits
from megatron_bio.planning.report import as_json, as_text, layout_words
from megatron_bio.planning.search import search


def plan(options: PlanOptions) -> None:
    """Print the layouts that fit. Raises `NothingFitsError` when none does."""
    found = search(options)
    if not found.fitting:
        raise nothing_fits(found, layout_words(found.closest[0]) if found.closest else "")
    print(as_json(found, options) if options.json else as_text(found, options))
