// Code points of UTF-8 text, and the characters that Python's str.isspace calls white space.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace megatron_bio {

// The position after the code point at `at`; nullptr if the bytes up to `end` do not begin with one (overlong forms and halves of surrogate pairs are none).
inline const char* decode(const char* at, const char* end, uint32_t& point) {
    auto byte = [&](int i) { return static_cast<unsigned char>(at[i]); };
    auto continues = [&](int i) { return (byte(i) & 0xc0) == 0x80; };
    unsigned char c = byte(0);
    if (c < 0x80) {
        point = c;
        return at + 1;
    }
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    if (c < 0xc2 || c > 0xf4 || end - at <= more) return nullptr;
    point = c & (0x3f >> more);
    for (int i = 1; i <= more; ++i) {
        if (!continues(i)) return nullptr;
        point = point << 6 | (byte(i) & 0x3f);
    }
    if (point < (more == 1 ? 0x80u : more == 2 ? 0x800u : 0x10000u) || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return nullptr;
    return at + more + 1;
}

inline void encode(uint32_t point, std::string& text) {
    if (point < 0x80) {
        text.push_back(static_cast<char>(point));
    } else if (point < 0x800) {
        text.push_back(static_cast<char>(0xc0 | point >> 6));
        text.push_back(static_cast<char>(0x80 | (point & 0x3f)));
    } else if (point < 0x10000) {
        text.push_back(static_cast<char>(0xe0 | point >> 12));
        text.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
        text.push_back(static_cast<char>(0x80 | (point & 0x3f)));
    } else {
        text.push_back(static_cast<char>(0xf0 | point >> 18));
        text.push_back(static_cast<char>(0x80 | (point >> 12 & 0x3f)));
        text.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
        text.push_back(static_cast<char>(0x80 | (point & 0x3f)));
    }
}

inline bool is_white_space(uint32_t point) {
    if (point < 0x80) return point == 0x20 || (point >= 0x09 && point <= 0x0d) || (point >= 0x1c && point <= 0x1f);
    return point == 0x85 || point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x2028 ||
           point == 0x2029 || point == 0x202f || point == 0x205f || point == 0x3000;
}

// True if every code point of valid UTF-8 fulfils the condition.
template <typename Condition>
bool all_points(std::string_view text, Condition condition) {
    const char* end = text.data() + text.size();
    for (const char* at = text.data(); at < end;) {
        uint32_t point = 0;
        at = decode(at, end, point);
        if (!condition(point)) return false;
    }
    return true;
}

// The text without white space at its ends, as Python's str.strip.
inline std::string_view stripped(std::string_view text) {
    while (!text.empty()) {
        uint32_t point = 0;
        const char* after = decode(text.data(), text.data() + text.size(), point);
        if (!is_white_space(point)) break;
        text.remove_prefix(after - text.data());
    }
    while (!text.empty()) {
        size_t begin = text.size() - 1;
        while ((static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
        uint32_t point = 0;
        decode(text.data() + begin, text.data() + text.size(), point);
        if (!is_white_space(point)) break;
        text.remove_suffix(text.size() - begin);
    }
    return text;
}

}  // namespace megatron_bio
