"""Readers of the benchmarks' files, one a format; none needs torch."""
