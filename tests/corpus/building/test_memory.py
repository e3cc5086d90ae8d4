import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_ten_million_documents_are_judged_in_little_memory(tmp_path: Path) -> None:
    """What docs/corpus/build.md says: a fixed part and about 23 bytes a document, copies found exactly."""
    documents = 10_000_000
    program = [sys.executable, "-m", "tests.corpus.building.synthetic_collection"]
    words = [str(tmp_path), str(documents), "40"]
    process = subprocess.run([*program, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    kept, _, exact, near, _, copied, peak, _ = map(int, process.stdout.split())
    assert exact == near == copied == documents // 20 and kept == documents - 3 * exact
    assert peak < 600e6, f"{peak / 1e6:.0f} MB"
