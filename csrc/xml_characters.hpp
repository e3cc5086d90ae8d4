#pragma once

#include <cstdint>
#include <cstring>

#include "unusual.hpp"
#include "utf8.hpp"

namespace megatron_bio {

inline bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t'; }
inline bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
inline bool is_name_character(char c) { return is_name_start(c) || (c >= '0' && c <= '9') || c == '-' || c == '.'; }

// A character of XML, but for the carriage return.
inline bool is_character(uint32_t point) {
    return point == '\t' || point == '\n' || (point >= 0x20 && point < 0xd800) || (point > 0xdfff && point < 0xfffe) || point > 0xffff;
}

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
        uint32_t point;
        at = decode(at, end, point);
        require(at && is_character(point));
    }
}

}  // namespace megatron_bio
