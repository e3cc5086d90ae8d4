"""Sentence splitting: what ends a sentence in biomedical text, what does not, and that nothing is lost."""

import json
import lzma
import random
import time
from pathlib import Path

import pytest

from megatron_bio.tokens.sentences import split_sentences

# Each line is one text; | marks where it must be cut, and nothing else may be.
TEXTS = """
Growth was slow.| Then it stopped.
Is it known?| It is not!| Or is it?
The effect was large (p < 0.05).| Placebo had none.
Levels fell (P < .001).| 20 patients improved.
We saw this in Fig. 2 and in Figs. 3 and 4.| It was clear.
As shown (Fig. 2A), E. coli and S. aureus grew.| B. subtilis did not.
Salmonella enterica serovar S. Typhimurium was used.| Mice died.
Doses of 5 mg/kg i.v. and 10 mg/kg i.p. were given.| Rats were then killed.
Rats received 10 mg/kg i.v.| The effect lasted.
Smith et al. reported this.| Jones et al. (2004) did not.
This agrees with Smith et al.| Mice differ.
Treatment vs. Placebo was tested vs. 5 mg.| It worked.
Some drugs, e.g. Aspirin, i.e. NSAIDs, act.| Others do not.
It took approx. 5 min.| Then it was over.
It took ca. 20 days.| After that it fell.
The dose was 50 mg/kg b.wt. per day.| The rats lived.
Dr. Brown and Prof. Green wrote it.| St. Louis printed it.
The sample No. 5 was lost.| No. 6 was not.
The answer was no.| Patients left.
See Vol. III, pp. 12 and p. 13.| It is there.
Values were 0.5, 1.25 and 3.0.| Then 5-HT was added.
5-HT was used.| 5-HT was removed.
It codes a protein.| mRNA was low.| p53 was high.| c-Jun was absent.| pH was 7.
It blocks receptors.| alpha-Tocopherol does not.| β-Blockers do.| von Willebrand factor rose.
He had angina.| "Small spikes" were seen.| (The others had none.)| [Results are shown.]
(It was small.)| The rest was large.
He called it "normal."| Nobody else did.
We tested vitamin C.| Rats got vitamin E.| Group A was first, then group B.| Both lived.
He had hepatitis B.| We had hepatitis C. virus in mind.
This was done by J. A. Smith and R. B. Jones.| They left.
Candida spp. were found.| Candida spp.| Fluconazole was given.
Pseudomonas sp. MS16 grew.| Fusarium sp.| The rest died.
Patients with MS.| They had CF.| All had CO.| ED was common.
We used the U.S. Food tables in the U.S.| We did not use others.
Tools came from Sigma Inc. St. Louis and Merck Ltd. Darmstadt.| We thank them.
The value was P = 0. 05 and (17. 5) in all.| It fell.
1. The effect was studied.| 2. Rats were used.| (3) They lived.
It was reported.[12]| The rest was not.
It was reported.[1, 2]| The rest was not.
It was shown before.¹²| The rest was not.
Weight is in Table .| Weight was high.| MnCl2 . 4H2O was used.
The cells died ... and lived.| They died...| Then they lived.
Temperature was 37 degrees C.| Rats were warm.| It was 37°C.| Mice were cold.
Compounds are known.| (+)-Pentazocine is one.| (±)-Pindolol is another.
Cells (n = 5.0) in mm. were small.| Then large.
Cheng et al. 2013 and cf. Brown agree; viz. Thermomyces.| It grew.
The knock-out is viable.| beta2 (-/-) mice are small.| alpha3-deficient ones are not.| wt-VHL helped.
Both were cloned.| mog-1 is one of them.| van der Hoeve syndrome is not.| von Brown agrees.
The rats were in groups A and B.| RESULTS: Growth was slow.| CONCLUSION: They differ.
See Brown (Hum. Mol. Genet. 4, 22) and Green (Nat. Genet. 5).| Both were in N. Engl. J. Med. then.
All of them were well. (ABSTRACT TRUNCATED AT 250 WORDS)
Pigs of type mab-3 grew.| They lived in a van. there was no more.
"""


@pytest.mark.parametrize("case", TEXTS.strip().split("\n"))
def test_cuts(case: str) -> None:
    expected = [part.strip() for part in case.split("|")]
    assert split_sentences(case.replace("|", "")) == expected


def test_line_feed_ends_a_sentence() -> None:
    assert split_sentences("Methods\nRats were used\n\n  They lived. All of them.\n") == [
        "Methods",
        "Rats were used",
        "They lived.",
        "All of them.",
    ]


@pytest.mark.parametrize("text", ["", " ", "\n \n"])
def test_no_sentence(text: str) -> None:
    assert split_sentences(text) == []


def test_nothing_is_lost_and_no_sentence_is_blank() -> None:
    generator = random.Random(7)
    words = [
        "E.",
        "coli",
        "Fig.",
        "2",
        "0.05",
        "(p",
        "<",
        ".05).",
        "The",
        "mRNA",
        "al.",
        "A.",
        "...",
        "?",
        '"',
        "\n",
        " ",
    ]
    for _ in range(2_000):
        text = " ".join(generator.choices(words, k=generator.randrange(30)))
        sentences = split_sentences(text)
        assert "".join(text.split()) == "".join("".join(sentences).split())
        assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@pytest.mark.parametrize(
    "text", ["." * 50_000, "1. " * 20_000, "A. " * 20_000, "(" * 50_000, "Fig. " * 20_000, " " * 99_999]
)
def test_time_is_linear(text: str) -> None:
    started = time.perf_counter()
    split_sentences(text)
    assert time.perf_counter() - started < 2


def test_real_abstracts() -> None:
    path = Path(__file__).parents[3] / "shared/data/text/abstracts.jsonl.xz"
    if not path.exists():
        pytest.skip(f"no real data at {path}")
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(2_000), strict=False)]
    sentences = [sentence for text in texts for sentence in split_sentences(text)]
    assert "".join("".join(texts).split()) == "".join("".join(sentences).split())
    assert 150 < sum(map(len, sentences)) / len(sentences) < 200
    short = [sentence for sentence in sentences if len(sentence) < 15]
    assert len(short) / len(sentences) < 0.005
