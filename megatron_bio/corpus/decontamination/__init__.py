"""Benchmarks must not be inside the corpus: their files → an index → whether a document holds an item of theirs."""
