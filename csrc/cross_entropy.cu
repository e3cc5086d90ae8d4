// Cross entropy over a slice of the vocabulary: what the ranks exchange in one pass over the logits, and the gradient in their place.
//
// Columns from `real` on are padding of the table: they take no part in the sums, and their gradient is 0 but
// where a target names one, which no batch does.
#include "row.cuh"

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / WARP;

// The largest logit seen, where it was first, and the sum of exp(logit - maximum) over what was seen.
struct Running {
    float maximum, sum;
    int best;
};

__device__ inline void take(Running& running, float logit, int column) {
    if (logit > running.maximum) {
        running.sum = running.sum * expf(running.maximum - logit) + 1.0f;
        running.maximum = logit;
        running.best = column;
    } else if (logit != -INFINITY) {  // -inf adds nothing; NaN comes here and stays
        running.sum += expf(logit - running.maximum);
    }
}

// Of equal logits the lower column is the best, in whatever order threads meet.
__device__ inline void merge(Running& running, float maximum, float sum, int best) {
    const bool ours = running.maximum > maximum || (running.maximum == maximum && running.best < best);
    const float high = ours ? running.maximum : maximum, low = ours ? maximum : running.maximum;
    // A thread that saw nothing but -inf has the sum 0, or NaN if it met one.
    const float factor = low == -INFINITY ? 1.0f : expf(low - high);
    running.sum = ours ? running.sum + sum * factor : sum + running.sum * factor;
    running.maximum = high;
    running.best = ours ? running.best : best;
}

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(THREADS) cross_entropy_statistics(const T* logits, const Size* targets, Size first, int real, int columns,
                                         float* maximum, Size* best, float* sum, float* target_logit) {
    constexpr int WIDTH = ACCESS_WIDTH<T, VECTOR>;
    __shared__ Running of_warp[WARPS];
    const T* row = logits + static_cast<Size>(blockIdx.x) * columns;
    Running running{-INFINITY, 0.0f, 0x7fffffff};
    for (int column = threadIdx.x * WIDTH; column < real; column += THREADS * WIDTH) {
        float values[WIDTH];
        load<T>(row + column, values);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i)
            if (column + i < real) take(running, values[i], column + i);
    }
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        const float maximum_there = __shfl_xor_sync(0xffffffffu, running.maximum, distance);
        const float sum_there = __shfl_xor_sync(0xffffffffu, running.sum, distance);
        merge(running, maximum_there, sum_there, __shfl_xor_sync(0xffffffffu, running.best, distance));
    }
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = running;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int warp = 1; warp < WARPS; ++warp) merge(running, of_warp[warp].maximum, of_warp[warp].sum, of_warp[warp].best);
    const Size own = targets[blockIdx.x] - first;
    maximum[blockIdx.x] = running.maximum;
    best[blockIdx.x] = running.best == 0x7fffffff ? first : first + running.best;
    sum[blockIdx.x] = running.sum;
    target_logit[blockIdx.x] = own >= 0 && own < columns ? to_float(row[own]) : 0.0f;
}

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(THREADS) cross_entropy_gradient(T* logits, const Size* targets, const float* maximum, const float* sum,
                                       const float* gradient, Size first, int real, int columns) {
    constexpr int WIDTH = ACCESS_WIDTH<T, VECTOR>;
    T* row = logits + static_cast<Size>(blockIdx.x) * columns;
    const Size own = targets[blockIdx.x] - first;
    const float top = maximum[blockIdx.x], share = 1.0f / sum[blockIdx.x], factor = gradient[blockIdx.x];
    for (int column = threadIdx.x * WIDTH; column < columns; column += THREADS * WIDTH) {
        float values[WIDTH];
        load<T>(row + column, values);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            const float probability = column + i < real ? expf(values[i] - top) * share : 0.0f;
            values[i] = (column + i == own ? probability - 1.0f : probability) * factor;
        }
        store<T>(row + column, values);
    }
}

// logits [rows, columns] are the columns first.. of the vocabulary, targets int64 [rows] count in all of it.
// Per row: maximum of the real columns and the vocabulary id that has it, sum of exp(logit - maximum), and the target's logit
// (0 if another rank has it). All float32 but the id, which is int64.
EXPORT int megatron_bio_cross_entropy_statistics(const void* logits, const void* targets, void* maximum, void* best,
                                                     void* sum, void* target_logit, Size first, Size real, Size rows,
                                                     Size columns, Size dtype, void* stream) {
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto kernel =
            may_vectorise<T>(columns, logits) ? cross_entropy_statistics<T, true> : cross_entropy_statistics<T, false>;
        return launch(kernel, dim3(static_cast<unsigned>(rows)), dim3(THREADS), stream, static_cast<const T*>(logits),
                      static_cast<const Size*>(targets), first, static_cast<int>(real), static_cast<int>(columns),
                      static_cast<float*>(maximum), static_cast<Size*>(best), static_cast<float*>(sum),
                      static_cast<float*>(target_logit));
    });
}

// Write the gradient over the logits; maximum, sum and gradient float32 [rows] are those of the whole vocabulary.
EXPORT int megatron_bio_cross_entropy_gradient(void* logits, const void* targets, const void* maximum, const void* sum,
                                                   const void* gradient, Size first, Size real, Size rows, Size columns,
                                                   Size dtype, void* stream) {
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto kernel =
            may_vectorise<T>(columns, logits) ? cross_entropy_gradient<T, true> : cross_entropy_gradient<T, false>;
        return launch(kernel, dim3(static_cast<unsigned>(rows)), dim3(THREADS), stream, static_cast<T*>(logits),
                      static_cast<const Size*>(targets), static_cast<const float*>(maximum), static_cast<const float*>(sum),
                      static_cast<const float*>(gradient), first, static_cast<int>(real), static_cast<int>(columns));
    });
}
