// dropout(softmax(scale * scores)) over the keys that a mask lets a query see, and its gradient.
//
// scores are [rows, heads, queries, keys], the mask [rows, queries, keys] is the same for all heads. Both the probabilities and
// what dropout leaves of them are stored: the backward of the softmax needs the first, that of the product with the values
// the second.
#include "dropout.cuh"
#include "row.cuh"

struct Place {
    Size row, query_of_all, mask_row;  // batch row; head * queries + query; row of the mask
};

__device__ inline Place place_of(Size number, Size heads, Size queries) {
    const Size in_row = number % (heads * queries), row = number / (heads * queries);
    return {row, in_row, row * queries + in_row % queries};
}

template <typename T, bool VECTOR>
__device__ inline void softmax_factors(const Dropout& dropout, const Place& place, Size first_head, Size queries, int keys,
                                       float (&out)[ROW_ELEMENTS]) {
    const DropoutKey key = key_of(dropout, place.row);
    const std::uint32_t first = static_cast<std::uint32_t>((first_head * queries + place.query_of_all) * keys);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) out[i] = factor_of(dropout, key, first + Row<T, VECTOR>::column(i));
}

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(ROW_THREADS) softmax_dropout_forward(const T* scores, const std::uint8_t* mask, float scale, Dropout dropout,
                                        Size first_head, Size heads, Size queries, int keys, T* probabilities, T* dropped) {
    using R = Row<T, VECTOR>;
    const Place place = place_of(blockIdx.x, heads, queries);
    const Size start = static_cast<Size>(blockIdx.x) * keys;
    float values[ROW_ELEMENTS], top[1] = {-INFINITY}, sum[1] = {0.0f};
    R::read(scores + start, keys, values);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) {
        const int column = R::column(i);
        const bool seen = column < keys && mask[place.mask_row * keys + column] != 0;
        values[i] = seen ? values[i] * scale : -INFINITY;
        top[0] = fmaxf(top[0], values[i]);
    }
    combine_over_block<Maximum>(top);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) {
        values[i] = expf(values[i] - top[0]);  // NaN in a row that sees nothing, as in torch
        if (R::column(i) < keys) sum[0] += values[i];
    }
    combine_over_block<Add>(sum);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) values[i] /= sum[0];
    R::write(probabilities + start, keys, values);
    if (!dropout.keys) return;
    float kept[ROW_ELEMENTS];
    softmax_factors<T, VECTOR>(dropout, place, first_head, queries, keys, kept);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) values[i] = scaled(values[i], kept[i]);
    R::write(dropped + start, keys, values);
}

template <typename T, bool VECTOR>
__global__ void __launch_bounds__(ROW_THREADS) softmax_dropout_backward(const T* gradient, const T* probabilities, float scale, Dropout dropout,
                                         Size first_head, Size heads, Size queries, int keys, T* scores_gradient) {
    using R = Row<T, VECTOR>;
    const Place place = place_of(blockIdx.x, heads, queries);
    const Size start = static_cast<Size>(blockIdx.x) * keys;
    float incoming[ROW_ELEMENTS], probability[ROW_ELEMENTS], dot[1] = {0.0f};
    R::read(gradient + start, keys, incoming);
    if (dropout.keys) {
        float kept[ROW_ELEMENTS];
        softmax_factors<T, VECTOR>(dropout, place, first_head, queries, keys, kept);
#pragma unroll
        for (int i = 0; i < ROW_ELEMENTS; ++i) incoming[i] = scaled(incoming[i], kept[i]);
    }
    R::read(probabilities + start, keys, probability);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) dot[0] += incoming[i] * probability[i];
    combine_over_block<Add>(dot);
#pragma unroll
    for (int i = 0; i < ROW_ELEMENTS; ++i) incoming[i] = probability[i] * (incoming[i] - dot[0]) * scale;
    R::write(scores_gradient + start, keys, incoming);
}

// scores [rows, heads, queries, keys], mask bool [rows, queries, keys] -> probabilities and dropped, like the scores. Without
// dropout_keys (int64 [rows]) nothing is dropped and `dropped` is not written.
EXPORT int megatron_bio_softmax_dropout_forward(const void* scores, const void* mask, void* probabilities, void* dropped,
                                                    float scale, const void* dropout_keys, const void* layer_of_graph,
                                                    Size layer, Size site, Size threshold, float dropout_scale,
                                                    Size first_head, Size rows, Size heads, Size queries, Size keys,
                                                    Size dtype, void* stream) {
    if (keys > LONGEST_ROW) return cudaErrorInvalidValue;
    const Dropout dropout = dropout_of(dropout_keys, layer_of_graph, layer, site, threshold, dropout_scale);
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto kernel = may_vectorise<T>(keys, scores, probabilities, dropped) ? softmax_dropout_forward<T, true>
                                                                                   : softmax_dropout_forward<T, false>;
        return launch(kernel, dim3(static_cast<unsigned>(rows * heads * queries)), row_block(keys), stream,
                      static_cast<const T*>(scores), static_cast<const std::uint8_t*>(mask), scale, dropout, first_head, heads,
                      queries, static_cast<int>(keys), static_cast<T*>(probabilities), static_cast<T*>(dropped));
    });
}

// The gradient of `dropped` (without dropout: of the probabilities) -> the gradient of the scores.
EXPORT int megatron_bio_softmax_dropout_backward(const void* gradient, const void* probabilities, void* scores_gradient,
                                                     float scale, const void* dropout_keys, const void* layer_of_graph,
                                                     Size layer, Size site, Size threshold, float dropout_scale,
                                                     Size first_head, Size rows, Size heads, Size queries, Size keys,
                                                     Size dtype, void* stream) {
    if (keys > LONGEST_ROW) return cudaErrorInvalidValue;
    const Dropout dropout = dropout_of(dropout_keys, layer_of_graph, layer, site, threshold, dropout_scale);
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto kernel = may_vectorise<T>(keys, gradient, probabilities, scores_gradient)
                                ? softmax_dropout_backward<T, true>
                                : softmax_dropout_backward<T, false>;
        return launch(kernel, dim3(static_cast<unsigned>(rows * heads * queries)), row_block(keys), stream,
                      static_cast<const T*>(gradient), static_cast<const T*>(probabilities), scale, dropout, first_head, heads,
                      queries, static_cast<int>(keys), static_cast<T*>(scores_gradient));
    });
}
