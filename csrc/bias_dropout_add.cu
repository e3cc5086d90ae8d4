// residual + dropout(x + bias). The mask is computed again in the backward, never stored.
#include "columns.cuh"
#include "dropout.cuh"

template <typename T, bool VECTOR>
__global__ void bias_dropout_add_forward(const T* x, const T* bias, const T* residual, Dropout dropout, Size first_position,
                                         Size rows, Size samples, int columns, T* y) {
    using Columns = Tile<T, VECTOR>;
    const int column = Columns::column();
    if (column >= columns) return;
    float shift[Columns::WIDTH], values[Columns::WIDTH], beside[Columns::WIDTH];
    load<T>(bias + column, shift);
    for (Size row = Columns::first_row(); row < rows; row += Columns::row_step()) {
        load<T>(x + row * columns + column, values);
        load<T>(residual + row * columns + column, beside);
        const HiddenRow place = hidden_row(dropout, row, samples, first_position, columns);
#pragma unroll
        for (int i = 0; i < Columns::WIDTH; ++i)
            values[i] = beside[i] + scaled(values[i] + shift[i], factor_of(dropout, place, column + i));
        store<T>(y + row * columns + column, values);
    }
}

template <typename T, bool VECTOR>
__global__ void bias_dropout_add_backward(const T* gradient, Dropout dropout, Size first_position, Size rows, Size samples,
                                          int columns, T* x_gradient, float* partial) {
    using Columns = Tile<T, VECTOR>;
    const int column = Columns::column();
    float sums[Columns::WIDTH] = {};
    if (column < columns) {
        float values[Columns::WIDTH];
        for (Size row = Columns::first_row(); row < rows; row += Columns::row_step()) {
            load<T>(gradient + row * columns + column, values);
            const HiddenRow place = hidden_row(dropout, row, samples, first_position, columns);
#pragma unroll
            for (int i = 0; i < Columns::WIDTH; ++i) {
                values[i] = scaled(values[i], factor_of(dropout, place, column + i));
                sums[i] += values[i];
            }
            store<T>(x_gradient + row * columns + column, values);
        }
    }
    Columns::store_partial(sums, partial, columns);
}

// x and residual [rows, columns], bias [columns] -> y; rows = positions x samples, keys int64 [samples] or null.
EXPORT int megatron_bio_bias_dropout_add_forward(const void* x, const void* bias, const void* residual, void* y,
                                                     const void* keys, const void* layer_of_graph, Size layer, Size site,
                                                     Size threshold, float scale, Size first_position, Size rows, Size samples,
                                                     Size columns, Size strips, Size dtype, void* stream) {
    const Dropout dropout = dropout_of(keys, layer_of_graph, layer, site, threshold, scale);
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto start = [&](auto kernel, dim3 grid) {
            return launch(kernel, grid, Tile<T, true>::block(), stream, static_cast<const T*>(x), static_cast<const T*>(bias),
                          static_cast<const T*>(residual), dropout, first_position, rows, samples, static_cast<int>(columns),
                          static_cast<T*>(y));
        };
        return may_vectorise<T>(columns, x, bias, residual, y)
                   ? start(bias_dropout_add_forward<T, true>, Tile<T, true>::grid(columns, strips))
                   : start(bias_dropout_add_forward<T, false>, Tile<T, false>::grid(columns, strips));
    });
}

// The residual's gradient is the incoming one. partial is float32 [strips, columns], to be thrown away.
EXPORT int megatron_bio_bias_dropout_add_backward(const void* gradient, void* x_gradient, void* bias_gradient,
                                                      void* partial, const void* keys, const void* layer_of_graph, Size layer,
                                                      Size site, Size threshold, float scale, Size first_position, Size rows,
                                                      Size samples, Size columns, Size strips, Size dtype, void* stream) {
    const Dropout dropout = dropout_of(keys, layer_of_graph, layer, site, threshold, scale);
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto start = [&](auto kernel, dim3 grid) {
            return launch(kernel, grid, Tile<T, true>::block(), stream, static_cast<const T*>(gradient), dropout,
                          first_position, rows, samples, static_cast<int>(columns), static_cast<T*>(x_gradient),
                          static_cast<float*>(partial));
        };
        const int error = may_vectorise<T>(columns, gradient, x_gradient)
                              ? start(bias_dropout_add_backward<T, true>, Tile<T, true>::grid(columns, strips))
                              : start(bias_dropout_add_backward<T, false>, Tile<T, false>::grid(columns, strips));
        return error ? error : launch_add_partials<T>(partial, strips, columns, bias_gradient, stream);
    });
}
