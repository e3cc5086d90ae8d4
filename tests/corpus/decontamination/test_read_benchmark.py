"""Each format by a small sample, and what is refused."""

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from megatron_bio.corpus.decontamination.benchmark import Benchmark, BenchmarkItem
from megatron_bio.corpus.decontamination.read import read_benchmark
from megatron_bio.corpus.errors import CorpusError, DamagedFileError

PUBTATOR = (
    "101|t|Lithium and tremor\n101|a|Tremor | is common.\n101\t0\t7\tLithium\tChemical\tD008094\n101\tCID\tD008094\tD014202\n\n"
    "102|t|Second title\n102|a|\n"
)
IOB = "Lithium\tB-Chemical\n-\tO\ninduced\tO\n\n\nTremor\tO\n.\tO\n"
CONLL = "-DOCSTART- -X- O\n\nLithium NN B-Chemical\ninduced VBD O\n\nTremor NN O\n\n-DOCSTART- -X- O\n\nNone NN O\n"
BIOC = """<?xml version="1.0"?><!DOCTYPE collection [<!ENTITY leak SYSTEM "file:///etc/passwd">]>
<collection><source>PubMed</source>
<document><id>301</id><passage><offset>0</offset><text>A title &lt; here</text></passage>
<passage><sentence><text>One.</text></sentence><sentence><text>Two &leak;.</text></sentence></passage></document>
<document><id>PMC7</id><passage><infon key="article-id_pmid">302</infon><text>Full text</text></passage></document>
</collection>"""
BIOASQ = {
    "questions": [
        {
            "id": "5a6",
            "body": "Is lithium toxic?",
            "documents": ["http://www.ncbi.nlm.nih.gov/pubmed/401", "https://pubmed.ncbi.nlm.nih.gov/402/"],
            "snippets": [{"text": "It is.", "document": "http://www.ncbi.nlm.nih.gov/pubmed/401"}],
            "ideal_answer": ["Yes."],
        },
        {"body": "A test question?"},
    ]
}
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {
                    "context": "A context.",
                    "qas": [{"id": "1", "question": "Why?", "answers": [{"text": "A"}]}],
                }
            ],
        }
    ],
}
PUBMEDQA = {
    "501": {
        "QUESTION": "Does it help?",
        "CONTEXTS": ["Part one.", "Part two."],
        "LONG_ANSWER": "It does.",
        "MESHES": ["X"],
    }
}
MEDQA = {"question": "A man of 50?", "answer": "No", "options": {"A": "Yes", "B": "No"}, "answer_idx": "B"}
MEDMCQA = {
    "id": "x1",
    "question": "Which?",
    "opa": "One",
    "opb": "Two",
    "opc": "Three",
    "opd": "Four",
    "exp": None,
    "cop": 1,
}
OWN = {"id": "pubmed:601", "title": "T", "text": "Body", "source": "pubmed", "meta": {"pmid": 601}}

Item = BenchmarkItem


def jsonl(*records: object) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


@pytest.fixture
def benchmark(tmp_path: Path) -> Callable[[str | bytes], Benchmark]:
    def read(content: str | bytes) -> Benchmark:
        path = tmp_path / "test.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_benchmark(path)

    return read


