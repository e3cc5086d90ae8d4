"""Which runs of words say something: not a list of numbers and letters, not a phrase that every abstract may hold."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

REMEMBERED_WORDS: Final = 1 << 16
CONTENT_WORDS: Final = 2
"""A run must hold so many words that are no function words and no formula of reports of studies."""
_FORMULAS = """
about above according achieved after aim aimed all allocated along also although among an analyses analysis and
any are arm arms as assess assessed assessing assessment assigned associated association at available average
baseline be because been before being between blind blinded both but by can case cases change changes compare
compared comparing comparison comparisons completed compounds concentration concentrations conclude conclusion
conclusions conducted confidence controlled could crossover daily data day days decrease decreased demonstrate
demonstrated designed determine determined determining did differ difference differences different do does dosage
dose doses double due during each effect effective effectiveness effects efficacy either enrolled evaluate
evaluated evaluating evaluation evidence examine examined few find finding findings first followed following for
found four from further group groups had has have he her higher his hours how however if important in including
increase increased indicate indicated interval intervals into investigate investigated investigating investigation
is it its known label last less level levels long lower may mean measured median method methods might mg minutes
month months more most multicenter multicentre necessary need needed new no non not number objective objectives
observed obtained of on once one only open or order other our out outcome outcomes over parallel participants
patient patients per performed period pilot placebo point points possible potential present previous previously
primary probably prospective provide provided purpose randomised randomized randomly rate rates ratio received
receive receiving regarding related report reported required respectively response result results role safety same
sample secondary seen she short should show showed shown significance significant significantly similar since
single six some statistical statistically studied studies study subjects such suggest suggested suggesting suggests
term terms than that the their them then there these they this those three through thus time to together
tolerability tolerated total treated treatment treatments trial trials twice two type under understood until
up use used using value values versus very vs was we week weeks well were when where whereas whether which while
who will with within without work would year years you your
"""
FORMULAS: Final = frozenset(_FORMULAS.split())


def informative_runs(words: Sequence[str], length: int) -> npt.NDArray[np.bool_]:
    """For each run of `length` words, in the order in which they start, whether it says something.

    More than half of its words must have two letters or more (`h 3 k 27 me 3` and chemical names are split into numbers
    and letters), and at least CONTENT_WORDS of them must be neither function words nor formulas.
    """
    long = list(map(_is_long, words))
    content = [is_long and word not in FORMULAS for is_long, word in zip(long, words, strict=True)]
    return (_in_runs(long, length) * 2 > length) & (_in_runs(content, length) >= CONTENT_WORDS)


def _in_runs(flags: Sequence[bool], length: int) -> npt.NDArray[np.int64]:
    """How many flags are set in each run."""
    total = np.fromiter(accumulate(flags, initial=0), np.int64, len(flags) + 1)
    return total[length:] - total[:-length]


@lru_cache(maxsize=REMEMBERED_WORDS)
def _is_long(word: str) -> bool:
    return (len(word) > 1 and not word[0].isdigit()) or _is_ideograph(word)


def _is_ideograph(word: str) -> bool:
    return len(word) == 1 and "\u3041" <= word <= "\u9fff"
