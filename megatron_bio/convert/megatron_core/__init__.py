"""Checkpoints of Megatron Core's `dist_checkpointing`, format torch_dist, read and written tensor by tensor."""
