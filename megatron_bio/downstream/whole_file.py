"""A file of results is written whole or not at all."""

import json
import os
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError


def write_whole(path: Path, text: str) -> None:
    """Write UTF-8 text, and its folder if need be; after a crash the file is the earlier one or the new one.

    Raises ConfigurationError where the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written: {error.strerror or error}. An earlier file under this name was left as it was; free "
            "space or give another --output."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON likewise. Raises ConfigurationError."""
    write_whole(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
