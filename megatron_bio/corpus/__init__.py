"""From published XML and JSONL to documents, the one form of text that the later stages read. Does not load torch."""
