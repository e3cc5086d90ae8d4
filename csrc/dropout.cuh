// The dropout of megatron_bio/kernels/dropout.py, bit for bit: a 32-bit hash of where an element is, keyed by (sample, layer, site).
#pragma once

#include "launch.cuh"

struct Dropout {
    const Size* keys;           // [R], from sample_keys; null if nothing is dropped
    const Size* layer_of_graph; // one number in device memory, or null: then `layer` counts
    Size layer;
    Size site;
    std::uint32_t threshold;    // of the hash's low 31 bits; what is below is dropped
    float scale;                // of what is kept
};

struct DropoutKey {
    std::uint32_t first, second;
};

__device__ inline std::uint64_t mix64(std::uint64_t x) {
    x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDull;
    x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53ull;
    return x ^ (x >> 33);
}

__device__ inline DropoutKey key_of(const Dropout& dropout, Size row) {
    const Size layer = dropout.layer_of_graph ? *dropout.layer_of_graph : dropout.layer;
    const std::uint64_t number = static_cast<std::uint64_t>(layer) * 16 + static_cast<std::uint64_t>(dropout.site) + 1;
    const std::uint64_t mixed = mix64(static_cast<std::uint64_t>(dropout.keys[row]) + number * 0x632BE59BD9B4E019ull);
    return {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32)};
}

// What an element is multiplied by: 0 or the scale.
__device__ inline float factor_of(const Dropout& dropout, DropoutKey key, std::uint32_t element) {
    std::uint32_t x = element + key.first;
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x += key.second;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    return (x & 0x7FFFFFFFu) >= dropout.threshold ? dropout.scale : 0.0f;
}

// A row of hidden states [positions, samples, columns], of which element (position, channel) of a sample has the number
// (first_position + position) * columns + channel, so that a slice of the sequence has its part of the mask.
struct HiddenRow {
    DropoutKey key;
    std::uint32_t first;
};

__device__ inline HiddenRow hidden_row(const Dropout& dropout, Size row, Size samples, Size first_position, int columns) {
    if (!dropout.keys) return {};
    return {key_of(dropout, row % samples), static_cast<std::uint32_t>((first_position + row / samples) * columns)};
}

// What an element of the row is multiplied by; 1 without dropout.
__device__ inline float factor_of(const Dropout& dropout, const HiddenRow& row, int column) {
    return dropout.keys ? factor_of(dropout, row.key, row.first + static_cast<std::uint32_t>(column)) : 1.0f;
}

// What is dropped counts for nothing even if it is no number.
__device__ inline float scaled(float value, float factor) { return factor == 0.0f ? 0.0f : value * factor; }

inline Dropout dropout_of(const void* keys, const void* layer_of_graph, Size layer, Size site, Size threshold, float scale) {
    return {static_cast<const Size*>(keys), static_cast<const Size*>(layer_of_graph), layer, site,
            static_cast<std::uint32_t>(threshold), scale};
}
