// All kernels as one library for the host, compiled as one file.
#include <algorithm>

#include "bias_dropout_add.cu"
#include "bias_dropout_add_norm.cu"
#include "bias_gelu.cu"
#include "cross_entropy.cu"
#include "embedding_sum.cu"
#include "interface.cu"
#include "layer_norm.cu"
#include "rows_at.cu"
#include "softmax_dropout.cu"

EXPORT void emulation_reversed(int reversed) { emulation::machine().reversed = reversed != 0; }
