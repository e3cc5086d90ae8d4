"""Downstream tasks: data sets, scorers, fine-tuning and the report."""
