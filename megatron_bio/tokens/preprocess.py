"""`megatron-bio preprocess`: documents → token data, in one pass that can be interrupted at any moment."""

import copy
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from megatron_bio import native
from megatron_bio.config.errors import UserError
from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.progress import byte_progress
from megatron_bio.corpus.work_folder import LOCK, WorkFolder
from megatron_bio.tokens.document_lines import read_line_blocks
from megatron_bio.tokens.encoding import EncodedBlock
from megatron_bio.tokens.growing_tokens import GrowingTokens
from megatron_bio.tokens.indexed import data_path, index_path
from megatron_bio.tokens.pending_files import explain_failure, sync_folder
from megatron_bio.tokens.preprocess_job import NothingToWriteError, PreprocessJob
from megatron_bio.tokens.sidecar import Sidecar, sidecar_path
from megatron_bio.tokens.unfinished import PartProgress, Progress, State
from megatron_bio.tokens.workers import encode_in_order

DOUBTFUL_UNKNOWN_FRACTION = 0.05
SAVE_SECONDS = 15.0
"""The most work that a kill can cost."""
STEM = "tokens"
SHOWN_KEYS = 100
"""Keys of documents are only kept for a message, and there may be any number of them."""


def preprocess(options: PreprocessOptions) -> None:
    """Write PREFIX.bin, PREFIX.idx and PREFIX.json, and print what is in them and what was left out.

    Earlier files are replaced only when all is done, PREFIX.json last; until then all lies in OUTPUT.unfinished, where the
    same command goes on after a kill. Raises UserError for inputs and tokenizers that cannot be used, PreprocessError if
    there is nothing to write, WorkerDiedError if a worker dies, TokenDataError or CorpusError if the disk refuses.
    """
    started = time.perf_counter()
    job = PreprocessJob.of(options)
    if native.compiled is None:
        _tell(native.NOTICE)
    run: _Run | None = None
    with WorkFolder.locked_beside(options.output, options.resume) as work:
        state = State.read(work.path)
        if not _is_ready(state, job, work.path):
            run = _Run.start(job, work.path, state)
            with _kept_if_useful(work, run):
                run.encode()
                state = run.finish()
        assert state is not None, "a finished run has a state"
        _publish(work.path, options.output.parent, state)
        work.remove()
    for prefix in job.prefixes.values():
        _report(prefix)
    if run is not None:
        _report_speed(options, run, time.perf_counter() - started)


def _is_ready(state: State | None, job: PreprocessJob, folder: Path) -> bool:
    """Whether an earlier run of the same command wrote all and was killed while it gave the files their names."""
    return (
        state is not None
        and bool(state.renames)
        and state.made_from == job.made_from
        and state.files == job.files
        and all(
            (folder / source).exists() or (job.options.output.parent / target).exists()
            for source, target in state.renames
        )
    )


