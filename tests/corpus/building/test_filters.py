"""Each filter drops what it is for and leaves what only looks like it."""

import random
from typing import Any

import pytest

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.corpus.building.boilerplate import is_boilerplate
from megatron_bio.corpus.building.filters import Filters, repeated_fraction, symbol_fraction
from megatron_bio.corpus.building.language import is_wanted, language
from megatron_bio.corpus.document import Document
from tests.corpus.building.conftest import Prose

NOTICES = [
    "[This corrects the article DOI: 10.1371/journal.pone.0000001.].",
    "[This corrects the article on p. 12 in vol. 3, PMID: 1.].",
    "[This corrects the Table 4 of the article: pmid: 1].",
    "This article has been retracted: please see Elsevier Policy on Article Withdrawal.",
    "This article has been withdrawn at the request of the authors and editor.",
    "The above article has been retracted by agreement between the authors and the editor.",
    "[Retraction of: Some Journal 2003;1:2-3].",
    "Erratum in: Some Journal 2001 Mar;3(2):5.",
    "Corrigendum to the paper on rats.",
    "[Correction: the third author's name is spelled wrongly.]",
    "Correction to: Journal of Rats https://doi.org/10.1000/1",
    "The authors retract the above article because figure 2 was used twice.",
    "In the original version of this article an author's name was misspelled.",
    "An amendment to this paper has been published and can be accessed via a link at the top of the paper.",
    "No abstract available.",
    "[No abstract available]",
    "Abstract not available.",
    "Abstract available from the publisher.",
    "Copyright 2004 by Some Press. All rights reserved.",
    "© 2019 The Authors. Published by Some House.",
    "The publisher regrets that this article is an accidental duplication.",
    "Conflict of interest: none declared.",
    "N/A",
]
TEXTS = [
    "Correction of anaemia with iron was studied in 40 patients with kidney disease over two years.",
    "Correction for multiple testing is seldom made in studies of rats.",
    "Retraction of the tongue was measured in 12 infants with a new device.",
    "The authors withdrew the catheter after three days in all patients of the study.",
    "Response to interferon was seen in 20 patients.",
    "No abstract reasoning deficits were found in this study of 40 children.",
    "Copyrighted questionnaires were compared with free ones in 300 students.",
    "Errors in the original article on rats are discussed by its readers in many letters.",
    "This article reviews the retracted papers of the last ten years in surgery.",
    "The present study was designed to correct the dose of insulin in rats.",
    "Conflicts of interest in biomedical research have been studied for many years.",
    "Published reports of 30 cases were reviewed.",
    "See-through corneas were prepared from pigs.",
]


def reason(text: str, title: str = "", meta: dict[str, Any] | None = None, **options: Any) -> str:
    filters = Filters(BuildCorpusOptions(inputs=["x"], output="o", **options))  # type: ignore[arg-type]
    document = Document(id="1", title=title, text=text, meta=meta or {})
    return filters.reason(document, len(text.split()))


@pytest.mark.parametrize("text", NOTICES)
def test_notices_are_boilerplate(text: str) -> None:
    assert is_boilerplate("A title.", text, len(text.split()))
    assert not is_boilerplate("A title.", text + " word" * 200, 210), "a long text is no notice"


@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_begin_alike_are_none(text: str) -> None:
    assert not is_boilerplate("A title.", text, len(text.split()))


def test_a_long_notice_needs_title_and_wording(prose: Prose) -> None:
    notice = "In the published article there were several mistakes. " + prose.text(20)
    assert is_boilerplate("Corrigendum: On rats", notice, 300)
    assert not is_boilerplate("On rats", notice, 300)
    assert not is_boilerplate("Erratum: On rats", prose.text(20), 300), "an abstract printed again"
    assert not is_boilerplate("Corrigendum: On rats", notice, 700)


