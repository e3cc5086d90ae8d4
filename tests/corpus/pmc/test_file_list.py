import gzip
from pathlib import Path

import pytest

from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.pmc.file_list import FileList

OA = (
    "File,Article Citation,Accession ID,Last Updated (YYYY-MM-DD HH:MM:SS),PMID,License\n"
    'oa_package/a.tar.gz,"Journal, 2001; 1(1):2",PMC13900,2019-11-05 11:56:12,11250746,NO-CC CODE\n'
    "oa_package/b.tar.gz,J. 2002,PMC13901,2019-11-05 11:56:12,,CC BY-NC\n"
)
BULK = (
    "Article File,Article Citation,AccessionID,LastUpdated (YYYY-MM-DD HH:MM:SS),PMID,License,Retracted\n"
    "PMC000xxxxxx/PMC5.xml,J. 2003,PMC5,2023-01-01 00:00:00,1,CC0,no\n"
    "PMC000xxxxxx/PMC6.xml,J. 2003,PMC6,2023-01-01 00:00:00,2,CC BY,yes\n"
)


def test_lists_of_all_forms(tmp_path: Path) -> None:
    (tmp_path / "oa.csv").write_text(OA)
    (tmp_path / "bulk.csv.gz").write_bytes(gzip.compress(BULK.encode()))
    (tmp_path / "bulk.txt").write_text(BULK.replace("PMC6", "PMC7").replace(",", "\t"))
    (tmp_path / "old.txt").write_text("2015-01-01 10:00:00\na/b.tar.gz\tJ. 2004\tPMC8\tPMID:3\tCC BY-NC-ND\n")
    found = FileList.read([tmp_path / name for name in ("oa.csv", "bulk.csv.gz", "bulk.txt", "old.txt")])
    assert [found.look_up(number) for number in (13900, 13901, 5, 6, 7, 8, 9, 10**9, -1)] == [
        ("unknown", False),
        ("CC-BY-NC", False),
        ("CC0", False),
        ("CC-BY", True),
        ("CC-BY", True),
        ("CC-BY-NC-ND", False),
        None,
        None,
        None,
    ]
    assert not FileList.read([])


@pytest.mark.parametrize("content", ["", "<article/>", "a,b,c\n1,2,3\n", "x" * 200_000 + ",PMC1\n"])
def test_what_is_no_list(tmp_path: Path, content: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(content)
    with pytest.raises(DamagedFileError, match="expected a list of PMC"):
        FileList.read([path])


def test_a_number_out_of_all_reason_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(OA + "f,c,PMC9999999999,2019,1,CC BY\n")
    assert FileList.read([path]).look_up(9_999_999_999) is None
