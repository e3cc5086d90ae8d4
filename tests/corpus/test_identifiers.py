"""PMID and PMCID are the same number in whichever form they come."""

import math

import pytest

from megatron_bio.corpus.document import Document
from megatron_bio.corpus.identifiers import as_pmid, pmcid_of, pmid_of


@pytest.mark.parametrize(
    "value",
    [
        4,
        4.0,
        "4",
        " 4 ",
        "4.0",
        "4.00",
        "0004",
        "PMID:4",
        "PMID: 4",
        "pmid 4",
        "pubmed:4",
        "https://pubmed.ncbi.nlm.nih.gov/4/",
        "http://www.ncbi.nlm.nih.gov/pubmed/4",
    ],
)
def test_forms_of_a_pmid(value: object) -> None:
    assert as_pmid(value) == 4
    assert pmid_of(Document(id="pubmed:5", text="", meta={"pmid": value})) == 4


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -4,
        4.5,
        math.nan,
        math.inf,
        10**9,
        10**400,
        "",
        "0",
        "4.5",
        "4a",
        "PMC4",
        "4 5",
        "٤",
        [4],
        {"4": 4},
    ],
)
def test_no_pmid(value: object) -> None:
    assert as_pmid(value) is None
    assert pmid_of(Document(id="x:5", text="", meta={"pmid": value})) is None
    assert pmid_of(Document(id="pubmed:5", text="", meta={"pmid": value})) == 5


@pytest.mark.parametrize("value", ["PMC4", "pmc4", "4", 4, 4.0, "PMC4.2", "PMCID: PMC4", " PMC4"])
def test_forms_of_a_pmcid(value: object) -> None:
    assert pmcid_of(Document(id="pmc:PMC5", text="", meta={"pmcid": value})) == "PMC4"


@pytest.mark.parametrize("value", [None, True, 0, "", "PMC", "PMCX4", [4]])
def test_no_pmcid(value: object) -> None:
    assert pmcid_of(Document(id="x", text="", meta={"pmcid": value})) is None
    assert pmcid_of(Document(id="pmc:PMC5", text="", meta={"pmcid": value})) == "PMC5"
