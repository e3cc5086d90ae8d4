"""Writes the quickstart's corpus: PubMed XML with about 2,500 FICTIONAL records.

    python examples/quickstart/generate_sample.py [OUTPUT.xml.gz]

Every study, author, journal and number is invented; nothing is copied from PubMed, and the PMIDs (from 90,000,001) are
not in use. The background is textbook knowledge in general form (which class a drug belongs to, what it acts on, which
disease it treats; which organ, cells, marker, gene and symptoms belong to a disease), kept in `sample/diseases.tsv` and
`sample/drugs.tsv`, so that facts hold throughout the corpus and can be learned. An abstract follows one study from the
background to the conclusion with the sentences of `sample/sentences.tsv`; its numbers agree with each other.

The records come in groups from one invented research group, on one disease and drug, with its own habits of phrase; a
topic comes back several times in the file. A few records are odd on purpose: no abstract, a very short or truncated one,
a translated title, a second version, a deletion. The same program always writes the same XML.
"""

import csv
import gzip
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

GROUPS = 178
GROUP_SIZE = 14
FIRST_PMID = 90_000_001
SEED = 20
SAMPLE_FOLDER = Path(__file__).parent / "sample"
DEFAULT_OUTPUT = SAMPLE_FOLDER / "pubmed-sample.xml.gz"

KINDS = ("placebo", "placebo", "dose", "equal", "cells", "mice", "gene", "marker", "safety")
KINDS_PER_GROUP = 3
SLOTS_BY_LABEL = {
    "BACKGROUND": ("disease_fact", "drug_fact", "gap", "aim"),
    "METHODS": ("methods", "endpoint"),
    "RESULTS": ("result", "more"),
    "CONCLUSIONS": ("conclusion",),
}
SOMETIMES_LEFT_OUT = {"disease_fact": 0.10, "drug_fact": 0.15, "gap": 0.20, "endpoint": 0.25, "more": 0.15}
PEOPLE = ("patients", "adults", "women", "men", "older patients", "outpatients")
NOT_AMONG_PATIENTS = {"prostate cancer": "women", "breast cancer": "men"}
P_SMALL = ("&lt; 0.001", "= 0.002", "= 0.01", "= 0.03")
P_LARGE = ("= 0.21", "= 0.38", "= 0.54", "= 0.72")
PAST = {
    "inhibits": "inhibited",
    "blocks": "blocked",
    "activates": "activated",
    "binds": "bound",
    "neutralizes": "neutralized",
    "stabilizes": "stabilized",
    "damages": "damaged",
}
WORDS_OF_A_HIGH_MARKER = {
    "abnormal": "elevated",
    "fell": "fell",
    "lowers": "lowers",
    "lower": "lower",
    "higher": "higher",
}
WORDS_OF_A_LOW_MARKER = {
    "abnormal": "reduced",
    "fell": "rose",
    "lowers": "raises",
    "lower": "higher",
    "higher": "lower",
}
JOURNALS = (
    "Imaginary Archives of Medicine",
    "Journal of Invented Trials",
    "Fictional Annals of Therapy",
    "Letters in Unreal Physiology",
    "Made-up Reports in Pharmacology",
    "The Nowhere Journal of Medicine",
)
SURNAMES = (
    "Abendrot", "Bellquist", "Corvane", "Dunmarrow", "Eskelund", "Farrowby", "Grimsditch", "Halvorane", "Ilmareth",
    "Jantzow", "Kestrelin", "Lombardue", "Merrivane", "Nordqvale", "Oakenfeld", "Pellavic", "Quillane", "Rosmarken",
    "Silvermere", "Tarnowell", "Umberleigh", "Valdrisan", "Wintergale", "Yarrowin", "Zellgruber",
)  # fmt: skip
HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2024//EN" \
"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_240101.dtd">
<!-- FICTIONAL RECORDS, written by a program for trying out software. No study, author, journal or number in this file is
real; nothing in it is medical information. -->
<PubmedArticleSet>
"""

Row = dict[str, str]
T = TypeVar("T")


class Draw:
    """Random choices that rest on `random()` alone, whose sequence Python keeps the same in all versions."""

    def __init__(self, seed: int) -> None:
        """The same seed gives the same choices."""
        self._random = random.Random(seed).random

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def integer(self, low: int, high: int) -> int:
        """Uniform in low..high, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[int(self._random() * len(choices))]


@dataclass(frozen=True, kw_only=True)
class Group:
    """An invented research group: what it works on and how it writes."""

    disease: Row
    drug: Row
    other_drug: Row
    symptom: str
    people: str
    kinds: tuple[str, ...]
    journal: str
    authors: tuple[str, ...]
    year: int
    structured: bool


