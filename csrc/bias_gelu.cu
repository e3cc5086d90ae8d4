// gelu(x + bias), exact (erf) or by tanh as in GPT-2, and both gradients in one pass over the elements.
#include "columns.cuh"

constexpr float SQRT_HALF = 0.70710678118654752f;
constexpr float DENSITY_AT_0 = 0.39894228040143268f;  // 1 / sqrt(2 pi)
constexpr float TANH_FACTOR = 0.79788456080286536f;   // sqrt(2 / pi)
constexpr float TANH_CUBE = 0.044715f;

struct Exact {
    static __device__ float value(float v) { return 0.5f * v * (1.0f + erff(v * SQRT_HALF)); }
    static __device__ float slope(float v) {
        return 0.5f * (1.0f + erff(v * SQRT_HALF)) + v * DENSITY_AT_0 * expf(-0.5f * v * v);
    }
};

struct Approximate {
    static __device__ float inner(float v) { return tanhf(TANH_FACTOR * v * (1.0f + TANH_CUBE * v * v)); }
    static __device__ float value(float v) { return 0.5f * v * (1.0f + inner(v)); }
    static __device__ float slope(float v) {
        const float t = inner(v);
        return 0.5f * (1.0f + t) + 0.5f * v * (1.0f - t * t) * TANH_FACTOR * (1.0f + 3.0f * TANH_CUBE * v * v);
    }
};

template <typename T, bool VECTOR, typename Gelu>
__global__ void bias_gelu_forward(const T* x, const T* bias, Size rows, int columns, T* y) {
    using Columns = Tile<T, VECTOR>;
    const int column = Columns::column();
    if (column >= columns) return;
    float shift[Columns::WIDTH], values[Columns::WIDTH];
    load<T>(bias + column, shift);
    for (Size row = Columns::first_row(); row < rows; row += Columns::row_step()) {
        load<T>(x + row * columns + column, values);
#pragma unroll
        for (int i = 0; i < Columns::WIDTH; ++i) values[i] = Gelu::value(values[i] + shift[i]);
        store<T>(y + row * columns + column, values);
    }
}

template <typename T, bool VECTOR, typename Gelu>
__global__ void bias_gelu_backward(const T* gradient, const T* x, const T* bias, Size rows, int columns, T* x_gradient,
                                   float* partial) {
    using Columns = Tile<T, VECTOR>;
    const int column = Columns::column();
    float sums[Columns::WIDTH] = {};
    if (column < columns) {
        float shift[Columns::WIDTH], values[Columns::WIDTH], incoming[Columns::WIDTH];
        load<T>(bias + column, shift);
        for (Size row = Columns::first_row(); row < rows; row += Columns::row_step()) {
            load<T>(x + row * columns + column, values);
            load<T>(gradient + row * columns + column, incoming);
#pragma unroll
            for (int i = 0; i < Columns::WIDTH; ++i) {
                values[i] = incoming[i] * Gelu::slope(values[i] + shift[i]);
                sums[i] += values[i];
            }
            store<T>(x_gradient + row * columns + column, values);
        }
    }
    Columns::store_partial(sums, partial, columns);
}

template <typename T, bool VECTOR, typename Gelu>
int launch_forward(const void* x, const void* bias, void* y, Size rows, Size columns, Size strips, void* stream) {
    using Columns = Tile<T, VECTOR>;
    return launch(bias_gelu_forward<T, VECTOR, Gelu>, Columns::grid(columns, strips), Columns::block(), stream,
                  static_cast<const T*>(x), static_cast<const T*>(bias), rows, static_cast<int>(columns), static_cast<T*>(y));
}

template <typename T, bool VECTOR, typename Gelu>
int launch_backward(const void* gradient, const void* x, const void* bias, void* x_gradient, void* partial, Size rows,
                    Size columns, Size strips, void* stream) {
    using Columns = Tile<T, VECTOR>;
    return launch(bias_gelu_backward<T, VECTOR, Gelu>, Columns::grid(columns, strips), Columns::block(), stream,
                  static_cast<const T*>(gradient), static_cast<const T*>(x), static_cast<const T*>(bias), rows,
                  static_cast<int>(columns), static_cast<T*>(x_gradient), static_cast<float*>(partial));
}

// x [rows, columns], bias [columns] -> y [rows, columns]; approximate: 0 is erf, 1 is tanh.
EXPORT int megatron_bio_bias_gelu_forward(const void* x, const void* bias, void* y, Size approximate, Size rows,
                                              Size columns, Size strips, Size dtype, void* stream) {
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const bool vector = may_vectorise<T>(columns, x, bias, y);
        const auto start = approximate ? (vector ? launch_forward<T, true, Approximate> : launch_forward<T, false, Approximate>)
                                       : (vector ? launch_forward<T, true, Exact> : launch_forward<T, false, Exact>);
        return start(x, bias, y, rows, columns, strips, stream);
    });
}

// partial is float32 [strips, columns], to be thrown away.
EXPORT int megatron_bio_bias_gelu_backward(const void* gradient, const void* x, const void* bias, void* x_gradient,
                                               void* bias_gradient, void* partial, Size approximate, Size rows, Size columns,
                                               Size strips, Size dtype, void* stream) {
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const bool vector = may_vectorise<T>(columns, gradient, x, bias, x_gradient);
        const auto start =
            approximate ? (vector ? launch_backward<T, true, Approximate> : launch_backward<T, false, Approximate>)
                        : (vector ? launch_backward<T, true, Exact> : launch_backward<T, false, Exact>);
        const int error = start(gradient, x, bias, x_gradient, partial, rows, columns, strips, stream);
        return error ? error : launch_add_partials<T>(partial, strips, columns, bias_gradient, stream);
    });
}
