"""Checkpoints of Megatron-LM's `torch` format, versions 0 to 3: names, ranks, arguments and Adam's moments."""
