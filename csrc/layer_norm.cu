// Layer norm over the last dim: statistics and products in float32, one read of x and one write of y.
//
// The backward reads a row once, too; the gradients of weight and bias are summed over each block's rows in registers and
// over the blocks in a second pass, in an order that only the sizes decide.
#include "columns.cuh"
#include "row.cuh"

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(ROW_THREADS) layer_norm_forward(const T* x, const T* weight, const T* bias, float epsilon, int columns, T* y, float* mean,
                                   float* inverse_deviation) {
    using R = Row<T, VECTOR>;
    const Size start = static_cast<Size>(blockIdx.x) * columns;
    float values[ROW_ELEMENTS], scale[ROW_ELEMENTS], shift[ROW_ELEMENTS];
    R::read(x + start, columns, values);

    float sum[1] = {0.0f};
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) sum[0] += values[i];  // elements behind the row are 0
    combine_over_block<Add>(sum);
    const float middle = sum[0] / columns;

    float squares[1] = {0.0f};
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) {
        values[i] -= middle;
        if (R::column(i) < columns) squares[0] += values[i] * values[i];
    }
    combine_over_block<Add>(squares);
    const float inverse = rsqrtf(squares[0] / columns + epsilon);

    R::read(weight, columns, scale);
    R::read(bias, columns, shift);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) values[i] = values[i] * inverse * scale[i] + shift[i];
    R::write(y + start, columns, values);
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = middle;
        inverse_deviation[blockIdx.x] = inverse;
    }
}

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(ROW_THREADS) layer_norm_backward(const T* gradient, const T* x, const T* weight, const float* mean,
                                    const float* inverse_deviation, Size rows, int columns, T* x_gradient,
                                    float* weight_partial, float* bias_partial) {
    using R = Row<T, VECTOR>;
    float weight_sum[ROW_ELEMENTS] = {}, bias_sum[ROW_ELEMENTS] = {};
    for (Size row = blockIdx.x; row < rows; row += gridDim.x) {
        float incoming[ROW_ELEMENTS], normal[ROW_ELEMENTS], scale[ROW_ELEMENTS];
        R::read(weight, columns, scale);  // again from the cache: kept, it would cost registers that a block of 1024 threads lacks
        R::read(gradient + row * columns, columns, incoming);
        R::read(x + row * columns, columns, normal);
        const float middle = mean[row], inverse = inverse_deviation[row];
        float sums[2] = {0.0f, 0.0f};
#pragma unroll
        for (int i = 0; i < ROW_ELEMENTS; ++i) {
            normal[i] = (normal[i] - middle) * inverse;
            weight_sum[i] += incoming[i] * normal[i];
            bias_sum[i] += incoming[i];
            incoming[i] *= scale[i];  // 0 behind the row
            sums[0] += incoming[i];
            sums[1] += incoming[i] * normal[i];
        }
        combine_over_block<Add>(sums);
        const float along_one = sums[0] / columns, along_normal = sums[1] / columns;
#pragma unroll
        for (int i = 0; i < ROW_ELEMENTS; ++i)
            incoming[i] = (incoming[i] - along_one - normal[i] * along_normal) * inverse;
        R::write(x_gradient + row * columns, columns, incoming);
    }
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) {
        const int column = R::column(i);
        if (column >= columns) continue;
        weight_partial[static_cast<Size>(blockIdx.x) * columns + column] = weight_sum[i];
        bias_partial[static_cast<Size>(blockIdx.x) * columns + column] = bias_sum[i];
    }
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
        const auto kernel = may_vectorise<T>(columns, gradient, x, weight, x_gradient) ? layer_norm_backward<T, true>
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
