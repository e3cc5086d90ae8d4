from pathlib import Path

import pytest

SENTENCES = [
    "Aspirin\tO\nlowers\tO\nfever\tB-Disease\n",
    "Chronic\tB-Disease\ninflammation\tI-Disease\nin\tO\nmice\tO\n",
    "No\tO\nheadache\tB-Disease\nwas\tO\nfound\tO\n",
    "Metformin\tO\nin\tO\nhuman\tO\nplatelets\tO\n",
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for benchmark in ("NCBI-disease", "mine"):
        (folder / benchmark).mkdir(parents=True)
        for part, times in (("train", 6), ("devel", 2), ("test", 1)):
            (folder / benchmark / f"{part}.tsv").write_text("\n".join(SENTENCES * times), encoding="utf-8")
    return folder
