#include "mask_rows.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "random_words.hpp"

namespace megatron_bio {

namespace {

// As in megatron_bio/data/randomness.py.
enum Purpose : uint64_t { kOrder = 9, kKind = 10, kReplacement = 11, kLength = 20 };

constexpr double kMaskShare = 0.8, kMaskOrRandomShare = 0.9;
constexpr uint64_t kNumberBits = RowMasker::kMostColumns - 1;

}  // namespace

RowMasker::RowMasker(const MaskingRules& rules, int64_t columns) : rules_(rules), unit_(columns, -1) {
    words_.reserve(columns);
    order_.reserve(columns);
    taken_.reserve(columns);
}

void RowMasker::mask(int64_t* tokens, const int32_t* segments, uint64_t key, int64_t* positions, int64_t* labels, float* weights) {
    int64_t maskable = find_words(tokens, segments);
    if (!maskable) return;
    int64_t share = std::max<int64_t>(1, static_cast<int64_t>(std::nearbyint(rules_.probability * static_cast<double>(maskable))));
    std::fill(unit_.begin(), unit_.end(), -1);
    choose(std::min(share, rules_.slots), key);

    uint64_t kind_key = hash_words(key, kKind), replacement_key = hash_words(key, kReplacement);
    for (int64_t column = 0, slot = 0; column < static_cast<int64_t>(unit_.size()); ++column) {
        if (unit_[column] < 0) continue;
        positions[slot] = column;
        labels[slot] = tokens[column];
        weights[slot++] = 1.0f;
        double draw = uniform(hash_words(kind_key, rules_.alike ? unit_[column] : column));
        if (draw < kMaskShare) {
            tokens[column] = rules_.mask_id;
        } else if (draw < kMaskOrRandomShare) {
            tokens[column] = rules_.replacements[integers(rules_.replacement_count, hash_words(replacement_key, column))];
        }
    }
}

// The number of maskable tokens.
int64_t RowMasker::find_words(const int64_t* tokens, const int32_t* segments) {
    words_.clear();
    int64_t maskable = 0;
    int32_t segment = 0;  // Of the token before, 0 if that is not maskable.
    for (int32_t column = 0; column < static_cast<int32_t>(unit_.size()); ++column) {
        uint8_t flags = rules_.flags[tokens[column]];
        if (!(flags & MaskingRules::kMaskable) || segments[column] <= 0) {
            segment = 0;
            continue;
        }
        ++maskable;
        bool follows = segments[column] == segment;
        segment = segments[column];
        if (follows && (flags & MaskingRules::kContinuation)) {
            ++words_.back().size;
        } else {
            words_.push_back({column, 1, follows});
        }
    }
    return maskable;
}

// The words in the order of their keys, of which a heap gives as many as are needed.
void RowMasker::choose(int64_t budget, uint64_t key) {
    uint64_t order_key = hash_words(key, kOrder), length_key = hash_words(key, kLength);
    order_.clear();
    for (size_t word = 0; word < words_.size(); ++word) {
        order_.push_back((hash_words(order_key, words_[word].column) & ~kNumberBits) | word);
    }
    std::make_heap(order_.begin(), order_.end(), std::greater<>());
    const Word& first = words_[order_.front() & kNumberBits];
    taken_.assign(words_.size(), 0);
    int64_t left = budget;
    while (left > 0 && !order_.empty()) {
        std::pop_heap(order_.begin(), order_.end(), std::greater<>());
        size_t start = order_.back() & kNumberBits, word = start;
        order_.pop_back();
        if (taken_[start] || words_[start].size > left) continue;
        size_t end = std::min<size_t>(words_.size(), start + words_wanted(length_key, words_[start].column));
        int64_t size = 0;
        while (word < end && !taken_[word] && (word == start || words_[word].linked) && size + words_[word].size <= left) {
            taken_[word] = 1;
            size += words_[word++].size;
        }
        take(words_[start].column, size);
        left -= size;
    }
    if (left == budget) take(first.column, budget);
}

int64_t RowMasker::words_wanted(uint64_t length_key, int64_t column) const {
    if (!rules_.bound_count) return 1;
    double draw = uniform(hash_words(length_key, column));
    return 1 + (std::upper_bound(rules_.length_bounds, rules_.length_bounds + rules_.bound_count, draw) - rules_.length_bounds);
}

void RowMasker::take(int64_t column, int64_t pieces) {
    std::fill_n(unit_.begin() + column, pieces, static_cast<int32_t>(column));
}

}  // namespace megatron_bio
