// Numbers from counters, bit for bit those of megatron_bio/data/randomness.py, which says where they come from.
#pragma once

#include <cstdint>

namespace megatron_bio {

// SplitMix64's finaliser.
inline uint64_t mixed(uint64_t bits) {
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    return bits ^ (bits >> 31);
}

// 64 well-mixed bits for the key (first, second, ...).
inline uint64_t hash_words(uint64_t first, uint64_t second) { return mixed(first + (second + 1) * 0x9E3779B97F4A7C15u); }

template <typename... Words>
uint64_t hash_words(uint64_t first, uint64_t second, uint64_t third, Words... others) {
    return hash_words(hash_words(first, second), third, others...);
}

// A number in [0, 1) from 64 bits.
inline double uniform(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

// An integer in [0, below) from 64 bits; below is less than 2^32.
inline int64_t integers(int64_t below, uint64_t bits) { return static_cast<int64_t>(uniform(bits) * static_cast<double>(below)); }

}  // namespace megatron_bio
