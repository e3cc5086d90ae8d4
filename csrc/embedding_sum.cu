// Sum of one row of each of two or three tables (words, positions, token types), and the tables' gradients.
//
// The entries of the backward are the tables' ids one after another, table by table, each counted from where its table begins
// among the rows of all: keys, which come sorted. A run of equal keys is a row of a table. Entries are cut into chunks of fixed
// length, so that a long run has many threads; what a run has in a chunk that it does not fill alone goes to its row, and of a
// run that crosses chunks the parts are added in a second pass, in their order. What is done where depends on the keys alone.
//
// An id that its table does not have is never read: its sum is NaN, and in the backward it is added to no row.
#include <type_traits>

#include "columns.cuh"

constexpr int MOST_TABLES = 3;
constexpr int CHUNK = 32;  // entries; also in megatron_bio/kernels/embedding_sum.py
constexpr int AHEAD = 4;   // rows of the gradient that a thread has asked for before it adds the first

// Row pointers [rows, columns] of each table; null for one that is not there.
template <typename W>
struct Tables {
    W* first[MOST_TABLES];
    Size rows[MOST_TABLES];
};

struct Ids {
    const Size* of[MOST_TABLES];
};

// As `load` and `store`, of as many elements as one access of a narrower type has.
template <typename W, int WIDTH>
__device__ inline void load_parts(const W* from, float (&values)[WIDTH]) {
    constexpr int PART = WIDTH < Pack<W>::WIDTH ? WIDTH : Pack<W>::WIDTH;
#pragma unroll
    for (int first = 0; first < WIDTH; first += PART) {
        float part[PART];
        load<W>(from + first, part);
#pragma unroll
        for (int i = 0; i < PART; ++i) values[first + i] = part[i];
    }
}

template <typename W, int WIDTH>
__device__ inline void store_parts(W* to, const float (&values)[WIDTH]) {
    constexpr int PART = WIDTH < Pack<W>::WIDTH ? WIDTH : Pack<W>::WIDTH;
#pragma unroll
    for (int first = 0; first < WIDTH; first += PART) {
        float part[PART];
#pragma unroll
        for (int i = 0; i < PART; ++i) part[i] = values[first + i];
        store<W>(to + first, part);
    }
}

template <typename W, typename T, bool VECTOR>
__global__ void embedding_sum_forward(Tables<const W> tables, Ids ids, Size positions, Size samples, int columns, T* y) {
    using Columns = Tile<T, VECTOR>;
    const int column = Columns::column();
    if (column >= columns) return;
    for (Size row = Columns::first_row(); row < positions * samples; row += Columns::row_step()) {
        const Size at = row % samples * positions + row / samples;
        float sums[Columns::WIDTH] = {}, values[Columns::WIDTH];
#pragma unroll
        for (int table = 0; table < MOST_TABLES; ++table) {
            if (!tables.first[table]) continue;
            const Size id = ids.of[table][at];
            const bool known = id >= 0 && id < tables.rows[table];
            if (known) load_parts(tables.first[table] + id * columns + column, values);
#pragma unroll
            for (int i = 0; i < Columns::WIDTH; ++i) sums[i] = known ? sums[i] + values[i] : NAN;
        }
        store<T>(y + row * columns + column, sums);
    }
}

// Where a key's row lies, null if no table has it, and the entries that may be added to it: those of its table, the only ones
// unless an id is not one of its own table.
template <typename W>
struct Target {
    W* row = nullptr;
    Size first_entry = 0;

    __device__ Target(const Tables<W>& tables, Size key, Size count, int columns) {
        Size of_table = key;
#pragma unroll
        for (int table = 0; table < MOST_TABLES; ++table) {
            if (!row && of_table >= 0 && of_table < tables.rows[table]) {
                row = tables.first[table] + of_table * columns;
                first_entry = table * count;
            }
            of_table -= tables.rows[table];
        }
    }
};

