"""Files of a few lines, written as the test says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.tokens.data_file import DataFile

WrittenFile = Callable[..., DataFile]


@pytest.fixture
def written(tmp_path: Path) -> WrittenFile:
    """Writes text or bytes under a name and opens it."""

    def write(content: str | bytes, name: str = "train.tsv") -> DataFile:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return DataFile(path)

    return write