def test_reasons_in_their_order(prose: Prose) -> None:
    text = prose.text()
    assert reason(text) == ""
    assert reason("") == "no text"
    assert reason("A title.", meta={"title_only": True}) == "only a title"
    assert reason(text, meta={"title_only": True}, drop_title_only=False) == ""
    assert reason(text, meta={"retracted": True}) == "retracted"
    assert reason(text, meta={"abstract_withdrawn": True}) == "abstract withdrawn"
    assert reason(text, meta={"retracted": True}, drop_retracted=False) == ""
    assert reason("No abstract available.") == "boilerplate"
    assert reason("No abstract available.", drop_boilerplate=False) == "fewer than 20 words"
    assert reason(text, minimum_words=113) == "fewer than 113 words"
    assert reason(text, maximum_words=111) == "more than 111 words"
    assert reason(text, minimum_words=112, maximum_words=112) == ""


def test_symbols_and_repeated_lines() -> None:
    numbers = "12.5 (3.4) 17.8 ± 2 19.1 the 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23"
    assert reason(numbers, languages=["any"]) == "mostly numbers and symbols"
    assert reason(numbers, languages=["any"], symbol_fraction=1.0) == ""
    assert symbol_fraction("abc 12\n±é") == 3 / 7
    repeated = "\n".join(["Figure of the rat and of the mouse."] * 6)
    assert reason(repeated) == "repeated lines"
    assert reason(repeated, repeated_fraction=1.0) == ""
    assert repeated_fraction("ab\ncd\nab") == 2 / 8


def test_what_is_no_language_is_not_told_as_another_language() -> None:
    chooser = random.Random(1)

    def words(letters: str, length: int, count: int) -> str:
        return " ".join("".join(chooser.choices(letters, k=length)) for _ in range(count))

    title = "Clone A1, primers and amplicon: "
    for sequence in (
        words("ACGT", 10, 60),
        words("acgu", 3, 100),
        words("ACDEFGHIKLMNPQRSTVWY", 60, 20),
        "\n".join(f"{n} {words('acgt', 10, 6)}" for n in range(1, 600, 60)),
    ):
        assert reason(title + sequence) == "mostly sequences"
        assert reason(title + sequence, languages=["any"]) == ""
    assert reason("P < 0.05, p = 0.013, OR 1.2 (95% CI 0.9-1.4); " * 8) == "mostly numbers and symbols"
    german = (
        "Die Wirkung des Mittels auf das Herz wurde an Ratten und Mäusen untersucht, die Zucker bekamen. " * 2
    )
    chinese = "本研究 探讨了 该药物对 大鼠 心脏的 影响 " * 8
    assert reason(german) == reason(chinese) == reason(german.upper()) == "other language"


def test_language_of_the_text_counts() -> None:
    english = "The effect of the drug on the heart was studied in rats and in mice that were fed with sugar."
    german = "Die Wirkung des Mittels auf das Herz wurde an Ratten und Mäusen untersucht, die Zucker bekamen."
    chinese = "本研究探讨了该药物对大鼠心脏的影响,并比较了不同剂量下的结果以及可能的作用机制和临床意义。" * 2
    assert (language(english), language(german), language(chinese)) == ("eng", "ger", "chi")
    assert is_wanted(english, ["ger"], ["eng"]), "PubMed's languages are those of the article"
    assert not is_wanted(german, ["eng"], ["eng"])
    assert is_wanted(german, None, ["eng", "ger"]) and is_wanted(german, None, ["any"])


def test_a_short_text_is_judged_by_its_meta_data() -> None:
    assert language("HIV-1") == ""
    assert is_wanted("HIV-1", None, ["eng"])
    assert is_wanted("HIV-1", ["fre", "ENG"], ["eng"])
    assert not is_wanted("HIV-1", ["fre"], ["eng"])


def test_a_text_of_formulas_is_still_english() -> None:
    formulas = (
        "Reaction of CpM(CO)2 and AlCl4 gave [CpFe(CO)2(BBr2)] and its derivatives, characterised with NMR."
    )
    assert language(formulas) == "eng"