// Blocks of 32 x 8 threads: blockIdx.x numbers eights of chunks, blockIdx.y the columns' blocks.
// partial [2, chunks, columns]: of each chunk the part of the run that comes from the chunk before, and of the one that begins
// in it and goes on in the next.
template <typename W, typename T, bool VECTOR>
__global__ void embedding_sum_backward(const T* gradient, const Size* keys, const Size* order, Tables<W> tables, Size count,
                                       Size entries, int columns, float* partial) {
    constexpr int WIDTH = ACCESS_WIDTH<T, VECTOR>;
    using Access = std::conditional_t<VECTOR, Pack<T>, T>;  // what is ahead stays as it is in memory: half the registers
    const Size chunk = static_cast<Size>(blockIdx.x) * TILE_ROWS + threadIdx.y, chunks = (entries + CHUNK - 1) / CHUNK;
    const int column = (blockIdx.y * TILE_LANES + threadIdx.x) * WIDTH;
    const Size begin = chunk * CHUNK, end = begin + CHUNK < entries ? begin + CHUNK : entries;
    if (chunk >= chunks || column >= columns) return;

    bool from_before = begin > 0 && keys[begin - 1] == keys[begin];
    float sums[WIDTH] = {};
    for (Size first = begin; first < end; first += AHEAD) {
        Access ahead[AHEAD] = {};
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            if (first + i >= end) continue;
            const Size row = order[first + i] - Target<W>(tables, keys[first + i], count, columns).first_entry;
            if (row >= 0 && row < count) ahead[i] = *reinterpret_cast<const Access*>(gradient + row * columns + column);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            const Size entry = first + i;
            if (entry >= end) continue;
            float values[WIDTH];
            load<T>(reinterpret_cast<const T*>(&ahead[i]), values);
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) sums[j] += values[j];
            const bool last = entry + 1 == end, goes_on = entry + 1 < entries && keys[entry + 1] == keys[entry];
            if (goes_on && !last) continue;
            if (from_before || goes_on) {
                const Size half = from_before ? 0 : chunks;
                store_parts(partial + (half + chunk) * columns + column, sums);
            } else if (W* row = Target<W>(tables, keys[entry], count, columns).row) {
                store_parts(row + column, sums);
            }
            from_before = false;
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) sums[j] = 0.0f;
        }
    }
}

// blockIdx.x is the chunk in which a run begins that goes on in the next one; other blocks have nothing to do.
template <typename W, bool VECTOR>
__global__ void embedding_sum_join(const float* partial, const Size* keys, Tables<W> tables, Size count, Size entries,
                                   int columns) {
    constexpr int WIDTH = ACCESS_WIDTH<W, VECTOR>;
    __shared__ float of_thread[TILE_ROWS][TILE_LANES][WIDTH];
    const Size chunk = blockIdx.x, chunks = gridDim.x, begin = chunk * CHUNK, end = begin + CHUNK;
    if (end >= entries || keys[end] != keys[end - 1]) return;
    if (begin > 0 && keys[begin - 1] == keys[end - 1]) return;  // it began before
    const Size key = keys[end];
    const int column = (blockIdx.y * TILE_LANES + threadIdx.x) * WIDTH;
    float sums[WIDTH] = {}, values[WIDTH];
    if (column < columns) {
        if (threadIdx.y == 0) load_parts(partial + (chunks + chunk) * columns + column, sums);
        for (Size next = chunk + 1 + threadIdx.y; next < chunks && keys[next * CHUNK] == key; next += TILE_ROWS) {
            load_parts(partial + next * columns + column, values);
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) sums[i] += values[i];
        }
    }
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) of_thread[threadIdx.y][threadIdx.x][i] = sums[i];
    __syncthreads();
    W* row = Target<W>(tables, key, count, columns).row;
    if (threadIdx.y != 0 || column >= columns || !row) return;
    for (int y = 1; y < TILE_ROWS; ++y)
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) sums[i] += of_thread[y][threadIdx.x][i];
    store_parts(row + column, sums);
}

// The tables' dtype is that of the sum, or float32.
template <typename Function>
int for_dtypes(Size of_tables, Size dtype, Function function) {
    return for_dtype(of_tables, [&](auto table) {
        return for_dtype(dtype, [&](auto zero) -> int {
            using W = decltype(table);
            using T = decltype(zero);
            if constexpr (std::is_same_v<W, T> || std::is_same_v<W, float>)
                return function(table, zero);
            else
                return cudaErrorInvalidValue;
        });
    });
}

