"""ChemProt's files and tables of anonymised sentences."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.downstream.readers.chemprot import (
    ACROSS_PAIRS,
    ACROSS_SENTENCES,
    NOT_EVALUATED,
    SECOND_CLASS,
    ChemProtFiles,
    chemprot_part,
    read_chemprot,
)
from megatron_bio.downstream.readers.relation_forms import Argument, Pair
from megatron_bio.downstream.readers.relation_table import NO_TWO_PLACEHOLDERS, read_relation_table
from megatron_bio.tokens.data_file import DamagedFileError, DataFile

WrittenFile = Callable[..., DataFile]
TITLE = "Aspirin inhibits COX-1."
ABSTRACT = "Choline acetyltransferase was unchanged. Aspirin was given."
TEXT = f"{TITLE} {ABSTRACT}"
MENTIONS = (
    ("T1", "CHEMICAL", "Aspirin", 0),
    ("T2", "GENE-Y", "COX-1", 0),
    ("T3", "CHEMICAL", "Choline", 0),
    ("T4", "GENE-N", "Choline acetyltransferase", 0),
    ("T5", "CHEMICAL", "Aspirin", 10),
)
RELATIONS = (
    ("CPR:4", "Y ", "T1", "T2"),
    ("CPR:6", "Y ", "T1", "T2"),
    ("CPR:9", "Y ", "T5", "T4"),
    ("CPR:2", "N ", "T3", "T4"),
)


@pytest.fixture
def chemprot(tmp_path: Path) -> ChemProtFiles:
    entities, relations, gold = "", "", ""
    for name, kind, mention, after in MENTIONS:
        start = TEXT.index(mention, after)
        entities += f"77\t{name}\t{kind}\t{start}\t{start + len(mention)}\t{mention}\n"
    for label, flag, first, second in RELATIONS:
        relations += f"77\t{label}\t{flag}\tNAME\tArg1:{first}\tArg2:{second}\n"
        if flag == "Y ":
            gold += f"77\t{label}\tArg1:{first}\tArg2:{second}\n"
    paths = {}
    for kind, content in {
        "abstracts": f"77\t{TITLE}\t{ABSTRACT}\n",
        "entities": entities,
        "relations": relations,
        "gold_standard": gold,
    }.items():
        paths[kind] = tmp_path / f"own_training_{kind}.tsv"
        paths[kind].write_text(content, encoding="utf-8")
    return ChemProtFiles(name="own_training", **paths)


def test_pairs_of_a_sentence_and_what_is_left_out(chemprot: ChemProtFiles) -> None:
    relations = read_chemprot(chemprot)
    assert [(pair.first.id, pair.second.id, pair.label) for pair in relations.pairs] == [
        ("T1", "T2", "CPR:4"),
        ("T3", "T4", "false"),
    ]
    assert relations.gold_by_label() == {"CPR:4": 1, "CPR:6": 1, "CPR:9": 1}
    assert relations.left_out == {NOT_EVALUATED: 1, SECOND_CLASS: 1, ACROSS_SENTENCES: 1, ACROSS_PAIRS: 4}
    assert (relations.documents, relations.sentences, relations.offsets_verified) == (1, 3, 5)
    assert relations.entities_by_type == {"CHEMICAL": 3, "GENE-Y": 1, "GENE-N": 1}


def test_marked_and_anonymised(chemprot: ChemProtFiles) -> None:
    apart, nested = read_chemprot(chemprot).pairs
    assert apart.marked() == "[E1] Aspirin [/E1] inhibits [E2] COX-1 [/E2]."
    assert apart.anonymised() == "@CHEMICAL$ inhibits @GENE$."
    assert nested.marked() == "[E2] [E1] Choline [/E1] acetyltransferase [/E2] was unchanged."
    assert nested.anonymised() == "@CHEMICAL-GENE$ was unchanged."


@pytest.mark.parametrize(
    ("first", "second", "marked"),
    [
        ((0, 1), (1, 2), "[E1] a [/E1][E2] b [/E2]cd"),
        ((1, 2), (0, 1), "[E2] a [/E2][E1] b [/E1]cd"),
        ((0, 4), (2, 4), "[E1] ab[E2] cd [/E2] [/E1]"),
        ((2, 3), (1, 4), "a[E2] b[E1] c [/E1]d [/E2]"),
        ((1, 3), (1, 3), "a[E1] [E2] bc [/E2] [/E1]d"),
        ((0, 2), (1, 4), "[E1] a[E2] b [/E1]cd [/E2]"),
    ],
)
def test_marks_of_arguments_in_any_position(
    first: tuple[int, int], second: tuple[int, int], marked: str
) -> None:
    pair = Pair(
        document="77",
        text="abcd",
        first=Argument(id="T1", type="CHEMICAL", start=first[0], end=first[1]),
        second=Argument(id="T2", type="GENE", start=second[0], end=second[1]),
        label="false",
    )
    assert pair.marked() == marked
    assert re.sub(r" ?\[/E\d\]|\[E\d\] ?", "", pair.marked()) == "abcd"


def test_the_relations_file_alone_and_the_gold_standard_alone(chemprot: ChemProtFiles) -> None:
    whole = read_chemprot(chemprot)
    for without in ("relations", "gold_standard"):
        given = {
            kind: getattr(chemprot, kind) for kind in ("abstracts", "entities", "relations", "gold_standard")
        }
        part = read_chemprot(ChemProtFiles(name="own", **given | {without: None}))
        assert (part.pairs, part.gold) == (whole.pairs, whole.gold)


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        (
            "entities",
            "\t0\t7\t",
            "\t1\t8\t",
            "line 1: expected the mention 'Aspirin' at characters 1 to 8 of document 77",
        ),
        (
            "entities",
            "GENE-N",
            "PROTEIN",
            "line 4: expected the type CHEMICAL, GENE-Y or GENE-N or GENE, found 'PROTEIN'",
        ),
        ("entities", "77\tT2", "78\tT2", "line 2: expected a PMID of the abstracts' file, found '78'"),
        ("entities", "T2", "T1", "line 2: expected each id once in document 77, found T1 again"),
        ("entities", "\t0\t7", "\tx\t7", "line 1: expected two offsets"),
        (
            "abstracts",
            f"\t{ABSTRACT}",
            "",
            "line 1: expected 3 columns with tabs (PMID, title, abstract), found 2",
        ),
        ("relations", "N ", "?", "line 4: expected Y or N in the third column"),
        ("relations", "Arg2:T4", "Arg2:T9", "line 3: expected ids of mentions of document 77, found 'T9'"),
        (
            "relations",
            "Arg1:T3",
            "Arg1:T4",
            "line 4: expected a chemical and a gene, found GENE-N and GENE-N",
        ),
        ("relations", "CPR:4", "CPR4", "line 1: expected a class CPR:n, found 'CPR4'"),
        ("gold_standard", "CPR:4", "CPR:2", "line 1: expected one of the evaluated classes CPR:3"),
        ("gold_standard", "CPR:6", "CPR:5", "expected the relations with Y of"),
    ],
)
def test_damage_is_named_with_file_and_line(
    chemprot: ChemProtFiles, kind: str, old: str, new: str, message: str
) -> None:
    path: Path = getattr(chemprot, kind)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DamagedFileError) as raised:
        read_chemprot(chemprot)
    assert f"{path}: " in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chemprot_training_entities.tsv.gz", ("chemprot_training", "entities")),
        ("chemprot_test_abstracts_gs.tsv", ("chemprot_test", "abstracts")),
        ("chemprot_development_gold_standard.tsv", ("chemprot_development", "gold_standard")),
        ("chemprot_sample_predictions.tsv", None),
        ("train.tsv", None),
    ],
)
def test_names_of_chemprots_files(name: str, expected: tuple[str, str] | None) -> None:
    assert chemprot_part(Path(name)) == expected


@pytest.mark.parametrize("head", ["", "index\tsentence\tlabel\n"])
def test_a_table(written: WrittenFile, head: str) -> None:
    table = read_relation_table(
        written(f"{head}1\tThe @GENE$ gene and @DISEASE$.\t1\n2\t@CHEM-GENE$ too.\t0\n3\tOnly @GENE$.\t0\n"),
        ["0", "1"],
    )
    assert [(pair.label, pair.place - bool(head)) for pair in table.pairs] == [("1", 1), ("0", 2)]
    assert table.left_out == {NO_TWO_PLACEHOLDERS: 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("@GENE$ and @DISEASE$\t2", "line 2: expected a label of ['0', '1'] in the last column, found '2'"),
        ("@GENE$ and @DISEASE$\t", "line 2: expected a label of"),
        ("@GENE$ and @DISEASE$", "line 2: expected 2 columns with tabs"),
    ],
)
def test_a_bad_line_of_a_table(written: WrittenFile, line: str, message: str) -> None:
    with pytest.raises(DamagedFileError, match=re.escape(message)):
        read_relation_table(written(f"@GENE$ or @DISEASE$\t1\n{line}\n"), ["0", "1"])


def test_a_table_without_placeholders(written: WrittenFile) -> None:
    with pytest.raises(DamagedFileError, match="sentences with two placeholders"):
        read_relation_table(written("A sentence\t1\n"))
