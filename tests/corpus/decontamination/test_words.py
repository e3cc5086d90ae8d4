import pytest

from megatron_bio.corpus.decontamination.words import readings


def words(text: str) -> str:
    return " ".join(readings(text)[0])


@pytest.mark.parametrize(
    "forms",
    [
        ("TNF-α release", "TNF - α release", "tnf-alpha  release", "TNFα release", "TNF-Α release"),
        ("( 10 mg )", "(10mg)", "10 mg"),
        ("IL-2", "IL2", "IL 2", "il - 2"),
        ("10⁶ cells", "10(6) cells", "10^6 cells", "10 6 cells", "10 (6) cells"),
        ("CO₂", "CO2", "CO(2)"),
        ("Ca²⁺", "Ca2+", "Ca(2+)", "ca 2 +"),
        ("SO₄²⁻", "SO4(2-)"),
        ("5 μg", "5 µg", "5 microg"),
        ("μ-opioid", "mu-opioid"),
        ("Sjögren’s", "Sjogren's", "Sjo\u0308gren ' s"),
        ("ﬁbrosis", "fibrosis"),
        ("Avastin™ given", "Avastin given"),
        ("0.5–1.0", "0 . 5 - 1 . 0"),
    ],
)
def test_forms_of_one_text_are_one(forms: tuple[str, ...]) -> None:
    assert {words(form) for form in forms} == {words(forms[-1])}


def test_the_words_themselves() -> None:
    assert words("The TNF-α (10⁶) of E. coli_K12") == "the tnf alpha 10 6 of e coli k 12"
    assert words("患者は58歳") == "患 者 は 58 歳"
    assert words("") == words("… — !") == ""


def test_lost_markup_is_the_second_reading() -> None:
    assert [" ".join(reading) for reading in readings("10⁶ cells, Cₘₐₓ")] == [
        "10 6 cells c max",
        "106 cells cmax",
    ]
    assert len(readings("10^6 cells")) == 1
    assert len(readings("CO₂")) == 1, "both readings are the same"


def test_different_texts_stay_different() -> None:
    assert words("1.06 cells") != words("10.6 cells")
    assert words("TNF-β") != words("TNF-α")
    assert words("within") != words("with in")
