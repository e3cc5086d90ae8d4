// Work by columns: tiles that keep a column's sum in a register, and the second pass that adds the tiles' sums in a fixed order.
#pragma once

#include "launch.cuh"

constexpr int TILE_LANES = 32;
constexpr int TILE_ROWS = 8;
constexpr int SUM_ROWS = 32;

// Blocks of 32 x 8 threads; blockIdx.x numbers the columns' blocks and blockIdx.y the strips of rows, taken in turns.
template <typename T, bool VECTOR>
struct Tile {
    static constexpr int WIDTH = ACCESS_WIDTH<T, VECTOR>;

    static dim3 grid(Size columns, Size strips) {
        const Size lanes = (columns + WIDTH - 1) / WIDTH;
        return dim3(static_cast<unsigned>((lanes + TILE_LANES - 1) / TILE_LANES), static_cast<unsigned>(strips));
    }
    static dim3 block() { return dim3(TILE_LANES, TILE_ROWS); }
    static __device__ int column() { return (blockIdx.x * TILE_LANES + threadIdx.x) * WIDTH; }
    static __device__ Size first_row() { return static_cast<Size>(blockIdx.y) * TILE_ROWS + threadIdx.y; }
    static __device__ Size row_step() { return static_cast<Size>(gridDim.y) * TILE_ROWS; }

    // Add the threads' sums of each column over the block and store the row `blockIdx.y` of partial [strips, columns].
    static __device__ void store_partial(const float (&sums)[WIDTH], float* partial, int columns) {
        __shared__ float of_thread[TILE_ROWS][TILE_LANES][WIDTH];
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) of_thread[threadIdx.y][threadIdx.x][i] = sums[i];
        __syncthreads();
        if (threadIdx.y != 0 || column() >= columns) return;
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            float sum = 0.0f;
            for (int y = 0; y < TILE_ROWS; ++y) sum += of_thread[y][threadIdx.x][i];
            partial[static_cast<Size>(blockIdx.y) * columns + column() + i] = sum;
        }
    }
};

template <typename T>
__global__ void add_partials(const float* partial, Size strips, int columns, T* out) {
    __shared__ float of_thread[SUM_ROWS][TILE_LANES];
    const int column = blockIdx.x * TILE_LANES + threadIdx.x;
    float sum = 0.0f;
    if (column < columns)
        for (Size strip = threadIdx.y; strip < strips; strip += SUM_ROWS) sum += partial[strip * columns + column];
    of_thread[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= columns) return;
    for (int y = 1; y < SUM_ROWS; ++y) sum += of_thread[y][threadIdx.x];
    out[column] = from_float<T>(sum);
}

// Sum partial [strips, columns] over the strips into out [columns].
template <typename T>
int launch_add_partials(const void* partial, Size strips, Size columns, void* out, void* stream) {
    const dim3 grid(static_cast<unsigned>((columns + TILE_LANES - 1) / TILE_LANES));
    return launch(add_partials<T>, grid, dim3(TILE_LANES, SUM_ROWS), stream, static_cast<const float*>(partial), strips,
                  static_cast<int>(columns), static_cast<T*>(out));
}
