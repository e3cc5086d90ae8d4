"""Checkpoints of this library, read and written tensor by tensor."""
