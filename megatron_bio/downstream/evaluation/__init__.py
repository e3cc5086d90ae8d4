"""`megatron-bio evaluate`: which runs there are to make, which are done, and what they amount to."""
