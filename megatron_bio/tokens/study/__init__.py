"""How finely vocabularies cut words: entities of benchmarks as in the BioMegatron paper, free text, chosen words."""
