// The number that the library and megatron_bio/kernels/library.py must agree on; it changes with the launchers and their parameters.
#include "launch.cuh"

EXPORT int megatron_bio_kernel_interface() { return 2; }
