"""The verb `corpus stats`."""

from pathlib import Path

from megatron_bio.config.statistics import CorpusStatsOptions
from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.statistics.as_json import as_json
from megatron_bio.corpus.statistics.as_text import as_text
from megatron_bio.corpus.statistics.comparison import as_markdown
from megatron_bio.corpus.statistics.count import count_documents
from megatron_bio.corpus.statistics.inputs import find_inputs
from megatron_bio.corpus.statistics.picture import as_png, check_can_draw


def corpus_stats(options: CorpusStatsOptions) -> None:
    """Prints the counts; with `output` also writes them as statistics.txt, .json, .md and .png.

    One pass over the documents, each file shared among the workers, in memory that does not grow with them. Raises
    CorpusError for inputs that are no documents or damaged, and then writes nothing.
    """
    draws = options.output is not None and options.picture
    if draws:
        check_can_draw()
    inputs = find_inputs(options.inputs)
    counts = count_documents(inputs.files, options.workers, options.progress)
    if not counts.total.documents:
        raise CorpusError(f"expected at least one document, found none in {len(inputs.files)} files.")
    text = as_text(counts, inputs.drops)
    print(text, flush=True)
    if options.output is None:
        return
    _write(options.output / "statistics.txt", text.encode() + b"\n")
    _write(options.output / "statistics.json", as_json(counts, inputs).encode() + b"\n")
    _write(options.output / "statistics.md", as_markdown(counts).encode() + b"\n")
    if draws:
        _write(options.output / "statistics.png", as_png(counts, inputs.drops))
    print(f"wrote {options.output}/statistics.*", flush=True)


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as file:
        file.write(content)
