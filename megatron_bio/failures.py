"""How failures and warnings are told: one message on stderr, also when many ranks have the same."""

import hashlib
import json
import os
import sys
import time
from pathlib import Path


def refusal_message(error: OSError) -> str:
    """Say which file the system refused and why."""
    where = f"{error.filename}: " if error.filename else ""
    return (
        f"{where}{error.strerror}. Free space, mend the permissions or give another path, then start again."
    )


def tell(program: str, message: str) -> None:
    """Print `PROGRAM: message` on stderr; of the ranks that torchrun started on this machine one does."""
    if (error_file := _error_file()) is None:
        print(f"{program}: {_rank_prefix()}{message}", file=sys.stderr, flush=True)
    elif _is_first_to_tell(error_file.parent.parent, message):
        print(f"{program}: {message}", file=sys.stderr, flush=True)


def tell_failure(program: str, message: str) -> None:
    """Print the message that ends this process, and give it to torchrun, which repeats it at the end of its own output."""
    tell(program, message)
    report_to_torchrun(program, message)


def report_to_torchrun(program: str, message: str) -> None:
    """Give torchrun, if it started this process, the message to repeat at the end."""
    if (error_file := _error_file()) is None:
        return
    content = {"message": f"{program}: {message}", "extraInfo": {"timestamp": int(time.time())}}
    # torchrun ends the other ranks as soon as one has failed: half a file must not stay.
    partial = error_file.with_suffix(".partial")
    try:
        partial.write_text(json.dumps({"message": content}), encoding="utf-8")
        partial.replace(error_file)
    except OSError as error:
        print(f"{program}: {error_file} cannot be written: {error.strerror}", file=sys.stderr)


def _error_file() -> Path | None:
    """Return where torchrun wants this rank's failure told: FOLDER/RANK/error.json, FOLDER being this machine's."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    return Path(path) if path else None


def _is_first_to_tell(folder: Path, message: str) -> bool:
    """Return whether no other rank of this machine has told this message; an unusable folder never silences one."""
    mark = folder / f"told-{hashlib.sha256(message.encode()).hexdigest()[:16]}"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def _rank_prefix() -> str:
    """Return which of several processes speaks, where another launcher than torchrun started them."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return ""
    return f"rank {os.environ.get('RANK', '?')}: "