template <int WIDTH>
dim3 grid_of_columns(Size along, Size columns) {
    const Size lanes = (columns + WIDTH - 1) / WIDTH;
    return dim3(static_cast<unsigned>(along), static_cast<unsigned>((lanes + TILE_LANES - 1) / TILE_LANES));
}

// Tables [rows, columns] and ids int64 [samples, positions], the last of each null where there are two -> y [positions, samples,
// columns].
EXPORT int megatron_bio_embedding_sum_forward(const void* ids_0, const void* ids_1, const void* ids_2, const void* table_0,
                                                  const void* table_1, const void* table_2, void* y, Size rows_0, Size rows_1,
                                                  Size rows_2, Size positions, Size samples, Size columns, Size strips,
                                                  Size of_tables, Size dtype, void* stream) {
    const Ids ids{{static_cast<const Size*>(ids_0), static_cast<const Size*>(ids_1), static_cast<const Size*>(ids_2)}};
    return for_dtypes(of_tables, dtype, [&](auto table, auto zero) -> int {
        using W = decltype(table);
        using T = decltype(zero);
        const Tables<const W> tables{
            {static_cast<const W*>(table_0), static_cast<const W*>(table_1), static_cast<const W*>(table_2)},
            {rows_0, rows_1, rows_2}};
        const auto start = [&](auto kernel, dim3 grid) {
            return launch(kernel, grid, Tile<T, true>::block(), stream, tables, ids, positions, samples,
                          static_cast<int>(columns), static_cast<T*>(y));
        };
        return may_vectorise<T>(columns, table_0, table_1, table_2, y)
                   ? start(embedding_sum_forward<W, T, true>, Tile<T, true>::grid(columns, strips))
                   : start(embedding_sum_forward<W, T, false>, Tile<T, false>::grid(columns, strips));
    });
}

// gradient [count, columns], keys and order int64 [entries]: the keys sorted, and where each stood before; the tables' gradients
// [rows, columns] are full of zeros, and rows that nothing names stay so. partial is float32 [2, chunks, columns], to be thrown away.
EXPORT int megatron_bio_embedding_sum_backward(const void* gradient, const void* keys, const void* order, void* gradient_0,
                                                   void* gradient_1, void* gradient_2, void* partial, Size rows_0, Size rows_1,
                                                   Size rows_2, Size count, Size entries, Size columns, Size of_tables,
                                                   Size dtype, void* stream) {
    return for_dtypes(of_tables, dtype, [&](auto table, auto zero) -> int {
        using W = decltype(table);
        using T = decltype(zero);
        const Tables<W> tables{{static_cast<W*>(gradient_0), static_cast<W*>(gradient_1), static_cast<W*>(gradient_2)},
                               {rows_0, rows_1, rows_2}};
        const Size chunks = (entries + CHUNK - 1) / CHUNK, eights = (chunks + TILE_ROWS - 1) / TILE_ROWS;
        const bool vector = may_vectorise<T>(columns, gradient, gradient_0, gradient_1, gradient_2, partial);
        const auto start = [&](auto kernel, dim3 grid) {
            return launch(kernel, grid, Tile<T, true>::block(), stream, static_cast<const T*>(gradient),
                          static_cast<const Size*>(keys), static_cast<const Size*>(order), tables, count, entries,
                          static_cast<int>(columns), static_cast<float*>(partial));
        };
        const int error = vector ? start(embedding_sum_backward<W, T, true>, grid_of_columns<Pack<T>::WIDTH>(eights, columns))
                                 : start(embedding_sum_backward<W, T, false>, grid_of_columns<1>(eights, columns));
        if (error || chunks == 1) return error;
        const auto join = [&](auto kernel, dim3 grid) {
            return launch(kernel, grid, Tile<T, true>::block(), stream, static_cast<const float*>(partial),
                          static_cast<const Size*>(keys), tables, count, entries, static_cast<int>(columns));
        };
        return vector ? join(embedding_sum_join<W, true>, grid_of_columns<Pack<W>::WIDTH>(chunks, columns))
                      : join(embedding_sum_join<W, false>, grid_of_columns<1>(chunks, columns));
    });
}
