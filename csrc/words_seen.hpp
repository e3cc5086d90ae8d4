// Short words and their ids, as many as fit into a fixed table; the one not asked for longest makes room.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace megatron_bio {

// Sixteen bytes of text, the first one lowest.
struct Chunk {
    uint64_t low = 0, high = 0;
};

inline uint64_t first_byte_lowest(uint64_t bytes) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(bytes);
#else
    return bytes;
#endif
}

// The bytes at `at`, with zeros after `end`.
inline Chunk load_chunk(const char* at, const char* end) {
    char padded[16] = {};
    if (end - at < 16) at = static_cast<const char*>(std::memcpy(padded, at, end - at));
    Chunk chunk;
    std::memcpy(&chunk.low, at, 8);
    std::memcpy(&chunk.high, at + 8, 8);
    return {first_byte_lowest(chunk.low), first_byte_lowest(chunk.high)};
}

// The first `size` bytes, at most 15, with zeros after them.
inline Chunk shortened(Chunk chunk, size_t size) {
    if (size > 8) return {chunk.low, chunk.high & ((uint64_t{1} << (size - 8) * 8) - 1)};
    return {size < 8 ? chunk.low & ((uint64_t{1} << size * 8) - 1) : chunk.low, 0};
}

// Two places for each value of a hash, the one asked for last first, so that a search touches one line of the processor's cache.
class WordsSeen {
  public:
    static constexpr size_t kMostBytes = 15, kMostIds = 4;

    struct Entry {
        uint64_t low = 0, high = 0;  // the word; in the highest byte the number of ids
        int32_t ids[kMostIds] = {};
        size_t count() const { return high >> 56; }
    };

    // Room for 2 << bits words of at most kMostBytes bytes, none of them 0, and kMostIds ids: 64 << bits bytes.
    explicit WordsSeen(int bits) : shift_(64 - bits), sets_(size_t{1} << bits) {}

    // The ids of a word; nullptr if it is not there.
    const Entry* find(Chunk word) {
        Set& set = set_of(word);
        if (is(set.entries[0], word)) return &set.entries[0];
        if (!is(set.entries[1], word)) return nullptr;
        std::swap(set.entries[0], set.entries[1]);
        return &set.entries[0];
    }

    void add(Chunk word, const int32_t* ids, size_t count) {
        Set& set = set_of(word);
        set.entries[1] = set.entries[0];
        Entry& entry = set.entries[0];
        entry = Entry();
        entry.low = word.low;
        entry.high = word.high | static_cast<uint64_t>(count) << 56;
        std::memcpy(entry.ids, ids, count * sizeof(int32_t));
    }

  private:
    struct alignas(64) Set {
        Entry entries[2];
    };

    static bool is(const Entry& entry, Chunk word) {
        return !((entry.low ^ word.low) | ((entry.high ^ word.high) << 8));
    }
    Set& set_of(Chunk word) {
        uint64_t mixed = (word.low ^ word.high * 0xc2b2ae3d27d4eb4full) * 0x9e3779b97f4a7c15ull;
        return sets_[((mixed ^ mixed >> 32) * 0x9e3779b97f4a7c15ull) >> shift_];
    }

    int shift_;
    std::vector<Set> sets_;
};

}  // namespace megatron_bio