FORMATS = {
    "PMID list": (
        "PMID list",
        "# the test set\n12 # one\n\nPMID: 13\npubmed:14\nhttps://pubmed.ncbi.nlm.nih.gov/15/\r\n",
        [Item(name=f"PMID {pmid}", pmids=(pmid,)) for pmid in (12, 13, 14, 15)],
    ),
    "PMID list with a head": (
        "PMID list",
        '"pmid"\n"12"\n13.0\n',
        [Item(name=f"PMID {pmid}", pmids=(pmid,)) for pmid in (12, 13)],
    ),
    "PMID list in JSON": (
        "PMID list",
        '[\n 12,\n "13",\n "PMID:14"\n]\n',
        [Item(name=f"PMID {pmid}", pmids=(pmid,)) for pmid in (12, 13, 14)],
    ),
    "PMID list under a key": (
        "JSON records",
        '{"pmids": [12, "13"]}',
        [Item(name="line 1", pmids=(12, 13))],
    ),
    "ChemProt abstracts": (
        "table with PMIDs",
        "7\tA title of eight words or more than that\tOne two three four five six seven eight.\n8\tShort\tShort too\n",
        [
            Item(
                name="PMID 7",
                pmids=(7,),
                whole=(
                    "A title of eight words or more than that",
                    "One two three four five six seven eight.",
                ),
            ),
            Item(name="PMID 8", pmids=(8,)),
        ],
    ),
    "ChemProt entities, with a head": (
        "table with PMIDs",
        "PMID\tterm\ttype\n7\tT1\tCHEMICAL\t0\t7\tlithium\n7\tT2\tGENE-Y\t9\t12\tTNF\n9\tT1\tGENE-N\t1\t2\tx\n",
        [Item(name="PMID 7", pmids=(7,)), Item(name="PMID 9", pmids=(9,))],
    ),
    "PubTator": (
        "PubTator",
        PUBTATOR,
        [
            Item(
                name="PMID 101", pmids=(101,), whole=("Lithium and tremor",), texts=("Tremor | is common.",)
            ),
            Item(name="PMID 102", pmids=(102,), whole=("Second title",), texts=("",)),
        ],
    ),
    "IOB": (
        "IOB",
        IOB,
        [
            Item(name="sentence at line 1", whole=("Lithium - induced",)),
            Item(name="sentence at line 6", whole=("Tremor .",)),
        ],
    ),
    "CoNLL with documents": (
        "IOB",
        CONLL,
        [
            Item(name="document at line 3", whole=("Lithium induced Tremor",)),
            Item(name="document at line 10", whole=("None",)),
        ],
    ),
    "BioC XML": (
        "BioC XML",
        BIOC,
        [
            Item(name="document 301", pmids=(301,), whole=("A title < here", "One.", "Two &leak;.")),
            Item(name="document PMC7", pmids=(302,), whole=("Full text",)),
        ],
    ),
    "BioC JSON": (
        "BioC JSON",
        json.dumps({"documents": [{"id": "301", "passages": [{"text": "A"}, {"infons": {}}]}]}),
        [Item(name="document 301", pmids=(301,), whole=("A",))],
    ),
    "BioASQ": (
        "BioASQ",
        json.dumps(BIOASQ, indent=1),
        [
            Item(name="question 5a6", pmids=(401, 402), whole=("Is lithium toxic?", "It is.")),
            Item(name="question questions[1]", whole=("A test question?",)),
        ],
    ),
    "SQuAD": (
        "SQuAD",
        json.dumps(SQUAD),
        [Item(name="data[0].paragraphs[0]", whole=("A context.", "Why?"))],
    ),
    "PubMedQA": (
        "PubMedQA",
        json.dumps(PUBMEDQA),
        [
            Item(
                name="PMID 501",
                pmids=(501,),
                whole=("Does it help?",),
                texts=("Part one.", "Part two.", "It does."),
            )
        ],
    ),
    "PubMedQA ground truth": (
        "PubMedQA",
        '{"501": "yes", "502": "no"}',
        [Item(name="PMID 501", pmids=(501,)), Item(name="PMID 502", pmids=(502,))],
    ),
    "PubMedQA of the hubs": (
        "JSON records",
        jsonl(
            {"pubid": 501, "question": "Q", "context": {"contexts": ["C", "D"], "labels": ["L"]}},
            {"pubid": 502},
        ),
        [
            Item(name="line 1", pmids=(501,), whole=("Q",), texts=("C", "D", "L")),
            Item(name="line 2", pmids=(502,)),
        ],
    ),
    "MedQA": (
        "MedQA",
        jsonl(MEDQA, MEDQA),
        [Item(name=f"line {line}", whole=("A man of 50?",), texts=("Yes", "No")) for line in (1, 2)],
    ),
    "MedQA, one line": (
        "MedQA",
        jsonl(MEDQA),
        [Item(name="line 1", whole=("A man of 50?",), texts=("Yes", "No"))],
    ),
    "MedMCQA": (
        "MedMCQA",
        "\ufeff" + jsonl(MEDMCQA) + "\n" + jsonl(MEDMCQA),
        [Item(name="x1", whole=("Which?",), texts=("One", "Two", "Three", "Four"))] * 2,
    ),
    "our own documents": (
        "JSON records",
        jsonl(OWN, {"text": "Only text"}, {"text": "", "meta": {"pmid": "602"}}),
        [
            Item(name="pubmed:601", pmids=(601,), whole=("T",), texts=("Body",)),
            Item(name="line 2", whole=("Only text",)),
            Item(name="line 3", pmids=(602,), whole=("",)),
        ],
    ),
    "tokens": (
        "JSON records",
        json.dumps([{"id": 3, "tokens": ["TNF", "-", "a"], "ner_tags": [1, 2, 2]}]),
        [Item(name="3", whole=("TNF - a",))],
    ),
}


@pytest.mark.parametrize(("form", "content", "items"), FORMATS.values(), ids=FORMATS)
def test_format(benchmark: Callable[..., Benchmark], form: str, content: str, items: list[Item]) -> None:
    found = benchmark(content)
    assert found.format == form
    assert list(found.items) == items


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress])
def test_compressed(benchmark: Callable[..., Benchmark], pack: Callable[[bytes], bytes]) -> None:
    packed, plain = benchmark(pack(IOB.encode())), benchmark(IOB)
    assert packed == plain, "the same content, whatever holds it"


