"""From documents to a corpus: normalised, filtered, without copies and without benchmarks, split, in shards."""
