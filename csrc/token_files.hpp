// The tokens of several files, numbered as if they were one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace megatron_bio {

// Token files, one behind the other.
template <typename Token>
struct TokenFiles {
    std::vector<const Token*> tokens;
    std::vector<int64_t> first;  // Of each file, and then the number of all tokens.

    // nullptr if the part is not inside of one file.
    const Token* find(int64_t start, int64_t length) const {
        if (start < 0 || length < 0 || start > first.back()) return nullptr;
        size_t file = std::upper_bound(first.begin(), first.end() - 1, start) - first.begin() - 1;
        return length <= first[file + 1] - start ? tokens[file] + (start - first[file]) : nullptr;
    }
};

}  // namespace megatron_bio