@dataclass
class _Run:
    """The work between start, or the place where an earlier run was, and the end of the input."""

    job: PreprocessJob
    folder: Path
    place: Progress
    beginning: Progress
    """Where the file in work began."""
    writers: dict[int, GrowingTokens]
    documents: int = 0
    text_bytes: int = 0

    @classmethod
    def start(cls, job: PreprocessJob, folder: Path, state: State | None) -> "_Run":
        places = state.places_to_go_on(job.made_from, job.files) if state and not state.renames else []
        if places:
            place, beginning = copy.deepcopy(places[0]), copy.deepcopy(places[-1])
            documents = sum(part.counts.documents for part in place.parts.values())
            _tell(
                f"goes on with {folder}: {documents:,} documents, up to line {place.lines:,} of "
                f"{job.inputs.files[place.file]}"
            )
        else:
            if state is not None:
                _tell(f"inputs, tokenizer or options are others than those of {folder}: starts afresh")
            _clear(folder)
            place, beginning = Progress(), Progress()
        with ExitStack() as opened:
            writers = {}
            for part, suffix in job.suffixes.items():
                progress = place.parts.setdefault(part, PartProgress())
                writers[part] = GrowingTokens(
                    folder / f"{STEM}{suffix}", job.encoder.tokenizer.vocab_size, progress.counts
                )
                opened.callback(writers[part].close)
            opened.pop_all()
        return cls(job, folder, place, beginning, writers)

    def encode(self) -> None:
        """Take the input from `place` to its end."""
        job, options = self.job, self.job.options
        blocks = read_line_blocks(job.inputs.files, job.inputs.parts, self.place.file, self.place.lines)
        total = sum(path.stat().st_size for path in job.inputs.files[self.place.file :])
        done, saved = 0, time.monotonic()
        with (
            byte_progress("tokenising", total, options.progress) as show,
            closing(encode_in_order(job.encoder, blocks, options.workers)) as encoded,
        ):
            for block in encoded:
                self._add(block)
                done += block.read_bytes
                show(done)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()

    def save(self) -> None:
        """Bring to the disk what is finished, and then the place up to which it is."""
        for writer in self.writers.values():
            writer.sync()
        self._state([self.place, self.beginning]).write(self.folder)

    def finish(self) -> State:
        """Complete the files in the work folder."""
        self.job.check_keys(self.place)
        for part, prefix in self.job.prefixes.items():
            progress = self.place.parts[part]
            if not progress.counts.documents:
                other = " Give more documents or other shares." if self.job.suffixes[part] else ""
                raise NothingToWriteError(
                    f"--inputs: expected documents with text for {prefix} in {', '.join(self.job.options.inputs)}, found none"
                    f"{_skipped(progress.skipped)}.{other} No output was changed."
                )
        renames = []
        for part, prefix in self.job.prefixes.items():
            writer = self.writers[part]
            sidecar = self.job.sidecar(part, self.place.parts[part], writer.finish())
            with atomic_file(sidecar_path(writer.stem)) as file:
                file.write(sidecar.to_json())
            renames += [
                (name(writer.stem).name, name(prefix).name) for name in (data_path, index_path, sidecar_path)
            ]
        state = self._state([self.place], renames)
        state.write(self.folder)
        return state

    def close(self) -> None:
        """Close the files; they stay."""
        for writer in self.writers.values():
            writer.close()

    def _add(self, block: EncodedBlock) -> None:
        place = copy.deepcopy(self.place)
        if block.block_file != place.file:
            place.file, place.lines = block.block_file, 0
            self.beginning = copy.deepcopy(place)
        for part, documents in block.parts.items():
            self.writers[part].add(documents)
            progress = place.parts[part]
            progress.counts = self.writers[part].counts
            progress.unknown_tokens += documents.unknown_tokens
            progress.skipped += documents.skipped
            self.documents += len(documents.sequences_per_document)
        place.lines = block.block_end
        place.keys_used |= block.keys_used
        if len(place.keys_found) < SHOWN_KEYS:
            place.keys_found |= block.keys_found
        self.text_bytes += block.text_bytes
        # In one step, since Ctrl-C may come before any: the place is saved then, and must be that of whole blocks.
        self.place = place

    def _state(self, places: list[Progress], renames: list[tuple[str, str]] | None = None) -> State:
        return State(made_from=self.job.made_from, files=self.job.files, places=places, renames=renames or [])


@contextmanager
def _kept_if_useful(work: WorkFolder, run: _Run) -> Iterator[None]:
    """After an error or Ctrl-C the work folder stays if there is something in it to go on with, and that is said."""
    try:
        yield
    except (UserError, OSError, KeyboardInterrupt) as error:
        if isinstance(error, NothingToWriteError):
            run.close()
            work.remove()
            raise
        # A full disk refuses this too; then the place that was saved before stands.
        with suppress(UserError, OSError, ValueError):
            if any(part.counts.documents for part in run.place.parts.values()):
                run.save()
        run.close()
        if State.read(work.path) is None:
            work.remove()
        else:
            _tell(f"what is finished lies in {work.path}; the same command goes on from there")
        raise
    finally:
        run.close()


def _publish(folder: Path, parent: Path, state: State) -> None:
    """Give the finished files their names, those that an earlier run has not given."""
    for source, target in state.renames:
        with explain_failure(parent / target):
            if (folder / source).exists():
                (folder / source).replace(parent / target)
    with explain_failure(parent):
        sync_folder(parent)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _report(prefix: Path) -> None:
    sidecar = Sidecar.read(prefix)
    assert sidecar is not None, "it was written just now"
    print(
        f"{prefix}: {sidecar.documents:,} documents, {sidecar.sequences:,} {sidecar.kind}, {sidecar.tokens:,} tokens, "
        f"{sidecar.files['bin'].size:,} bytes in {data_path(prefix).name}"
    )
    if sidecar.tokenizer_kind == "wordpiece":
        unknown = sidecar.unknown_tokens / sidecar.tokens
        doubt = "; does the vocabulary belong to this text?" if unknown > DOUBTFUL_UNKNOWN_FRACTION else ""
        print(f"  [UNK]: {sidecar.unknown_tokens:,} tokens, {unknown:.3%}{doubt}")
    print(f"  skipped{_skipped(sidecar.skipped) or ': nothing'}")


def _report_speed(options: PreprocessOptions, run: _Run, seconds: float) -> None:
    print(
        f"  {run.text_bytes / 1e6:,.1f} MB of text in {seconds:,.1f} s with {options.workers} worker"
        f"{'s' if options.workers > 1 else ''}: {run.text_bytes / 1e6 / seconds:,.1f} MB/s, "
        f"{run.documents / seconds:,.0f} documents/s"
    )


def _skipped(skipped: Mapping[str, int]) -> str:
    return ": " * bool(skipped) + ", ".join(
        f"{count:,} × {reason}" for reason, count in sorted(skipped.items())
    )


def _tell(message: str) -> None:
    print(f"preprocess: {message}", file=sys.stderr, flush=True)
