// Layer norm over the last dim: statistics and products in float32, one read of x and one write of y.
//
// The backward reads a row once, too; the gradients of weight and bias are summed over each block's rows in registers and
// over the blocks in a second pass, in an order that only the sizes decide.
#include "columns.cuh"
#include "norm.cuh"

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(ROW_THREADS) layer_norm_forward(const T* x, const T* weight, const T* bias, float epsilon, int columns, T* y, float* mean,
                                   float* inverse_deviation) {
    const Size row = blockIdx.x;
    float values[ROW_ELEMENTS];
    Row<T, VECTOR>::read(x + row * columns, columns, values);
    normalise_row<T, VECTOR>(values, weight, bias, epsilon, columns, y + row * columns, mean + row, inverse_deviation + row);
}

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(ROW_THREADS) layer_norm_backward(const T* gradient, const T* x, const T* weight, const float* mean,
                                    const float* inverse_deviation, Size rows, int columns, T* x_gradient,
                                    float* weight_partial, float* bias_partial) {
    using R = Row<T, VECTOR>;
    float weight_sum[ROW_ELEMENTS] = {}, bias_sum[ROW_ELEMENTS] = {};
    for (Size row = blockIdx.x; row < rows; row += gridDim.x) {
        float incoming[ROW_ELEMENTS];
        norm_gradient_of_row<T, VECTOR>(gradient + row * columns, x + row * columns, weight, mean[row], inverse_deviation[row],
                                        columns, incoming, weight_sum, bias_sum);
        R::write(x_gradient + row * columns, columns, incoming);
    }
    const Size block = static_cast<Size>(blockIdx.x) * columns;
    R::write(weight_partial + block, columns, weight_sum);
    R::write(bias_partial + block, columns, bias_sum);
}

// x [rows, columns], weight and bias [columns] -> y; mean and inverse_deviation float32 [rows].
EXPORT int megatron_bio_layer_norm_forward(const void* x, const void* weight, const void* bias, void* y, void* mean,
                                               void* inverse_deviation, float epsilon, Size rows, Size columns, Size dtype,
                                               void* stream) {
    if (columns > LONGEST_ROW) return cudaErrorInvalidValue;
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto kernel = may_vectorise<T>(columns, x, weight, bias, y) ? layer_norm_forward<T, true>
                                                                          : layer_norm_forward<T, false>;
        return launch(kernel, dim3(static_cast<unsigned>(rows)), row_block(columns), stream, static_cast<const T*>(x),
                      static_cast<const T*>(weight), static_cast<const T*>(bias), epsilon, static_cast<int>(columns),
                      static_cast<T*>(y), static_cast<float*>(mean), static_cast<float*>(inverse_deviation));
    });
}

// The partials are float32 [blocks, columns], to be thrown away.
EXPORT int megatron_bio_layer_norm_backward(const void* gradient, const void* x, const void* weight, const void* mean,
                                                const void* inverse_deviation, void* x_gradient, void* weight_gradient,
                                                void* bias_gradient, void* weight_partial, void* bias_partial, Size rows,
                                                Size columns, Size blocks, Size dtype, void* stream) {
    if (columns > LONGEST_ROW) return cudaErrorInvalidValue;
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto kernel = may_vectorise<T>(columns, gradient, x, weight, x_gradient, weight_partial, bias_partial)
                                ? layer_norm_backward<T, true>
                                : layer_norm_backward<T, false>;
        const int error =
            launch(kernel, dim3(static_cast<unsigned>(blocks)), row_block(columns), stream, static_cast<const T*>(gradient),
                   static_cast<const T*>(x), static_cast<const T*>(weight), static_cast<const float*>(mean),
                   static_cast<const float*>(inverse_deviation), rows, static_cast<int>(columns),
                   static_cast<T*>(x_gradient), static_cast<float*>(weight_partial), static_cast<float*>(bias_partial));
        if (error) return error;
        const int weight_error = launch_add_partials<T>(weight_partial, blocks, columns, weight_gradient, stream);
        return weight_error ? weight_error : launch_add_partials<T>(bias_partial, blocks, columns, bias_gradient, stream);
    });
}
