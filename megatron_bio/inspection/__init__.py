"""`megatron-bio inspect`: what a file or folder is, and what is in it, for people and programs."""
