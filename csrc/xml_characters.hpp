#pragma once

#include <cstdint>
#include <cstring>

#include "unusual.hpp"
#include "utf8.hpp"

namespace megatron_bio {

// Characters of XML in valid UTF-8, and no carriage return, which a reader has to normalise; else throws Unusual.
inline void check_characters(const char* at, const char* end) {
    auto require = [](bool condition) {
        if (!condition) throw Unusual();
    };
    while (at < end) {
        uint64_t word;
        if (end - at >= 8 && (std::memcpy(&word, at, 8), !(word & 0x8080808080808080ull))) {
            // A byte below 0x20 borrows into its high bit.
            if (!((word - 0x2020202020202020ull) & ~word & 0x8080808080808080ull)) {
                at += 8;
                continue;
            }
        }
        unsigned char c = *at;
        if (c < 0x80) {
            require(c >= 0x20 || c == '\t' || c == '\n');
            ++at;
            continue;
        }
        uint32_t point;
        at = decode(at, end, point);
        require(at && point != 0xfffe && point != 0xffff);
    }
}

}  // namespace megatron_bio
