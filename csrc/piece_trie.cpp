#include "piece_trie.hpp"

#include <stdexcept>

namespace megatron_bio {

namespace {

constexpr int kFirstBits = 10;
constexpr size_t kMostNodes = size_t{1} << 24;

}  // namespace

PieceTrie::PieceTrie(const std::vector<std::pair<std::string, int32_t>>& pieces, std::string_view prefix)
    : shift_(64 - kFirstBits), edges_(size_t{1} << kFirstBits), ids_(kInnerRoot + 1, kNone) {
    for (const auto& [piece, id] : pieces) {
        add(kFirstRoot, piece, id);
        std::string_view text = piece;
        if (text.substr(0, prefix.size()) == prefix) add(kInnerRoot, text.substr(prefix.size()), id);
    }
}

bool PieceTrie::split(std::string_view word, std::vector<int32_t>& ids) const {
    size_t before = ids.size();
    uint32_t node = kFirstRoot;
    for (size_t at = 0; at < word.size(); node = kInnerRoot) {
        size_t piece_end = at;
        int32_t id = kNone;
        for (size_t next = at; next < word.size(); ) {
            node = follow(node, static_cast<unsigned char>(word[next++]));
            if (!node) break;
            if (ids_[node] != kNone) {
                id = ids_[node];
                piece_end = next;
            }
        }
        if (id == kNone) {
            ids.resize(before);
            return false;
        }
        ids.push_back(id);
        at = piece_end;
    }
    return true;
}

void PieceTrie::add(uint32_t root, std::string_view piece, int32_t id) {
    if (piece.empty()) return;  // The library never looks for it.
    uint32_t node = root;
    for (char c : piece) {
        unsigned char byte = static_cast<unsigned char>(c);
        uint32_t next = follow(node, byte);
        if (!next) {
            if (ids_.size() >= kMostNodes) throw std::length_error("the vocabulary has too many different pieces");
            if (++used_ * 2 > edges_.size()) grow();
            next = static_cast<uint32_t>(ids_.size());
            ids_.push_back(kNone);
            size_t at = slot(node << 8 | byte);
            while (edges_[at].from) at = (at + 1) & (edges_.size() - 1);
            edges_[at] = {node << 8 | byte, next};
        }
        node = next;
    }
    ids_[node] = id;
}

uint32_t PieceTrie::follow(uint32_t node, unsigned char byte) const {
    uint32_t from = node << 8 | byte;
    size_t at = slot(from);
    while (edges_[at].from && edges_[at].from != from) at = (at + 1) & (edges_.size() - 1);
    return edges_[at].to;
}

void PieceTrie::grow() {
    std::vector<Edge> before(edges_.size() * 2);
    before.swap(edges_);
    --shift_;
    for (const Edge& edge : before) {
        if (!edge.from) continue;
        size_t at = slot(edge.from);
        while (edges_[at].from) at = (at + 1) & (edges_.size() - 1);
        edges_[at] = edge;
    }
}

}  // namespace megatron_bio
