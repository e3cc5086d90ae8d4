"""Vocabularies, tokenizers, sentence splitting, and the .bin/.idx token format. Does not load torch."""
