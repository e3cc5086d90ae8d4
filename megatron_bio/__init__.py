"""From PubMed and PMC XML to a biomedical language model: corpus, vocabulary, parallel pretraining, conversion."""

__version__ = "0.1.0"
