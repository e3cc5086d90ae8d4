// A block per row: every thread holds eight of its elements in registers, so that a row is read once.
//
// Rows have at most LONGEST_ROW elements; the launchers refuse longer ones and Python never asks for them.
#pragma once

#include "launch.cuh"

constexpr int ROW_ELEMENTS = 8;
constexpr int ROW_THREADS = 1024;
constexpr int LONGEST_ROW = ROW_ELEMENTS * ROW_THREADS;
constexpr int WARP = 32;

inline dim3 row_block(Size columns) {
    const Size threads = (columns + ROW_ELEMENTS - 1) / ROW_ELEMENTS;
    return dim3(static_cast<unsigned>((threads + WARP - 1) / WARP * WARP));
}

template <typename T, bool VECTOR>
struct Row {
    static constexpr int WIDTH = ACCESS_WIDTH<T, VECTOR>;
    static constexpr int ITEMS = ROW_ELEMENTS / WIDTH;

    // The column of a thread's element. A warp holds neighbours of the row, in every access of it too, and its accesses lie a
    // constant apart: one address serves them all, which saves registers.
    static __device__ int column(int element) {
        const int first = threadIdx.x / WARP * (WARP * ROW_ELEMENTS) + threadIdx.x % WARP * WIDTH;
        return first + element / WIDTH * (WARP * WIDTH) + element % WIDTH;
    }

    static __device__ void read(const T* row, int columns, float (&values)[ROW_ELEMENTS]) {
#pragma unroll
        for (int item = 0; item < ITEMS; ++item) {
            float part[WIDTH] = {};
            const int first = column(item * WIDTH);
            if (first < columns) load<T, WIDTH>(row + first, part);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) values[item * WIDTH + i] = part[i];
        }
    }

    template <typename Out>
    static __device__ void write(Out* row, int columns, const float (&values)[ROW_ELEMENTS]) {
#pragma unroll
        for (int item = 0; item < ITEMS; ++item) {
            float part[WIDTH];
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) part[i] = values[item * WIDTH + i];
            const int first = column(item * WIDTH);
            if (first < columns) store<Out, WIDTH>(row + first, part);
        }
    }
};

struct Add {
    static __device__ float of(float a, float b) { return a + b; }
};

struct Maximum {
    static __device__ float of(float a, float b) { return fmaxf(a, b); }
};

// Combine each of N numbers over the block and give every thread the same result; the order is fixed by the thread numbers.
template <typename Combine, int N>
__device__ inline void combine_over_block(float (&values)[N]) {
    __shared__ float of_warp[N][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
#pragma unroll
    for (int i = 0; i < N; ++i) {
#pragma unroll
        for (int distance = WARP / 2; distance > 0; distance /= 2)
            values[i] = Combine::of(values[i], __shfl_xor_sync(0xffffffffu, values[i], distance));
        if (lane == 0) of_warp[i][warp] = values[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; ++i) {
        values[i] = of_warp[i][0];
        for (int other = 1; other < warps; ++other) values[i] = Combine::of(values[i], of_warp[i][other]);
    }
    __syncthreads();  // before the next call writes over what a slow warp still reads
}
