"""`megatron-bio data check`: which benchmarks are in a folder, whole or not, and what is in them."""
