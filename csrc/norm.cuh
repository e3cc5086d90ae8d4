// What layer norm computes of a row that a block holds in registers.
#pragma once

#include "row.cuh"

// Normalise a row of which what lies behind its end is 0; write y and what the backward needs.
template <typename T, bool VECTOR>
__device__ inline void normalise_row(float (&values)[ROW_ELEMENTS], const T* weight, const T* bias, float epsilon, int columns,
                                     T* y, float* mean, float* inverse_deviation) {
    using R = Row<T, VECTOR>;
    float scale[ROW_ELEMENTS], shift[ROW_ELEMENTS], sum[1] = {0.0f};
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) sum[0] += values[i];
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
    R::write(y, columns, values);
    if (threadIdx.x == 0) {
        *mean = middle;
        *inverse_deviation = inverse;
    }
}

// The gradient of y, in its place that of x; the row's part is added to the sums of the gradients of weight and bias.
template <typename T, bool VECTOR>
__device__ inline void norm_gradient_of_row(const T* gradient, const T* x, const T* weight, float middle, float inverse, int columns,
                                            float (&incoming)[ROW_ELEMENTS], float (&weight_sum)[ROW_ELEMENTS],
                                            float (&bias_sum)[ROW_ELEMENTS]) {
    using R = Row<T, VECTOR>;
    float normal[ROW_ELEMENTS], scale[ROW_ELEMENTS];
    R::read(weight, columns, scale);  // again from the cache: kept, it would cost registers that a block of 1024 threads lacks
    R::read(gradient, columns, incoming);
    R::read(x, columns, normal);
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
    for (int i = 0; i < ROW_ELEMENTS; ++i) incoming[i] = (incoming[i] - along_one - normal[i] * along_normal) * inverse;
}
