// total = residual + dropout(x + bias) and layer norm of it, in one pass over rows that a block holds in registers.
//
// The statistics are those of the total as it is stored, so the results are those of bias_dropout_add.cu and layer_norm.cu one
// after the other. The backward makes all gradients from one read of a row; what it adds up over rows is summed in an order that
// only the sizes decide.
#include "columns.cuh"
#include "dropout.cuh"
#include "norm.cuh"

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(ROW_THREADS)
    bias_dropout_add_norm_forward(const T* x, const T* bias, const T* residual, const T* weight, const T* shift, float epsilon,
                                  Dropout dropout, Size first_position, Size samples, int columns, T* total, T* y, float* mean,
                                  float* inverse_deviation) {
    using R = Row<T, VECTOR>;
    const Size row = blockIdx.x, start = row * columns;
    const HiddenRow place = hidden_row(dropout, row, samples, first_position, columns);
    float values[ROW_ELEMENTS], beside[ROW_ELEMENTS];
    R::read(x + start, columns, values);
    R::read(bias, columns, beside);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) values[i] = scaled(values[i] + beside[i], factor_of(dropout, place, R::column(i)));
    R::read(residual + start, columns, beside);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) values[i] = to_float(from_float<T>(beside[i] + values[i]));  // 0 behind the row
    R::write(total + start, columns, values);
    normalise_row<T, VECTOR>(values, weight, shift, epsilon, columns, y + start, mean + row, inverse_deviation + row);
}

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(ROW_THREADS)
    bias_dropout_add_norm_backward(const T* y_gradient, const T* total_gradient, const T* total, const T* weight, const float* mean,
                                   const float* inverse_deviation, Dropout dropout, Size first_position, Size rows, Size samples,
                                   int columns, T* x_gradient, T* residual_gradient, float* bias_partial, float* weight_partial,
                                   float* shift_partial) {
    using R = Row<T, VECTOR>;
    float bias_sum[ROW_ELEMENTS] = {}, weight_sum[ROW_ELEMENTS] = {}, shift_sum[ROW_ELEMENTS] = {};
    for (Size row = blockIdx.x; row < rows; row += gridDim.x) {
        const Size start = row * columns;
        // Here and not where it is used, where its divisions would take registers that hold the row.
        const HiddenRow place = hidden_row(dropout, row, samples, first_position, columns);
        float incoming[ROW_ELEMENTS];
        norm_gradient_of_row<T, VECTOR>(y_gradient + start, total + start, weight, mean[row], inverse_deviation[row], columns,
                                        incoming, weight_sum, shift_sum);
        if (total_gradient) {
            float beside[ROW_ELEMENTS];
            R::read(total_gradient + start, columns, beside);
#pragma unroll
            for (int i = 0; i < ROW_ELEMENTS; ++i) incoming[i] += beside[i];
        }
        R::write(residual_gradient + start, columns, incoming);
        #pragma unroll
        for (int i = 0; i < ROW_ELEMENTS; ++i) {
            incoming[i] = scaled(incoming[i], factor_of(dropout, place, R::column(i)));
            bias_sum[i] += incoming[i];
        }
        R::write(x_gradient + start, columns, incoming);
    }
    const Size block = static_cast<Size>(blockIdx.x) * columns;
    R::write(bias_partial + block, columns, bias_sum);
    R::write(weight_partial + block, columns, weight_sum);
    R::write(shift_partial + block, columns, shift_sum);
}

// x and residual [rows, columns], bias, weight and shift [columns] -> total and y; mean and inverse_deviation float32 [rows];
// rows = positions x samples, keys int64 [samples] or null.
EXPORT int megatron_bio_bias_dropout_add_norm_forward(const void* x, const void* bias, const void* residual, const void* weight,
                                                      const void* shift, void* total, void* y, void* mean,
                                                      void* inverse_deviation, float epsilon, const void* keys,
                                                      const void* layer_of_graph, Size layer, Size site, Size threshold,
                                                      float scale, Size first_position, Size rows, Size samples, Size columns,
                                                      Size dtype, void* stream) {
    if (columns > LONGEST_ROW) return cudaErrorInvalidValue;
    const Dropout dropout = dropout_of(keys, layer_of_graph, layer, site, threshold, scale);
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto kernel = may_vectorise<T>(columns, x, bias, residual, weight, shift, total, y)
                                ? bias_dropout_add_norm_forward<T, true>
                                : bias_dropout_add_norm_forward<T, false>;
        return launch(kernel, dim3(static_cast<unsigned>(rows)), row_block(columns), stream, static_cast<const T*>(x),
                      static_cast<const T*>(bias), static_cast<const T*>(residual), static_cast<const T*>(weight),
                      static_cast<const T*>(shift), epsilon, dropout, first_position, samples, static_cast<int>(columns),
                      static_cast<T*>(total), static_cast<T*>(y), static_cast<float*>(mean),
                      static_cast<float*>(inverse_deviation));
    });
}

// total_gradient may be null. The partials are float32 [blocks, columns], to be thrown away.
EXPORT int megatron_bio_bias_dropout_add_norm_backward(
    const void* y_gradient, const void* total_gradient, const void* total, const void* weight, const void* mean,
    const void* inverse_deviation, void* x_gradient, void* residual_gradient, void* bias_gradient, void* weight_gradient,
    void* shift_gradient, void* bias_partial, void* weight_partial, void* shift_partial, const void* keys,
    const void* layer_of_graph, Size layer, Size site, Size threshold, float scale, Size first_position, Size rows, Size samples,
    Size columns, Size blocks, Size dtype, void* stream) {
    if (columns > LONGEST_ROW) return cudaErrorInvalidValue;
    const Dropout dropout = dropout_of(keys, layer_of_graph, layer, site, threshold, scale);
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto kernel =
            may_vectorise<T>(columns, y_gradient, total_gradient, total, weight, x_gradient, residual_gradient, bias_partial,
                             weight_partial, shift_partial)
                ? bias_dropout_add_norm_backward<T, true>
                : bias_dropout_add_norm_backward<T, false>;
        const int error =
            launch(kernel, dim3(static_cast<unsigned>(blocks)), row_block(columns), stream, static_cast<const T*>(y_gradient),
                   static_cast<const T*>(total_gradient), static_cast<const T*>(total), static_cast<const T*>(weight),
                   static_cast<const float*>(mean), static_cast<const float*>(inverse_deviation), dropout, first_position, rows,
                   samples, static_cast<int>(columns), static_cast<T*>(x_gradient), static_cast<T*>(residual_gradient),
                   static_cast<float*>(bias_partial), static_cast<float*>(weight_partial), static_cast<float*>(shift_partial));
        if (error) return error;
        const void* partials[] = {bias_partial, weight_partial, shift_partial};
        void* const sums[] = {bias_gradient, weight_gradient, shift_gradient};
        for (int i = 0; i < 3; ++i)
            if (const int failed = launch_add_partials<T>(partials[i], blocks, columns, sums[i], stream)) return failed;
        return cudaSuccess;
    });
}
