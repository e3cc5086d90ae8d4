#include "clean_text.hpp"

#include <cstring>

#include "unusual.hpp"
#include "utf8.hpp"

namespace megatron_bio {

namespace {

// The end of the printable ASCII at `at` in which single spaces, which are counted, part words; eight bytes at a time.
const char* plain_words_end(const char* at, const char* end, size_t& spaces) {
    constexpr uint64_t kOnes = 0x0101010101010101ull, kHigh = 0x8080808080808080ull;
    while (end - at > 8) {
        uint64_t word, shifted;
        std::memcpy(&word, at, 8);
        std::memcpy(&shifted, at + 1, 8);
        // In the high bit of each byte: whether it is less than a limit of at most 0x80, or no ASCII.
        auto is_less = [](uint64_t bytes, uint64_t limit) { return ((((bytes & ~kHigh) | kHigh) - kOnes * limit) ^ kHigh) | bytes; };
        uint64_t is_unusual = is_less(word, 0x20) | is_less(~word & ~kHigh, 1);
        uint64_t ends_words = is_less(word, 0x21) & is_less(shifted, 0x21);
        if ((is_unusual | ends_words) & kHigh) break;
        spaces += __builtin_popcountll(is_less(word, 0x21) & kHigh);
        at += 8;
    }
    for (; end - at > 1 && at[0] > 0x1f && at[0] < 0x7f && (at[0] != ' ' || at[1] > ' '); ++at) spaces += at[0] == ' ';
    return at;
}

}  // namespace

std::string closed_up(std::string_view part, std::string_view stable, bool& is_usual, size_t& spaces) {
    std::string text;
    text.reserve(part.size());
    const char* end = part.data() + part.size();
    for (const char* at = part.data(); at < end;) {
        if (*at == ' ' || (*at >= '\t' && *at <= '\r')) {
            ++at;
            continue;
        }
        const char* words = at;
        const char* after = at;
        for (; at < end; at = after) {
            at = after = plain_words_end(at, end, spaces);
            if (at == end) break;
            uint32_t point = 0;
            after = decode(at, end, point);
            if (!after) throw Unusual();
            if (is_white_space(point)) break;
            if (point < 0x80 ? point < 0x20 || point == 0x7f : point >= stable.size() || !stable[point]) is_usual = false;
        }
        if (at > words) {
            if (!text.empty()) {
                text.push_back(' ');
                ++spaces;
            }
            text.append(words, at - words);
        }
        at = after;
    }
    return text;
}

}  // namespace megatron_bio
