"""The verb `vocabulary study`."""

from pathlib import Path

from megatron_bio.config.vocabulary_study import StudyVocabularyOptions
from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.tokens.progress import read_with_progress
from megatron_bio.tokens.study.entity_words import read_entity_words
from megatron_bio.tokens.study.measure import study
from megatron_bio.tokens.study.names import name_inputs
from megatron_bio.tokens.study.picture import as_png, check_can_draw
from megatron_bio.tokens.study.report import as_json, as_markdown, as_text
from megatron_bio.tokens.study.vocabulary import StudiedVocabulary
from megatron_bio.tokens.vocabulary_sample import whole_text


def study_vocabularies(options: StudyVocabularyOptions) -> None:
    """Prints the tables; with `output` also writes them as study.txt, .json, .md and .png.

    Raises TokenizerError for vocabularies and CorpusError for data sets and documents that cannot be used, and then
    writes nothing.
    """
    draws = options.output is not None and options.picture
    if draws:
        check_can_draw()
    vocabularies = [
        StudiedVocabulary.load(name, path)
        for name, path in name_inputs("--vocabularies", options.vocabularies).items()
    ]
    entities = [
        read_entity_words(name, path) for name, path in name_inputs("--entities", options.entities).items()
    ]
    documents = read_with_progress("cutting words", options.texts, options.progress)
    texts = (whole_text(document) for document in documents) if options.texts else None
    result = study(vocabularies, entities, texts, options.words)
    text = as_text(result)
    print(text, flush=True)
    if options.output is None:
        return
    _write(options.output / "study.txt", text.encode() + b"\n")
    _write(options.output / "study.json", as_json(result).encode() + b"\n")
    _write(options.output / "study.md", as_markdown(result).encode() + b"\n")
    if draws:
        _write(options.output / "study.png", as_png(result))
    print(f"wrote {options.output}/study.*", flush=True)


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as file:
        file.write(content)
