// The pieces of a WordPiece vocabulary, and the longest that a text begins with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace megatron_bio {

// A trie over bytes with two roots: pieces at the beginning of a word, and pieces inside one, without their prefix.
class PieceTrie {
  public:
    // Pieces as UTF-8 with their ids, which are at least 0. Throws std::length_error for more than 2^24 different beginnings.
    PieceTrie(const std::vector<std::pair<std::string, int32_t>>& pieces, std::string_view prefix);

    // The ids of a word, the longest piece first at each place, put after those in `ids`; false, and nothing put, if at some place
    // none fits.
    bool split(std::string_view word, std::vector<int32_t>& ids) const;

  private:
    struct Edge {
        uint32_t from;  // node << 8 | byte; 0 in an empty slot, for nodes are counted from 1
        uint32_t to;
    };
    static constexpr uint32_t kFirstRoot = 1, kInnerRoot = 2;
    static constexpr int32_t kNone = -1;

    void add(uint32_t root, std::string_view piece, int32_t id);
    uint32_t follow(uint32_t node, unsigned char byte) const;
    size_t slot(uint32_t from) const { return (from * 0x9e3779b97f4a7c15ull) >> shift_; }
    void grow();

    int shift_;
    size_t used_ = 0;
    std::vector<Edge> edges_;
    std::vector<int32_t> ids_;  // of the piece that ends at a node, or kNone
};

}  // namespace megatron_bio
