// How a launcher of the C interface chooses among the instances of its kernel.
//
// A launcher takes pointers to device memory, int64 sizes, float numbers and a stream, and returns a cudaError_t as an int.
// It never allocates, never synchronises, and does not set the device.
#pragma once

#include "element.cuh"

using Size = long long;

#define EXPORT extern "C" __attribute__((visibility("default")))

// The dtype's number in megatron_bio/kernels/library.py, to a value of its type.
template <typename Function>
int for_dtype(Size dtype, Function function) {
    switch (dtype) {
        case 0: return function(float{});
        case 1: return function(__nv_bfloat16{});
        case 2: return function(__half{});
        default: return cudaErrorInvalidValue;
    }
}

inline bool is_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

// Whether rows of so many elements may be read 16 bytes at a time, a null pointer counting as nothing to read.
template <typename T, typename... Pointers>
bool may_vectorise(Size columns, Pointers... pointers) {
    return columns % Pack<T>::WIDTH == 0 && (is_aligned(pointers) && ...);
}

template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, void* stream, Arguments... arguments) {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = static_cast<cudaStream_t>(stream);
    return cudaLaunchKernelEx(&config, kernel, arguments...);
}
