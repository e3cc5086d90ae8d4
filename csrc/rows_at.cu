// Rows of hidden [positions, samples, columns] at given positions of each sample, and the gradient of hidden in one pass.
//
// A position outside the sequence is never read: its row of the result is NaN, and in the backward no row takes its gradient.
#include "columns.cuh"

constexpr int SLOTS_AT_ONCE = 32;  // a lane looks at one

template <typename T, bool VECTOR>
__global__ void rows_at_forward(const T* hidden, const Size* at, Size positions, Size samples, Size slots, int columns, T* y) {
    using Columns = Tile<T, VECTOR>;
    const int column = Columns::column();
    if (column >= columns) return;
    float values[Columns::WIDTH];
    for (Size row = Columns::first_row(); row < samples * slots; row += Columns::row_step()) {
        const Size position = at[row];
        if (position >= 0 && position < positions) {
            load<T>(hidden + (position * samples + row / slots) * columns + column, values);
        } else {
#pragma unroll
            for (int i = 0; i < Columns::WIDTH; ++i) values[i] = NAN;
        }
        store<T>(y + row * columns + column, values);
    }
}

// A warp has one row of hidden and looks through its sample's slots, 32 at a time; those that were read there are added in
// their order.
template <typename T, bool VECTOR>
__global__ void rows_at_backward(const T* gradient, const Size* at, Size positions, Size samples, Size slots, int columns,
                                 T* hidden_gradient) {
    using Columns = Tile<T, VECTOR>;
    const int column = Columns::column();
    const bool inside = column < columns;  // lanes beyond the last column look at slots for the others
    for (Size row = Columns::first_row(); row < positions * samples; row += Columns::row_step()) {
        const Size position = row / samples, before = row % samples * slots;
        float sums[Columns::WIDTH] = {};
        for (Size first = 0; first < slots; first += SLOTS_AT_ONCE) {
            const Size slot = first + threadIdx.x;
            unsigned found = __ballot_sync(0xffffffffu, slot < slots && at[before + slot] == position);
            for (; found; found &= found - 1) {
                if (!inside) continue;
                float values[Columns::WIDTH];
                load<T>(gradient + (before + first + __ffs(static_cast<int>(found)) - 1) * columns + column, values);
#pragma unroll
                for (int i = 0; i < Columns::WIDTH; ++i) sums[i] += values[i];
            }
        }
        if (inside) store<T>(hidden_gradient + row * columns + column, sums);
    }
}

// hidden [positions, samples, columns], at int64 [samples, slots] -> y [samples, slots, columns].
EXPORT int megatron_bio_rows_at_forward(const void* hidden, const void* at, void* y, Size positions, Size samples, Size slots,
                                            Size columns, Size strips, Size dtype, void* stream) {
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto start = [&](auto kernel, dim3 grid) {
            return launch(kernel, grid, Tile<T, true>::block(), stream, static_cast<const T*>(hidden),
                          static_cast<const Size*>(at), positions, samples, slots, static_cast<int>(columns),
                          static_cast<T*>(y));
        };
        return may_vectorise<T>(columns, hidden, y) ? start(rows_at_forward<T, true>, Tile<T, true>::grid(columns, strips))
                                                    : start(rows_at_forward<T, false>, Tile<T, false>::grid(columns, strips));
    });
}

// gradient [samples, slots, columns] -> hidden_gradient [positions, samples, columns], every element of which is written.
EXPORT int megatron_bio_rows_at_backward(const void* gradient, const void* at, void* hidden_gradient, Size positions,
                                             Size samples, Size slots, Size columns, Size strips, Size dtype, void* stream) {
    return for_dtype(dtype, [&](auto zero) -> int {
        using T = decltype(zero);
        const auto start = [&](auto kernel, dim3 grid) {
            return launch(kernel, grid, Tile<T, true>::block(), stream, static_cast<const T*>(gradient),
                          static_cast<const Size*>(at), positions, samples, slots, static_cast<int>(columns),
                          static_cast<T*>(hidden_gradient));
        };
        return may_vectorise<T>(columns, gradient, hidden_gradient)
                   ? start(rows_at_backward<T, true>, Tile<T, true>::grid(columns, strips))
                   : start(rows_at_backward<T, false>, Tile<T, false>::grid(columns, strips));
    });
}
