"""The shared real packages, against a slow reader that shares no code with the package."""

import importlib.util
import json
import re
import tarfile
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest

from megatron_bio.config.extract_pmc import ExtractPmcOptions
from megatron_bio.corpus.document import read_documents
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.pmc.article import Article, ArticleReader
from megatron_bio.corpus.pmc.extract import extract_pmc

TESTS = Path(__file__).parents[2]
DATA = Path(__file__).parents[4] / "shared" / "data" / "pmc"
NAMES = ["oa_comm-sample", "oa_noncomm-sample", "plos", "elife", "odd-nxml"]

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared PMC packages are not at {DATA}")


def articles(name: str) -> dict[str, bytes]:
    found = {}
    with tarfile.open(DATA / f"{name}.tar.gz") as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                found[member.name] = file.read()
    return found


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("jats_reference", TESTS / "references" / "jats.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def letters(text: str) -> str:
    """Superscript letters are letters, and how formulas and spaces are set plays no part."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", text).lower())


@pytest.mark.parametrize(
    ("name", "equal", "worst_share"),
    [
        ("oa_comm-sample", 291, 0.02),
        ("oa_noncomm-sample", 19, 0.02),
        # Formulas in MathML are one word here and several there.
        ("plos", 120, 0.07),
        ("elife", 23, 0.02),
        ("odd-nxml", 12, 0.02),
    ],
)
def test_text_of_the_slow_reader(reference: ModuleType, name: str, equal: int, worst_share: float) -> None:
    ours_in_all = theirs_in_all = same = 0
    for content in articles(name).values():
        (found,) = ArticleReader().read(content)
        if not isinstance(found, Article):
            continue
        abstract, body = reference.read(content)
        ours = "\n".join(found.abstract + found.body)
        theirs = f"{abstract}\n{body}"
        words, expected = len(ours.split()), len(theirs.split())
        assert abs(words - expected) <= worst_share * expected
        ours_in_all += words
        theirs_in_all += expected
        same += letters(ours) == letters(theirs)
    assert abs(ours_in_all - theirs_in_all) <= 0.01 * theirs_in_all
    # The others have numbers of citations glued to words, of which the slow reader knows nothing.
    assert same >= equal


@pytest.mark.parametrize("name", NAMES)
def test_every_article_is_a_record(tmp_path: Path, name: str) -> None:
    output = tmp_path / "documents.jsonl.zst"
    package = DATA / f"{name}.tar.gz"
    extract_pmc(ExtractPmcOptions(inputs=[str(package)], output=output, license="any"))
    report = json.loads(output.with_name(f"{output.name}.report.json").read_text())
    assert report["records_read"] == len(articles(name)) and not report["losses"]
    assert report["skipped"] == ({"article without article-meta": 4} if name == "elife" else {})
    for document in read_documents([output]):
        for line in document.text.split("\n"):
            assert line and line == " ".join(line.split())
        assert not re.search(
            r"\\(?:documentclass|begin|usepackage)|</[a-z]|<xref|Click here for", document.text
        )


def test_commercial_takes_the_commercial_sample_and_refuses_the_other(tmp_path: Path) -> None:
    output = tmp_path / "documents.jsonl.zst"
    extract_pmc(ExtractPmcOptions(inputs=[str(DATA / "oa_comm-sample.tar.gz")], output=output))
    licenses = [document.meta["license"] for document in read_documents([output])]
    assert len(licenses) == 300
    assert set(licenses) == {"CC0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0"}
    with pytest.raises(CorpusError, match="none in 1 files") as raised:
        extract_pmc(
            ExtractPmcOptions(
                inputs=[str(DATA / "oa_noncomm-sample.tar.gz")], output=tmp_path / "no.jsonl.zst"
            )
        )
    refused = re.findall(r"skipped: licence (\S+) +(\d+)", str(raised.value))
    assert dict(refused) == {
        "CC-BY-NC-2.0": "1",
        "CC-BY-NC-3.0": "1",
        "CC-BY-NC-SA-3.0": "16",
        "non-commercial": "2",
    }
