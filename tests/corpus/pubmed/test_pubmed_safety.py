"""Hostile and damaged PubMed files."""

import gzip
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.records import Lost
from megatron_bio.corpus.pubmed.citation import Citation
from megatron_bio.corpus.pubmed.read import read_pubmed

Make = Callable[..., str]
Write = Callable[..., Path]
ENTITY = "entity that is never expanded"


def message_of(path: Path) -> str:
    """What is said of a file that cannot be read on, or of its first place of damage."""
    try:
        losses = [record for record in read_pubmed(path) if isinstance(record, Lost)]
    except DamagedFileError as error:
        return str(error)
    assert losses, "expected damage"
    return f"{losses[0].path}: {losses[0].message}"


def test_external_entity_is_not_read(citation: Make, pubmed_file: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOPSECRET")
    doctype = f'<!DOCTYPE PubmedArticleSet [<!ENTITY leak SYSTEM "{secret.as_uri()}"><!ENTITY pass SYSTEM "file:///etc/passwd">]>'
    path = pubmed_file(
        citation(1, abstract="<AbstractText>a &leak; b &pass;</AbstractText>"), citation(2), doctype=doctype
    )
    records = list(read_pubmed(path))
    assert "TOPSECRET" not in repr(records) and "root:" not in repr(records)
    refused, kept = records
    assert isinstance(refused, Lost) and (refused.reason, refused.records) == (ENTITY, 1)
    assert isinstance(kept, Citation), "one bad record must not cost its neighbours"
    byte = path.read_bytes().index(b"&leak;")
    assert refused.message.startswith(
        f"line 4 (byte {byte:,} of the XML): expected only entities of XML and HTML"
    )
    assert (
        "found '&leak;' in the record of PMID 1. A file's own entities are never expanded: write"
        in refused.message
    )


def test_external_dtd_and_parameter_entities_are_not_loaded(
    citation: Make, pubmed_file: Write, tmp_path: Path
) -> None:
    dtd = tmp_path / "evil.dtd"
    dtd.write_text('<!ENTITY leak "TOPSECRET">')
    for doctype in (
        f'<!DOCTYPE PubmedArticleSet SYSTEM "{dtd.as_uri()}">',
        f'<!DOCTYPE PubmedArticleSet [<!ENTITY % load SYSTEM "{dtd.as_uri()}"> %load;]>',
    ):
        path = pubmed_file(citation(1, abstract="<AbstractText>a &leak; b</AbstractText>"), doctype=doctype)
        (refused,) = read_pubmed(path)
        assert isinstance(refused, Lost) and refused.reason == ENTITY and "&leak;" in refused.message


def test_billion_laughs_are_not_expanded(citation: Make, pubmed_file: Write) -> None:
    laughs = '<!ENTITY l0 "ha">' + "".join(
        f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 12)
    )
    doctype = f"<!DOCTYPE PubmedArticleSet [{laughs}]>"
    started = time.monotonic()
    for abstract, named in (
        ("<AbstractText>&l11;</AbstractText>", "&l11;"),
        ("<AbstractText>&alpha; &lt; &l2;</AbstractText>", "&l2;"),
        ("<AbstractText><![CDATA[&a;]]> <!-- &b; --> <?c &c;?> &l2;</AbstractText>", "&l2;"),
        ('<AbstractText Label="&l11;">x</AbstractText>', "&l11;"),
        ('<AbstractText Label="&l2;">x</AbstractText>', "&l2;"),
        ('<AbstractText Label="&alpha;">x</AbstractText>', "&alpha;"),
    ):
        path = pubmed_file(citation(1, abstract=abstract), citation(2), doctype=doctype)
        refused, kept = read_pubmed(path)
        assert (
            isinstance(refused, Lost)
            and refused.reason == ENTITY
            and f"found '{named}' in" in refused.message
        )
        assert isinstance(kept, Citation)
    assert time.monotonic() - started < 5


def test_named_entities_of_html_are_understood(citation: Make, pubmed_file: Write) -> None:
    path = pubmed_file(citation(1, abstract="<AbstractText>TNF-&alpha; &lt; 5&nbsp;&micro;g</AbstractText>"))
    (record,) = read_pubmed(path)
    assert isinstance(record, Citation) and record.abstract == "TNF-α < 5 µg"


def test_not_well_formed_names_file_and_line(citation: Make, pubmed_file: Write) -> None:
    path = pubmed_file(citation(1), "\n<PubmedArticle></PubmedArtikel>")
    message = message_of(path)
    assert (
        str(path) in message
        and "line 6" in message
        and "expected </PubmedArticle>" in message
        and "Download" in message
    )
    joined = path.with_name("joined.xml")
    joined.write_text("<PubmedArticleSet></PubmedArticleSet>\n<PubmedArticleSet></PubmedArticleSet>")
    assert "line 2" in message_of(joined) and "split" in message_of(joined)
    cut = path.with_name("cut.xml")
    cut.write_text("<PubmedArticleSet>\n" + citation(1) + "<PubmedArt")
    assert "line 2 (byte 385 of the XML): expected </PubmedArticleSet>, found the end" in message_of(cut)


def test_wrong_root_element(tmp_path: Path) -> None:
    path = tmp_path / "PMC1.nxml"
    path.write_text("<article><front/></article>")
    message = message_of(path)
    assert "<article>" in message and "full text" in message and "PubmedArticleSet" in message


def test_empty_files(tmp_path: Path) -> None:
    for content in (b"", gzip.compress(b"")):
        path = tmp_path / "empty.xml.gz"
        path.write_bytes(content)
        assert "empty.xml.gz: expected PubMed XML, found an empty file" in message_of(path)
    path.write_bytes(b"no XML at all")
    assert "line 1: expected well-formed PubMed XML" in message_of(path)


def test_truncated_and_damaged_gzip_name_the_byte(citation: Make, pubmed_file: Write, tmp_path: Path) -> None:
    whole = gzip.compress(pubmed_file(*(citation(pmid) for pmid in range(500))).read_bytes())
    path = tmp_path / "cut.xml.gz"
    path.write_bytes(whole[:-50])
    assert f"at byte {len(whole) - 50:,}" in message_of(path) and "truncated" in message_of(path)
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    assert f"found damage somewhere before byte {len(whole):,} " in message_of(
        path
    ) and "checksum" in message_of(path)


MEMORY_PROGRAM = """
import sys
from pathlib import Path
from megatron_bio.corpus.pubmed.read import read_pubmed

def resident_kilobytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

sizes = [resident_kilobytes() for number, _ in enumerate(read_pubmed(Path(sys.argv[1]))) if number % 1000 == 999]
print(sizes[0], max(sizes), len(sizes))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to see the resident memory")
@pytest.mark.parametrize("words", [0, 500])
def test_memory_does_not_grow_with_the_file(words: int, citation: Make, pubmed_file: Write) -> None:
    abstract = f"<AbstractText>{'word ' * words}</AbstractText>"
    path = pubmed_file(*(citation(pmid, abstract=abstract) for pmid in range(8_000)))
    command = [sys.executable, "-c", MEMORY_PROGRAM, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    first, largest, count = map(int, result.stdout.split())
    assert count == 8
    assert largest - first < 4_000, "records must be released after use"
