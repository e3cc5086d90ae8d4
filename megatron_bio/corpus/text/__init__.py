"""Texts that others have extracted (JSONL, Parquet, plain text) → documents."""
