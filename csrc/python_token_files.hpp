// Token files from Python: megatron_bio/data/sources.py gives them as arrays.
#pragma once

#include <vector>

#include "python_arrays.hpp"
#include "token_files.hpp"

namespace megatron_bio {

template <typename Token>
TokenFiles<Token> files_of(const std::vector<py::array>& arrays) {
    TokenFiles<Token> files;
    files.first.push_back(0);
    for (const py::array& array : arrays) {
        files.tokens.push_back(items_of<Token>(array, "files", {-1}));
        files.first.push_back(files.first.back() + array.size());
    }
    return files;
}

}  // namespace megatron_bio
