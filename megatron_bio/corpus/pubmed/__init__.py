"""PubMed XML → citations and deletions → documents."""
