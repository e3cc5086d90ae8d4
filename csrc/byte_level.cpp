#include "byte_level.hpp"

#include <algorithm>
#include <climits>
#include <cstring>
#include <stdexcept>

#include "utf8.hpp"

namespace megatron_bio {

namespace {

constexpr int kWordBits = 16;  // 4 MB
constexpr size_t kMostLongerBytes = size_t{16} << 20, kMostMergedBytes = 128;
constexpr size_t kPage = 256;

bool is_letter(uint32_t point) { return (point >= 'A' && point <= 'Z') || (point >= 'a' && point <= 'z'); }

// The high bit of each byte that is no letter of ASCII.
uint64_t no_letters(uint64_t bytes) {
    constexpr uint64_t kOnes = 0x0101010101010101ull, kHigh = 0x8080808080808080ull;
    uint64_t folded = (bytes & ~kHigh) | kOnes * 0x20;
    uint64_t letters = (folded + kOnes * (0x80 - 'a')) & ~(folded + kOnes * (0x7f - 'z'));
    return ~(letters & ~bytes) & kHigh;
}

// The end of 's, 't, 'm, 'd, 're, 've or 'll at `at`; nullptr if there is none.
const char* end_of_contraction(const char* at, const char* end) {
    if (end - at < 2) return nullptr;
    if (at[1] == 's' || at[1] == 't' || at[1] == 'm' || at[1] == 'd') return at + 2;
    if (end - at < 3) return nullptr;
    bool is_one = ((at[1] == 'r' || at[1] == 'v') && at[2] == 'e') || (at[1] == 'l' && at[2] == 'l');
    return is_one ? at + 3 : nullptr;
}

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges) {
    int bits = 4;
    while ((size_t{1} << bits) < 2 * merges.size()) ++bits;
    shift_ = 64 - bits;
    entries_.resize(size_t{1} << bits);
    int32_t rank = 0;
    for (const Merge& merge : merges) {
        if (merge.left < 0 || merge.right < 0 || merge.joined < 0) throw std::invalid_argument("an id is negative");
        uint64_t pair = pair_of(merge.left, merge.right);
        size_t place = place_of(pair);
        while (entries_[place].pair != kEmpty && entries_[place].pair != pair) place = (place + 1) & (entries_.size() - 1);
        entries_[place] = {pair, rank++, merge.joined};
    }
}

const MergeTable::Entry* MergeTable::find(int32_t left, int32_t right) const {
    uint64_t pair = pair_of(left, right);
    size_t place = place_of(pair);
    while (entries_[place].pair != pair) {
        if (entries_[place].pair == kEmpty) return nullptr;
        place = (place + 1) & (entries_.size() - 1);
    }
    return &entries_[place];
}

ByteLevelEncoder::ByteLevelEncoder(const std::vector<int32_t>& bytes, const std::vector<Merge>& merges, ByteLevelLibrary& library)
    : bytes_(bytes), merges_(merges), library_(library), words_(kWordBits), kinds_(0x110000 / kPage) {
    if (bytes.size() != 256) throw std::invalid_argument("expected an id for each of the 256 bytes");
    if (std::any_of(bytes.begin(), bytes.end(), [](int32_t id) { return id < 0; })) throw std::invalid_argument("an id is negative");
    for (uint32_t point = 0; point < 128; ++point) {
        ascii_[point] = kind(point);
        if (is_letter(point) != (ascii_[point] == CharacterKind::letter))
            throw std::invalid_argument("text is not parted by GPT-2's pattern");
    }
    if (ascii_[' '] != CharacterKind::white_space || ascii_['\''] != CharacterKind::other)
        throw std::invalid_argument("text is not parted by GPT-2's pattern");
}

void ByteLevelEncoder::encode(std::string_view text, std::vector<int32_t>& ids) {
    const char* end = text.data() + text.size();
    for (const char* at = text.data(); at < end;) {
        const char* after = end_of_piece(at, end);
        add_piece({at, static_cast<size_t>(after - at)}, ids, end);
        at = after;
    }
}

const char* ByteLevelEncoder::end_of_piece(const char* at, const char* end) {
    if (*at == '\'') {
        if (const char* after = end_of_contraction(at, end)) return after;
    }
    const char* body = at + (*at == ' ');
    if (body == end) return end;
    const char* after = nullptr;
    CharacterKind kind = kind_at(body, end, after);
    return kind == CharacterKind::white_space ? end_of_white_space(at, end) : end_of_kind(after, end, kind);
}

// White space up to the end of the text, or all but its last character, which a word may take along; one character always.
const char* ByteLevelEncoder::end_of_white_space(const char* at, const char* end) {
    const char* last = at;
    for (const char* next = at; next < end;) {
        const char* after = nullptr;
        if (kind_at(next, end, after) != CharacterKind::white_space) return last == at ? next : last;
        last = next;
        next = after;
    }
    return end;
}

const char* ByteLevelEncoder::end_of_kind(const char* at, const char* end, CharacterKind kind) {
    while (at < end) {
        while (kind == CharacterKind::letter && end - at >= 8) {
            uint64_t bytes;
            std::memcpy(&bytes, at, 8);
            uint64_t stops = no_letters(first_byte_lowest(bytes));
            at += stops ? __builtin_ctzll(stops) / 8 : 8;
            if (stops) break;
        }
        const char* after = nullptr;
        if (at == end || kind_at(at, end, after) != kind) return at;
        at = after;
    }
    return at;
}

void ByteLevelEncoder::add_piece(std::string_view piece, std::vector<int32_t>& ids, const char* end) {
    if (piece.size() > WordsSeen::kMostBytes || std::memchr(piece.data(), 0, piece.size())) return add_longer(piece, ids);
    Chunk chunk = shortened(load_chunk(piece.data(), end), piece.size());
    if (const WordsSeen::Entry* entry = words_.find(chunk)) {
        ids.insert(ids.end(), entry->ids, entry->ids + entry->count());
        return;
    }
    merge(piece);
    if (merged_.size() > WordsSeen::kMostIds) return add_longer(piece, ids);
    words_.add(chunk, merged_.data(), merged_.size());
    ids.insert(ids.end(), merged_.begin(), merged_.end());
}

void ByteLevelEncoder::add_longer(std::string_view piece, std::vector<int32_t>& ids) {
    if (piece.size() > kMostMergedBytes) {
        std::vector<int32_t> given = library_.ids(piece);
        ids.insert(ids.end(), given.begin(), given.end());
        return;
    }
    key_.assign(piece);
    auto found = longer_.find(key_);
    if (found == longer_.end()) {
        merge(piece);
        size_t bytes = sizeof(*found) + piece.size() + merged_.size() * sizeof(int32_t);
        if (longer_bytes_ + bytes > kMostLongerBytes) {
            longer_.clear();
            longer_bytes_ = 0;
        }
        longer_bytes_ += bytes;
        found = longer_.emplace(key_, merged_).first;
    }
    ids.insert(ids.end(), found->second.begin(), found->second.end());
}

// The ids of a piece into `merged_`.
void ByteLevelEncoder::merge(std::string_view piece) {
    merged_.clear();
    for (char byte : piece) merged_.push_back(bytes_[static_cast<unsigned char>(byte)]);
    int32_t ranks[kMostMergedBytes], joined[kMostMergedBytes];
    auto look_up = [&](size_t place) {
        const MergeTable::Entry* entry = merges_.find(merged_[place], merged_[place + 1]);
        ranks[place] = entry ? entry->rank : INT32_MAX;
        joined[place] = entry ? entry->joined : 0;
    };
    size_t pairs = piece.size() - 1;
    for (size_t place = 0; place < pairs; ++place) look_up(place);
    while (pairs) {
        size_t best = std::min_element(ranks, ranks + pairs) - ranks;  // the first of several
        if (ranks[best] == INT32_MAX) return;
        merged_[best] = joined[best];
        merged_.erase(merged_.begin() + best + 1);
        --pairs;
        std::copy(ranks + best + 1, ranks + pairs + 1, ranks + best);
        std::copy(joined + best + 1, joined + pairs + 1, joined + best);
        if (best < pairs) look_up(best);
        if (best > 0) look_up(best - 1);
    }
}

CharacterKind ByteLevelEncoder::kind_at(const char* at, const char* end, const char*& after) {
    unsigned char byte = static_cast<unsigned char>(*at);
    if (byte < 0x80) {
        after = at + 1;
        return ascii_[byte];
    }
    uint32_t point = 0;
    after = decode(at, end, point);
    if (!after) throw std::invalid_argument("expected UTF-8");
    return kind(point);
}

CharacterKind ByteLevelEncoder::kind(uint32_t point) {
    std::unique_ptr<CharacterKind[]>& page = kinds_[point / kPage];
    if (!page) page = std::make_unique<CharacterKind[]>(kPage);
    CharacterKind& kind = page[point % kPage];
    if (kind == CharacterKind::unknown) kind = library_.kind(point);
    return kind;
}

}  // namespace megatron_bio
