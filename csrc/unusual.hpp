#pragma once

#include <exception>

namespace megatron_bio {

// Something that only the reader in Python knows how to read, or that is wrong.
struct Unusual : std::exception {
    const char* what() const noexcept override { return "left to the reader in Python"; }
};

}  // namespace megatron_bio
