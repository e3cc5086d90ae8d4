"""Norms, linear products and optimizers by name: torch's, and adapters to other libraries, one file each."""
