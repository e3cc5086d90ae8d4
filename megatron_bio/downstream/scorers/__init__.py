"""Scores of predictions, equal to those of each benchmark's official program; no torch is needed."""
