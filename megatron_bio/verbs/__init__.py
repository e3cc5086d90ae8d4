"""The verbs of the command line, in the order of use."""

from megatron_bio.verbs import benchmarks, corpora, looking, models, tokens

STAGES = corpora.VERBS + tokens.VERBS + models.VERBS + benchmarks.VERBS
HELPERS = looking.VERBS
VERBS = STAGES + HELPERS
