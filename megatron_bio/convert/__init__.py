"""Checkpoints to foreign formats: one invertible table per format, written as a folder and checked on logits."""
