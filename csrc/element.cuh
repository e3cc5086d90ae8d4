// Element types of the tensors: float32, bfloat16 and float16 in memory, float32 in registers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

template <typename T>
__device__ inline float to_float(T value) {
    return static_cast<float>(value);
}

template <typename T>
__device__ inline T from_float(float value) {
    return static_cast<T>(value);
}

// As many elements as one 16-byte load brings.
template <typename T>
struct alignas(16) Pack {
    static constexpr int WIDTH = 16 / sizeof(T);
    T values[WIDTH];
};

template <typename T, int WIDTH>
__device__ inline void load(const T* from, float (&values)[WIDTH]) {
    static_assert(WIDTH == 1 || WIDTH == Pack<T>::WIDTH);
    if constexpr (WIDTH == 1) {
        values[0] = to_float(*from);
    } else {
        const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(from);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) values[i] = to_float(pack.values[i]);
    }
}

template <typename T, int WIDTH>
__device__ inline void store(T* to, const float (&values)[WIDTH]) {
    // float32 may be stored as wide as 16-bit elements are loaded.
    static_assert(WIDTH == 1 || WIDTH % Pack<T>::WIDTH == 0);
    if constexpr (WIDTH == 1) {
        *to = from_float<T>(values[0]);
    } else {
        constexpr int PART = Pack<T>::WIDTH;
#pragma unroll
        for (int first = 0; first < WIDTH; first += PART) {
            Pack<T> pack;
#pragma unroll
            for (int i = 0; i < PART; ++i) pack.values[i] = from_float<T>(values[first + i]);
            *reinterpret_cast<Pack<T>*>(to + first) = pack;
        }
    }
}

// Elements of one access: 16 bytes, or one element where rows are not aligned.
template <typename T, bool VECTOR>
constexpr int ACCESS_WIDTH = VECTOR ? Pack<T>::WIDTH : 1;
