"""How unequal the labels of a data set are: Table 9 of the BioMegatron paper (Shin et al. 2020).

The label bias is a quotient, minority / rest: the samples of the minority over all other samples, not over all samples. It is 1
for two labels that are equally frequent and near 0 for a rare one.

* Named entities: a sample is a line of the file; the minority are the words inside entities; the rest is every other line, blank
  lines and document marks too. CoNLL-2003's 0.184 in the paper comes out so and not by words alone; both are given here.
* Relations: the minority are the pairs of all positive classes, the rest are the pairs without a relation.
* Other classes: the minority is the least frequent class. MRPC: 1,323 / 2,753 = 0.481.
"""

from collections import Counter
from dataclasses import dataclass

from megatron_bio.downstream.readers.entity_forms import OUTSIDE, EntitySet
from megatron_bio.downstream.readers.relation_forms import FALSE


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelBias:
    """One quotient with what it is of."""

    samples: str
    """What is counted: lines, words, pairs, questions."""
    minority: int
    rest: int

    @property
    def ratio(self) -> float:
        """minority / rest; 0.0 where there is no rest."""
        return self.minority / self.rest if self.rest else 0.0


def bias_of_entities(entities: EntitySet) -> tuple[LabelBias, ...]:
    """By lines, for files that have one word a line, and by words."""
    words = sum(len(sentence.words) for sentence in entities.sentences)
    inside = sum(tag != OUTSIDE for sentence in entities.sentences for tag in sentence.tags)
    by_words = LabelBias(samples="words", minority=inside, rest=words - inside)
    if not entities.lines:
        return (by_words,)
    return LabelBias(samples="lines", minority=inside, rest=entities.lines - inside), by_words


def bias_of_classes(counts: Counter[str], samples: str) -> tuple[LabelBias, ...]:
    """Of classes with `false` among them the others together are set against it; else the least frequent against the others.

    Nothing for fewer than two classes.
    """
    if len(counts) < 2:
        return ()
    total = counts.total()
    minority = total - counts[FALSE] if FALSE in counts else min(counts.values())
    return (LabelBias(samples=samples, minority=minority, rest=total - minority),)
