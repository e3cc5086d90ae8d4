"""What is in a corpus: counts by source, year, licence, language and split, lengths, and what was dropped."""
