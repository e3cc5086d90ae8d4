// The order of samples and documents, bit for bit that of megatron_bio/data/order.py, which defines it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace megatron_bio {

// A permutation of 0 ... size - 1 for each epoch; size is at least 1 and at most 2^62.
class Permutation {
  public:
    Permutation(uint64_t size, uint64_t seed, uint64_t purpose);

    // Where the permutation of `epoch` sends `index`, which is below size. Fastest for the epoch of the call before.
    uint64_t image(uint64_t index, uint64_t epoch);

    // The images of first ... first + count - 1.
    void images(uint64_t first, size_t count, uint64_t epoch, int64_t* result) const;

  private:
    static constexpr int rounds = 8;
    static constexpr int lanes = 8;

    void step(uint64_t& row, uint64_t& column, uint64_t row_key, uint64_t column_key) const;
    uint64_t walk(uint64_t index, const uint64_t (&keys)[rounds]) const;
    void keys_of(uint64_t epoch, uint64_t (&keys)[rounds]) const;

    uint64_t size_, rows_, columns_;
    uint64_t states_[rounds];  // The hash of (seed, purpose, round).
    uint64_t keys_[rounds];    // Of the newest epoch asked for.
    uint64_t epoch_ = 0;
    bool has_keys_ = false;
};

}  // namespace megatron_bio