def test_name_has_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "BC5CDR" / "test.tsv"
    path.parent.mkdir()
    path.write_text(IOB)
    assert read_benchmark(path).name == "BC5CDR/test.tsv", "test.tsv alone would not tell which"


DAMAGED = {
    "empty": ("", "no content"),
    "blank": ("\n \n", "no content"),
    "only comments": ("# nothing\n# more\n", "found none"),
    "no questions": ('{"questions": []}', "found none"),
    "document of nothing": ('{"documents": [{"id": "x", "passages": [{"text": ""}]}]}', "found none"),
    "no records": ("[]", "found none"),
    "no object": ("{}", "line 1: expected a text or a PMID"),
    "word in a PMID list": ("12\n13\nfourteen\n", "line 3: expected a PMID, found 'fourteen'"),
    "head in the middle of a PMID list": ("12\npmid\n", "line 2: expected a PMID, found 'pmid'"),
    "only a head": ("pmid\n", "found none"),
    "word in a PMID list in JSON": ("[12, true]", "entry 2 of the list: expected a PMID"),
    "PMID 0": ("12\n0\n", "line 2: expected a PMID"),
    "row without PMID": ("7\ta\n\nb\tc\n", "line 3: expected a PMID, a tab"),
    "PubTator mark of another text": ("7|t|A\n7|a|B\n8\t0\t1\tx\n", "line 3: expected PMID|t|title"),
    "PubTator torn": ("7|t|A\n7|a|B\nhello\n", "line 3"),
    "IOB without tag": ("a\tO\nb\tO\nc\n", "line 3: expected a token and an IOB tag, found 'c'"),
    "IOB with another tag": ("a\tO\nb\tnoun\n", "line 2"),
    "not UTF-8": (b"a\tO\ncaf\xe9\tO\n", "line 2: expected UTF-8, found the byte 0xe9"),
    "zero bytes": (b"a\tO\n\x00\x00", "line 2: expected text, found a zero byte. Unpack archives"),
    "JSON cut off": ('{"questions": [\n {"body": "x"', "line 2, column"),
    "JSONL line cut off": ('{"text": "a"}\n{"text": "b"}\n{"text": "', "line 3, column 10"),
    "JSONL line without text": (
        '{"text": "a"}\n{"label": 1}\n',
        "line 2: expected a text or a PMID under one of",
    ),
    "JSONL line that is a list": ('{"text": "a"}\n{"text": "b"}\n[1]\n', "line 3: expected a JSON object"),
    "BioASQ without question": (
        '{"questions": [{"body": "x"}, {"id": 1}]}',
        "questions[1]: expected a text under 'body'",
    ),
    "BioASQ with a wrong snippet": (
        '{"questions": [{"body": "x", "snippets": ["y"]}]}',
        "questions[0].snippets[0]",
    ),
    "BioASQ with a wrong document": (
        '{"questions": [{"body": "x", "documents": [1]}]}',
        "list of texts under 'documents'",
    ),
    "SQuAD without context": (
        '{"data": [{"paragraphs": [{"qas": []}]}]}',
        "data[0].paragraphs[0]: expected a text",
    ),
    "PubMedQA without question": ('{"5": {"CONTEXTS": []}}', "PMID 5: expected a text under 'QUESTION'"),
    "too deep": ("[" * 100_000, "line 1: expected JSON of reasonable depth"),
    "number too long": ("[" + "1" * 5_000 + "]", "line 1: expected JSON of reasonable depth and numbers"),
    "XML cut off": ("<collection>\n<document>", "line 2: expected well-formed BioC XML"),
    "another XML": ("<article/>", "root element collection, found"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_named(benchmark: Callable[..., Benchmark], content: str | bytes, message: str) -> None:
    with pytest.raises(DamagedFileError) as raised:
        benchmark(content)
    assert "test.txt: " in str(raised.value) and message in str(raised.value)


def test_truncated_gzip(benchmark: Callable[..., Benchmark]) -> None:
    with pytest.raises(DamagedFileError, match="truncated"):
        benchmark(gzip.compress(IOB.encode() * 100)[:-20])


def test_unknown_format_lists_what_is_understood(benchmark: Callable[..., Benchmark]) -> None:
    with pytest.raises(CorpusError) as raised:
        benchmark("Once upon a time\nthere was a file.\n")
    for word in (
        "PMID",
        "PubTator",
        "IOB",
        "BioC",
        "BioASQ",
        "SQuAD",
        "PubMedQA",
        "MedQA",
        "MedMCQA",
        "ChemProt",
    ):
        assert word in str(raised.value)
    assert "starts with 'Once upon a time'" in str(raised.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="cannot be opened"):
        read_benchmark(tmp_path / "none.txt")
