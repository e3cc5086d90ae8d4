"""The command line: `megatron-bio VERB [options]`, also as `python -m megatron_bio`.

Exit status:
    0    done
    1    what was asked for cannot be done: a `UserError`, or a disk that is full or refuses; one message, no traceback
         (--traceback or MEGATRON_BIO_TRACEBACK=1 shows it). Any other exception is a bug and shows its traceback
    2    the command line or its YAML file cannot be understood: a `UsageError`, one message
    3    the outputs are written and whole, but damaged input is missing from them (`--on_error keep`); one message
    124  `pretrain` finished no step for parallel.timeout_minutes; it has shown where it stood
    130  interrupted with Ctrl-C; `pretrain` saves a checkpoint instead and ends with 0
    141  whoever read the output is gone (`megatron-bio inspect … | head`)
"""

import difflib
import io
import os
import select
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from megatron_bio import __version__
from megatron_bio.config.arguments import UsageError
from megatron_bio.config.errors import (
    REFUSALS,
    IncompleteResultError,
    LostRankError,
    RankFailedError,
    UserError,
)
from megatron_bio.failures import refusal_message, report_to_torchrun, tell, tell_failure
from megatron_bio.verbs import HELPERS, STAGES, VERBS
from megatron_bio.verbs.verb import Verb

PROGRAM = "megatron-bio"
FIRST_TO_FAIL_SPEAKS_SECONDS = 5.0
FAILED, MISUSED, INCOMPLETE, INTERRUPTED, READER_GONE = 1, 2, 3, 130, 141


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (by default the process's) and return the exit status."""
    words = list(sys.argv[1:] if words is None else words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Titles may hold characters that the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    verb, rest = _split(words)
    program = verb.program if verb else PROGRAM
    try:
        try:
            with _short_warnings(program):
                return _run(verb, rest)
        finally:
            if sys.stdout is not None:  # a service may start without one
                sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        return READER_GONE
    except KeyboardInterrupt:
        tell_failure(program, "interrupted")
        return INTERRUPTED
    except RankFailedError as error:
        report_to_torchrun(program, str(error))
        return FAILED
    except LostRankError as error:
        return _lost(program, f"error: {error}")
    except IncompleteResultError as error:
        tell_failure(program, f"incomplete: {error}")
        return INCOMPLETE
    except UserError as error:
        return _failed(program, error, str(error), words)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return _failed(program, error, refusal_message(error), words)


def _run(verb: Verb | None, words: Sequence[str]) -> int:
    """Run a verb; without one, show the help or the version, or explain what is wrong."""
    if verb:
        # Not imported for `--help` of all verbs, so that it comes at once.
        from megatron_bio.config.command_line import parse_options
        from megatron_bio.config.parser import Program

        program = Program(name=verb.program, description=verb.help_text, positional=verb.positional)
        options = parse_options(_load(verb.options), words, program)
        _load(verb.function)(options)
        return 0
    group = [word for word in words[:1] if any(known.name.startswith(f"{word} ") for known in VERBS)]
    others = words[len(group) :]
    if others[:1] == ["--version"] and not group:
        print(f"{PROGRAM} {__version__}")
        return 0
    if not others or others[0] in ("-h", "--help"):
        print(_overview(*group), file=sys.stdout if others else sys.stderr)
        return 0 if others else MISUSED
    raise UsageError(_unknown_verb(" ".join([*group, others[0]])))


def _split(words: Sequence[str]) -> tuple[Verb | None, Sequence[str]]:
    """Return the verb that a command line begins with, and the words after it."""
    for length in (2, 1):
        for verb in VERBS:
            if verb.name.split() == list(words[:length]) or _is_also(verb, words, length):
                return verb, words[length:]
    return None, words


def _is_also(verb: Verb, words: Sequence[str], length: int) -> bool:
    """Whether a line begins with the verb's longer name; its last word alone may as well be the value."""
    called = verb.also is not None and verb.also.split() == list(words[:length])
    return called and len(words) > length and not words[length].startswith("-")


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _failed(program: str, error: Exception, message: str, words: Sequence[str]) -> int:
    if "--traceback" in words or os.environ.get("MEGATRON_BIO_TRACEBACK") == "1":
        traceback.print_exception(error)
    tell_failure(program, f"error: {message}")
    return MISUSED if isinstance(error, UsageError) else FAILED


def _lost(program: str, message: str) -> int:
    """Tell that another rank ended first, and let that rank speak: torchrun ends all ranks as soon as one has ended."""
    tell(program, message)
    time.sleep(FIRST_TO_FAIL_SPEAKS_SECONDS)
    report_to_torchrun(program, message)
    return FAILED


@contextmanager
def _short_warnings(program: str) -> Iterator[None]:
    """Show our own warnings, which are for users, as one message without file and line; others as Python does."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if category.__module__.startswith("megatron_bio."):
                tell(program, f"warning: {message}")
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        yield


def _reader_is_gone() -> bool:
    """Return whether stdout is the broken pipe; if so, nothing more is written to it."""
    try:
        stdout = sys.stdout.fileno()
    except io.UnsupportedOperation:
        return False
    poll = select.poll()
    poll.register(stdout, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    # Python flushes once more at exit and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return True


def _unknown_verb(found: str) -> str:
    near = difflib.get_close_matches(found, [verb.name for verb in VERBS], n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else "."
    return f"'{found}' is not a verb{meant} All verbs: {PROGRAM} --help"


def _overview(group: str = "") -> str:
    """Return the help text of all verbs, or of those that begin with `group`."""
    width = max(len(verb.name) for verb in VERBS) + 2
    lines = [f"usage: {' '.join([PROGRAM, *group.split(), 'VERB'])} [options]"]
    if not group:
        lines += ["", "Your own biomedical BERT or GPT, from PubMed and PMC XML to a Hugging Face model."]
    for title, verbs in (("verbs, in the order of use", STAGES), ("verbs for looking around", HELPERS)):
        chosen = [verb for verb in verbs if verb.name.startswith(group)]
        if chosen:
            lines += ["", f"{title}:", *(f"  {verb.name:{width}}{verb.summary}" for verb in chosen)]
    lines += ["", f"`{PROGRAM} VERB --help` explains a verb with an example; --version shows the version."]
    return "\n".join(lines)