def sample_xml() -> str:
    """The whole file as text."""
    diseases, drugs, sentences = (read_table(name) for name in ("diseases", "drugs", "sentences"))
    draw = Draw(SEED)
    records: list[str] = []
    for number in range(GROUPS):
        group = draw_group(draw, number, diseases, drugs)
        for _ in range(GROUP_SIZE):
            records.append(draw_record(draw, group, sentences, len(records)))
    deleted = "".join(f'<PMID Version="1">{FIRST_PMID + index}</PMID>' for index in (100, 1100))
    return f"{HEADER}{''.join(records)}<DeleteCitation>{deleted}</DeleteCitation>\n</PubmedArticleSet>\n"


def read_table(name: str) -> list[Row]:
    """The rows of a table of facts or sentences."""
    with (SAMPLE_FOLDER / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def draw_group(draw: Draw, number: int, diseases: list[Row], drugs: list[Row]) -> Group:
    """A group that works on one disease with one of the drugs that treat it; diseases and drugs take turns.

    So the end of the file, which a training run may hold out, speaks of what the beginning speaks of.
    """
    disease = diseases[number * 7 % len(diseases)]
    treating = [drug for drug in drugs if disease["disease"] in drug["diseases"].split("; ")]
    drug = treating[number // len(diseases) % len(treating)]
    first_author = draw.integer(0, len(SURNAMES) - 3)
    return Group(
        disease=disease,
        drug=drug,
        other_drug=draw.pick([other for other in treating if other is not drug]),
        symptom=draw.pick(disease["symptoms"].split("; ")),
        people=draw.pick([word for word in PEOPLE if word != NOT_AMONG_PATIENTS.get(disease["disease"])]),
        kinds=tuple(draw.pick(KINDS) for _ in range(KINDS_PER_GROUP)),
        journal=draw.pick(JOURNALS),
        authors=SURNAMES[first_author : first_author + 3],
        year=draw.integer(2001, 2020),
        structured=draw.happens(0.3),
    )


def draw_record(draw: Draw, group: Group, sentences: list[Row], index: int) -> str:
    """The XML of one record; some positions in the file get the odd ones."""
    kind = draw.pick(group.kinds)
    values = draw_values(draw, group)
    chosen = {
        slot: fill(draw.pick(choices_for(sentences, kind, slot)), values)
        for slot in ("title", *(slot for slots in SLOTS_BY_LABEL.values() for slot in slots))
    }
    left_out = {slot for slot, probability in SOMETIMES_LEFT_OUT.items() if draw.happens(probability)}
    if "drug_fact" in left_out:
        left_out.add("gap")  # the gap speaks of "its effect"
    sections = {
        label: " ".join(chosen[slot] for slot in slots if slot not in left_out)
        for label, slots in SLOTS_BY_LABEL.items()
    }
    title, language = chosen["title"], "eng"
    if index % 211 == 17:
        title, language = f"[{title.rstrip('.')}].", "lat"
    return record_xml(group, index, title, language, abstract_xml(sections, group.structured, index))


def choices_for(sentences: list[Row], kind: str, slot: str) -> list[str]:
    """The sentences that fit a place in a kind of study."""
    return [
        row["sentence"]
        for row in sentences
        if row["slot"] == slot and {"*", kind} & set(row["kinds"].split())
    ]


def draw_values(draw: Draw, group: Group) -> Row:
    """What the placeholders of all sentences of one record stand for."""
    disease, drug, other = group.disease, group.drug, group.other_drug
    *first, last = disease["symptoms"].split("; ")
    numbers = draw_numbers(draw, disease)
    words = WORDS_OF_A_HIGH_MARKER if disease["marker_in_disease"] == "high" else WORDS_OF_A_LOW_MARKER
    return {
        **disease,
        **drug,
        **words,
        **numbers,
        "symptoms": f"{', '.join(first)} and {last}",
        "symptom": group.symptom,
        "people": group.people,
        "acted": PAST[drug["acts"]],
        "a_drug_class": with_article(drug["drug_class"]),
        "other_drug": other["drug"],
        "a_other_class": with_article(other["drug_class"]),
    }


def draw_numbers(draw: Draw, disease: Row) -> Row:
    """Numbers that agree: groups add up, shares fit the counts, the change fits before and after, the odds their ratio."""
    first_size, second_size = 10 * draw.integer(4, 20), 10 * draw.integer(4, 20)
    total = first_size + second_size
    improved_share, affected_share = 10 * draw.integer(4, 8), 10 * draw.integer(1, 3)
    affected = affected_share * first_size // 100
    control_share = draw.integer(5, 20)
    low, high = float(disease["low"]), float(disease["high"])
    percent = draw.integer(2, 8) * 5
    before = low + (high - low) * draw.integer(0, 8) / 8
    rises = disease["marker_in_disease"] == "low"
    after = before * (1 + percent / 100) if rises else before * (1 - percent / 100)
    ratio = draw.integer(13, 24) / 10
    decimals = int(disease["decimals"])
    space = "" if disease["unit"] == "%" else " "
    return {
        "first_size": str(first_size),
        "second_size": str(second_size),
        "total": str(total),
        "improved": str(improved_share * first_size // 100),
        "improved_share": str(improved_share),
        "diagnosed": str(draw.integer(3, 6) * total // 10),
        "affected": str(affected),
        "affected_share": str(affected_share),
        "affected_share_of_total": f"{100 * affected / total:.0f}",
        "case_share": f"{100 * ratio * control_share / (100 + (ratio - 1) * control_share):.0f}",
        "control_share": str(control_share),
        "sensitivity": str(draw.integer(80, 95)),
        "specificity": str(draw.integer(80, 95)),
        "before": f"{before:.{decimals}f}",
        "before_unit": f"{before:.{decimals}f}{space}{disease['unit']}",
        "after_unit": f"{after:.{decimals}f}{space}{disease['unit']}",
        "percent": str(percent),
        "few": str(draw.integer(2, 6)),
        "ratio": f"{ratio:.1f}",
        "ratio_low": f"{ratio - 0.2:.1f}",
        "ratio_high": f"{ratio + 0.3:.1f}",
        "p_small": draw.pick(P_SMALL),
        "p_large": draw.pick(P_LARGE),
        "weeks": str(draw.pick((8, 12, 24, 52))),
        "months": str(draw.pick((12, 24, 36))),
        "days": str(draw.pick((14, 28))),
        "hours": str(draw.pick((24, 48, 72))),
        "dose": str(draw.pick((5, 10, 20, 50))),
        "mice": str(draw.pick((8, 10, 12))),
        "power": str(draw.pick((4, 5, 6))),
    }


def fill(sentence: str, values: Row) -> str:
    """`{drug}` → the value of "drug", `{Drug}` → the same with a capital letter."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        text = values[name[0].lower() + name[1:]]
        return text[0].upper() + text[1:] if name[0].isupper() else text

    return re.sub(r"\{(\w+)\}", value, sentence)


def with_article(noun: str) -> str:
    """`antipsychotic` → `an antipsychotic`; NS5A is spoken with a vowel, uricosuric without."""
    return f"an {noun}" if noun[0] in "aeio" or noun.startswith("NS5A") else f"a {noun}"


def abstract_xml(sections: Row, structured: bool, index: int) -> str:
    """The Abstract element, empty text for a record that has none."""
    if index % 97 == 13:
        return ""
    if index % 307 == 19:
        return "<Abstract><AbstractText>No summary is given.</AbstractText></Abstract>\n"
    if structured:
        texts = "".join(
            f'<AbstractText Label="{label}" NlmCategory="{label}">{text}</AbstractText>\n'
            for label, text in sections.items()
        )
        return f"<Abstract>\n{texts}</Abstract>\n"
    text = " ".join(sections.values())
    if index % 401 == 23:
        text += "(ABSTRACT TRUNCATED AT 250 WORDS)"
    return f"<Abstract><AbstractText>{text}</AbstractText></Abstract>\n"


def record_xml(group: Group, index: int, title: str, language: str, abstract: str) -> str:
    """One PubmedArticle. The record 1,000 after number 500 is its second version, with the same PMID."""
    pmid, version = (FIRST_PMID + index, 1) if index != 1500 else (FIRST_PMID + 500, 2)
    authors = "".join(
        f'<Author ValidYN="Y"><LastName>{name}</LastName><Initials>{name[1].upper()}</Initials></Author>'
        for name in group.authors
    )
    vernacular = "" if language == "eng" else "<VernacularTitle>Titulus fictus.</VernacularTitle>\n"
    return (
        f'<PubmedArticle>\n<MedlineCitation Status="MEDLINE" Owner="NOTNLM">\n<PMID Version="{version}">{pmid}</PMID>\n'
        f'<Article PubModel="Print">\n<Journal><JournalIssue CitedMedium="Print"><PubDate><Year>{group.year}</Year>'
        f"</PubDate></JournalIssue><Title>{group.journal}</Title></Journal>\n<ArticleTitle>{title}</ArticleTitle>\n"
        f'{abstract}<AuthorList CompleteYN="Y">{authors}</AuthorList>\n<Language>{language}</Language>\n'
        "<PublicationTypeList><PublicationType>Journal Article</PublicationType></PublicationTypeList>\n"
        f"{vernacular}</Article>\n<MeshHeadingList><MeshHeading><DescriptorName>{group.disease['disease']}"
        f"</DescriptorName></MeshHeading></MeshHeadingList>\n</MedlineCitation>\n<PubmedData><ArticleIdList>"
        f'<ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList></PubmedData>\n</PubmedArticle>\n'
    )


def write_sample(output: Path) -> None:
    """Writes the file gzipped, without name and time in the header, so that it depends on the XML only."""
    with (
        output.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as file,
    ):
        file.write(sample_xml().encode())


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_OUTPUT
    write_sample(target)
    print(f"wrote {target} ({target.stat().st_size:,} bytes)")
