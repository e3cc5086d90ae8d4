// Text → the ids that the tokenizers library gives with GPT-2's pattern and byte-level BPE, many times faster.
//
// The pattern only asks of a character whether it is a letter, a number, white space or something else, and that is asked of the
// library, once for each character that occurs. Pieces are looked up among those seen; new ones are merged here, by the library's
// rule: of all pairs that have a merge the one of the lowest rank, of several the leftmost. Long ones are left to the library.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "words_seen.hpp"

namespace megatron_bio {

enum class CharacterKind : uint8_t { unknown, letter, number, white_space, other };

// The library that decides.
class ByteLevelLibrary {
  public:
    virtual ~ByteLevelLibrary() = default;
    virtual CharacterKind kind(uint32_t point) = 0;
    virtual std::vector<int32_t> ids(std::string_view piece) = 0;
};

struct Merge {
    int32_t left, right, joined;
};

// (left, right) → rank and joined id.
class MergeTable {
  public:
    struct Entry {
        uint64_t pair = kEmpty;
        int32_t rank = 0, joined = 0;
    };

    // The first has rank 0; of two merges of one pair the later one counts.
    explicit MergeTable(const std::vector<Merge>& merges);
    const Entry* find(int32_t left, int32_t right) const;

  private:
    static constexpr uint64_t kEmpty = ~uint64_t{0};

    static uint64_t pair_of(int32_t left, int32_t right) {
        return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    }
    size_t place_of(uint64_t pair) const { return (pair * 0x9e3779b97f4a7c15ull) >> shift_; }

    int shift_;
    std::vector<Entry> entries_;
};

class ByteLevelEncoder {
  public:
    // `bytes` are the ids of the 256 bytes. Asks for all characters of ASCII; throws std::invalid_argument if `bytes` are not 256,
    // an id is negative, a letter of ASCII is none for the library, or the space is no white space.
    ByteLevelEncoder(const std::vector<int32_t>& bytes, const std::vector<Merge>& merges, ByteLevelLibrary& library);

    // Puts the ids of UTF-8 after those in `ids`; throws std::invalid_argument if it is none. Remembers pieces: for one thread at
    // a time.
    void encode(std::string_view text, std::vector<int32_t>& ids);

  private:
    CharacterKind kind(uint32_t point);
    CharacterKind kind_at(const char* at, const char* end, const char*& after);
    const char* end_of_kind(const char* at, const char* end, CharacterKind kind);
    const char* end_of_white_space(const char* at, const char* end);
    const char* end_of_piece(const char* at, const char* end);
    void add_piece(std::string_view piece, std::vector<int32_t>& ids, const char* end);
    void add_longer(std::string_view piece, std::vector<int32_t>& ids);
    void merge(std::string_view piece);

    std::vector<int32_t> bytes_;
    MergeTable merges_;
    ByteLevelLibrary& library_;
    WordsSeen words_;
    CharacterKind ascii_[128];
    std::vector<std::unique_ptr<CharacterKind[]>> kinds_;  // pages of 256 characters
    std::unordered_map<std::string, std::vector<int32_t>> longer_;
    size_t longer_bytes_ = 0;
    std::vector<int32_t> merged_;
    std::string key_;
};

}  // namespace megatron_bio
