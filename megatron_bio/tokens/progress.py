"""A running count of documents on stderr, only when stderr is a terminal."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from megatron_bio.corpus.document import Document, read_documents
from megatron_bio.corpus.inputs import check_different_files, expand_inputs

STEP_DOCUMENTS = 1000


def read_with_progress(title: str, inputs: Sequence[Path | str], enabled: bool) -> Iterator[Document]:
    """The documents of the inputs, in order, counted on the terminal while they are read; CorpusError for a file given twice."""
    check_different_files(expand_inputs(inputs))
    documents = read_documents(inputs)
    if not enabled or sys.stderr is None or not sys.stderr.isatty():
        yield from documents
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}: {task.completed:,} documents"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        for number, document in enumerate(documents, start=1):
            yield document
            if number % STEP_DOCUMENTS == 0:
                progress.update(task, completed=number)
