"""The verb `corpus build`: documents → a corpus."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.config.errors import IncompleteResultError
from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.building.blocks import identify, read_blocks
from megatron_bio.corpus.building.collection import Collection
from megatron_bio.corpus.building.contamination import load_contamination
from megatron_bio.corpus.building.copies import Copies, count_copies
from megatron_bio.corpus.building.counts import Counts
from megatron_bio.corpus.building.deduplicate import Deduplication
from megatron_bio.corpus.building.filters import Filters
from megatron_bio.corpus.building.manifest import MANIFEST, Recipe, Result, describe
from megatron_bio.corpus.building.part import Part, PartMaker, has_parts
from megatron_bio.corpus.building.place import (
    COPIES,
    DROPPED,
    check_output,
    check_same,
    move_into_place,
    remove_strangers,
    undo_replacement,
)
from megatron_bio.corpus.building.repeated_ids import RepeatedIds, find_repeated_ids
from megatron_bio.corpus.building.report import print_report
from megatron_bio.corpus.building.shards import ShardWriter, WrittenShard, plan_shards
from megatron_bio.corpus.building.tables import write_array
from megatron_bio.corpus.building.verdicts import Verdicts
from megatron_bio.corpus.document import DocumentWriter
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.inputs import expand_inputs
from megatron_bio.corpus.progress import byte_progress
from megatron_bio.corpus.work_folder import WorkFolder, fingerprint
from megatron_bio.corpus.workers import map_in_order

MEGABYTE = 1_000_000
PARTS = "parts"


class NothingKeptError(CorpusError):
    """No document of the input passed; the same input with the same options cannot do better."""


def build_corpus(options: BuildCorpusOptions) -> None:
    """Writes the corpus that the options describe, and prints what was dropped and kept.

    The stages keep what they finish in OUTPUT.unfinished, and the corpus gets its name when it is complete. The result
    depends on the inputs and the options alone, byte for byte. Raises CorpusError for inputs and outputs that cannot be
    used and when nothing is kept, DamagedFileError for damage with `on_error` "stop", and IncompleteResultError at the end
    after damage with "keep".
    """
    paths = expand_inputs(options.inputs)
    benchmarks = expand_inputs(options.benchmarks)
    inputs = [*paths, *benchmarks]
    check_output(options.output, inputs, options.overwrite)  # before the inputs are read
    contamination = load_contamination(benchmarks, options.benchmark_ngram)
    recipe = Recipe(options=options, inputs=identify(paths, options.workers), contamination=contamination)
    if _is_done(recipe, inputs):
        return
    with WorkFolder.locked_beside(options.output, options.resume) as work:
        undo_replacement(options.output)
        if _is_done(recipe, inputs):  # another run may have ended since
            work.remove()
            return
        with _kept_if_useful(work):
            result = _build(recipe, work.path)
        move_into_place(work.path / "corpus", options.output)
        work.remove()
    print_report(result)
    print(f"wrote {options.output}", flush=True)
    if result.losses:
        first = result.losses[0]
        raise IncompleteResultError(
            f"{options.output} is written and whole, but {len(result.losses):,} places of the input were damaged; the first: "
            f"{first['file']}: {first['message']} All are in {options.output / MANIFEST}."
        )


def _is_done(recipe: Recipe, inputs: list[Path]) -> bool:
    output = recipe.options.output
    manifest = check_output(output, inputs, recipe.options.overwrite)
    if manifest is None:
        return False
    check_same(output, manifest, recipe.fingerprint())
    print(f"{output} is complete and was made from these inputs with these options", flush=True)
    return True


@contextmanager
def _kept_if_useful(work: WorkFolder) -> Iterator[None]:
    """After an error the work folder stays only if there is something in it to go on with; then the error says so."""
    try:
        yield
    except CorpusError as error:
        finished = has_parts(work.path / PARTS)
        if not finished or isinstance(error, NothingKeptError):
            work.remove()
            raise
        goes_on = (
            f"What is finished lies in {work.path}: when this is mended, the same command goes on from there."
        )
        if isinstance(error, DamagedFileError):
            raise DamagedFileError(error.path, error.reason, f"{error.message} {goes_on}") from error
        raise CorpusError(f"{error} {goes_on}") from error


def _build(recipe: Recipe, work: Path) -> Result:
    """The stages; the corpus is complete in the work folder when it returns."""
    corpus = work / "corpus"
    parts = _make_parts(recipe, work / PARTS)
    collection = Collection.of([part.path for part in parts], [part.documents for part in parts])
    verdicts, made_from = _judge(recipe, parts, collection, work)
    repeated_ids = find_repeated_ids(collection, verdicts.kept)
    result = _count(parts, collection, verdicts, repeated_ids)
    if not result.kept.total()[0]:
        print_report(result)
        raise NothingKeptError(
            f"expected at least one document to keep, found none in {len(recipe.inputs)} files; nothing was written. "
            "The table above says why each was dropped."
        )
    result.shards.extend(_write_shards(recipe, collection, verdicts, made_from, work))
    copies = Copies.of(collection, verdicts)
    with DocumentWriter(corpus / COPIES) as writer:
        for line in copies.lines():
            writer.write_line(line)
    result.other_files.append(COPIES)
    if recipe.options.keep_dropped:
        with DocumentWriter(corpus / DROPPED) as writer:
            for line in copies.dropped_lines():
                writer.write_line(line)
        result.other_files.append(DROPPED)
    remove_strangers(corpus, {*result.other_files, *(shard.file for shard in result.shards)})
    with atomic_file(corpus / MANIFEST) as file:
        file.write(describe(recipe, result, corpus))
    return result


def _make_parts(recipe: Recipe, folder: Path) -> list[Part]:
    options = recipe.options
    maker = PartMaker(
        folder=folder,
        made_from=recipe.part_identity(),
        filters=Filters(options),
        contamination=recipe.contamination,
        on_error=options.on_error,
    )
    parts, done = [], 0
    total = sum(file.bytes for file in recipe.inputs)
    with byte_progress("reading documents", total, options.progress) as show:
        for part in map_in_order(maker, read_blocks(recipe.inputs), options.workers):
            parts.append(part)
            done += part.progress_bytes
            show(done)
    return parts


def _judge(recipe: Recipe, parts: list[Part], collection: Collection, work: Path) -> tuple[Verdicts, str]:
    made_from = fingerprint({**recipe.part_identity(), "parts": [part.fingerprint for part in parts]})
    deduplication = Deduplication(
        collection=collection,
        folder=work,
        made_from=made_from,
        options=recipe.options,
        article=collection.column("article"),
    )
    return deduplication.verdicts(), made_from


def _count(
    parts: list[Part], collection: Collection, verdicts: Verdicts, repeated_ids: RepeatedIds
) -> Result:
    kept, copies = count_copies(parts, collection, verdicts)
    result = Result(
        read=Counts(),
        kept=kept,
        dropped=Counts(),
        repeated_ids=repeated_ids,
        losses=[],
        shards=[],
        other_files=[],
    )
    for part in parts:
        result.read.merge(part.read)
        result.dropped.merge(part.dropped)
        result.losses.extend(part.losses)
    result.dropped.merge(copies)
    accounted = [kept + dropped for kept, dropped in zip(kept.total(), result.dropped.total(), strict=True)]
    assert result.read.total() == accounted, "every document is kept or dropped for one reason"
    return result


def _write_shards(
    recipe: Recipe, collection: Collection, verdicts: Verdicts, made_from: str, work: Path
) -> list[WrittenShard]:
    kept_file = work / "kept.npy"
    write_array(kept_file, verdicts.kept)
    writer = ShardWriter(
        collection=collection,
        kept_file=kept_file,
        corpus=work / "corpus",
        vouchers=work / "shards",
        made_from=made_from,
    )
    shards = []
    total, done = int(collection.column("line_bytes")[verdicts.kept].sum(dtype="int64")), 0
    plan = plan_shards(collection, kept_file, recipe.options.shard_megabytes * MEGABYTE)
    with byte_progress("writing shards", total, recipe.options.progress) as show:
        for shard in map_in_order(writer, plan, recipe.options.workers):
            shards.append(shard)
            done += shard.content_bytes
            show(done)
    return shards
