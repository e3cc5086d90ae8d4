"""The verb `extract pmc`: open-access packages and single JATS files → documents."""

import sys

from megatron_bio import native
from megatron_bio.config.extract_pmc import ExtractPmcOptions
from megatron_bio.corpus.extraction.run import extract
from megatron_bio.corpus.inputs import expand_inputs
from megatron_bio.corpus.pmc.file_list import FileList
from megatron_bio.corpus.pmc.pieces import Choices, pieces_of
from megatron_bio.corpus.work_folder import file_identity


def extract_pmc(options: ExtractPmcOptions) -> None:
    """Writes the documents and the report, see `extract`. Raises CorpusError."""
    if native.compiled is None:
        print(f"extract pmc: {native.NOTICE}", file=sys.stderr)
    paths = expand_inputs(options.inputs)
    list_paths = expand_inputs(options.file_list)
    choices = Choices(
        license=options.license,
        captions=options.captions,
        require_body=options.require_body,
        minimum_words=options.minimum_words,
    )
    made_from = {
        "source": "pmc",
        **choices.as_dictionary(),
        "file_list": [file_identity(path) for path in list_paths],
    }
    pieces = pieces_of(paths, choices, FileList.read(list_paths))
    extract(options, paths, pieces, made_from, "reading PMC")
