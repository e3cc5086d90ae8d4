#include "permutation.hpp"

#include "random_words.hpp"

namespace megatron_bio {

namespace {

// The least r with r * r >= size.
uint64_t root_above(uint64_t size) {
    uint64_t low = 1, high = uint64_t{1} << 31;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (middle * middle >= size)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// A number below `size`, which is below 2^32, from 64 bits.
uint64_t below(uint64_t size, uint64_t bits) { return ((bits >> 32) * size) >> 32; }

uint64_t shifted(uint64_t place, uint64_t by, uint64_t size) {
    uint64_t sum = place + by;
    return sum >= size ? sum - size : sum;
}

}  // namespace

Permutation::Permutation(uint64_t size, uint64_t seed, uint64_t purpose)
    : size_(size), rows_(root_above(size)), columns_((size + rows_ - 1) / rows_) {
    for (int number = 0; number < rounds; ++number) states_[number] = hash_words(seed, purpose, static_cast<uint64_t>(number));
}

void Permutation::keys_of(uint64_t epoch, uint64_t (&keys)[rounds]) const {
    for (int number = 0; number < rounds; ++number) keys[number] = hash_words(states_[number], epoch);
}

void Permutation::step(uint64_t& row, uint64_t& column, uint64_t row_key, uint64_t column_key) const {
    row = shifted(row, below(rows_, hash_words(row_key, column)), rows_);
    column = shifted(column, below(columns_, hash_words(column_key, row)), columns_);
}

uint64_t Permutation::walk(uint64_t index, const uint64_t (&keys)[rounds]) const {
    uint64_t row = index / columns_, column = index % columns_;
    do {
        for (int number = 0; number < rounds; number += 2) step(row, column, keys[number], keys[number + 1]);
    } while (row * columns_ + column >= size_);
    return row * columns_ + column;
}

uint64_t Permutation::image(uint64_t index, uint64_t epoch) {
    if (!has_keys_ || epoch != epoch_) {
        keys_of(epoch, keys_);
        epoch_ = epoch;
        has_keys_ = true;
    }
    return walk(index, keys_);
}

void Permutation::images(uint64_t first, size_t count, uint64_t epoch, int64_t* result) const {
    uint64_t keys[rounds];
    keys_of(epoch, keys);
    size_t done = 0;
    // Several at once, as each step of one waits for the one before.
    for (; done + lanes <= count; done += lanes) {
        uint64_t row[lanes], column[lanes];
        for (int lane = 0; lane < lanes; ++lane) {
            row[lane] = (first + done + lane) / columns_;
            column[lane] = (first + done + lane) % columns_;
        }
        for (int number = 0; number < rounds; number += 2) {
            for (int lane = 0; lane < lanes; ++lane) step(row[lane], column[lane], keys[number], keys[number + 1]);
        }
        for (int lane = 0; lane < lanes; ++lane) {
            const uint64_t cell = row[lane] * columns_ + column[lane];
            result[done + lane] = static_cast<int64_t>(cell < size_ ? cell : walk(cell, keys));
        }
    }
    for (; done < count; ++done) result[done] = static_cast<int64_t>(walk(first + done, keys));
}

}  // namespace megatron_bio
