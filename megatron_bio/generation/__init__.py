"""Checkpoints at work: texts that a GPT goes on writing, and words that a BERT fills in."""
