#include "wordpiece.hpp"

#include <algorithm>
#include <stdexcept>

#include "utf8.hpp"

namespace megatron_bio {

namespace {

constexpr int kWordBits = 16;  // 4 MB
constexpr size_t kMostUnsureBytes = size_t{4} << 20, kMostUnsurePiece = 256;
constexpr size_t kPage = 256;

bool is_letter_or_digit(uint32_t point) {
    return (point >= '0' && point <= '9') || (point >= 'A' && point <= 'Z') || (point >= 'a' && point <= 'z');
}

// The high bit of each byte that is no letter or digit of ASCII.
uint64_t others(uint64_t bytes) {
    constexpr uint64_t kOnes = 0x0101010101010101ull, kHigh = 0x8080808080808080ull;
    uint64_t low = bytes & ~kHigh, folded = low | kOnes * 0x20;
    uint64_t letters = (folded + kOnes * (0x80 - 'a')) & ~(folded + kOnes * (0x7f - 'z'));
    uint64_t digits = (low + kOnes * (0x80 - '0')) & ~(low + kOnes * (0x7f - '9'));
    return ~((letters | digits) & ~bytes) & kHigh;
}

// How many letters and digits of ASCII a chunk begins with.
size_t letters_at_start(Chunk chunk) {
    if (uint64_t stops = others(chunk.low)) return __builtin_ctzll(stops) / 8;
    uint64_t stops = others(chunk.high);
    return stops ? 8 + __builtin_ctzll(stops) / 8 : 16;
}

size_t characters(std::string_view text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

}  // namespace

CharacterRule CharacterRule::of(Kind kind, std::string_view result) {
    CharacterRule rule;
    rule.kind = result.size() <= kMostBytes ? kind : unsure;
    if (rule.kind == unsure) return rule;
    rule.size = static_cast<uint8_t>(result.size());
    result.copy(rule.text, kMostBytes);
    return rule;
}

WordPieceEncoder::WordPieceEncoder(const WordPieceSettings& settings, WordPieceLibrary& library)
    : trie_(settings.pieces, settings.prefix), unknown_(settings.unknown), most_characters_(settings.most_characters),
      library_(library), words_(kWordBits), rules_(0x110000 / kPage) {
    for (uint32_t point = 0; point < 128; ++point) {
        ascii_[point] = rule(point).kind;
        if (is_letter_or_digit(point) != (ascii_[point] == CharacterRule::inside) && point > 0x1f && point < 0x7f)
            throw std::invalid_argument("words are not parted as BERT's pre-tokenizer parts them");
    }
    if (ascii_[' '] != CharacterRule::white_space) throw std::invalid_argument("a space does not part words");
}

void WordPieceEncoder::encode(std::string_view text, std::vector<int32_t>& ids) {
    const char* at = text.data();
    const char* end = at + text.size();
    while (at < end) {
        if (*at == ' ') {
            ++at;
            continue;
        }
        Chunk chunk = load_chunk(at, end);
        size_t size = letters_at_start(chunk);
        if (size <= WordsSeen::kMostBytes && ends_word(at + size, end)) {
            // A word of ASCII, or a character of ASCII that is none.
            CharacterRule::Kind kind = ascii_[static_cast<unsigned char>(*at)];
            if (kind == CharacterRule::white_space) {
                ++at;
                continue;
            }
            size += size == 0;
            if (const WordsSeen::Entry* entry = words_.find(shortened(chunk, size))) {
                ids.insert(ids.end(), entry->ids, entry->ids + entry->count());
            } else {
                add_new_word({at, size}, ids);
            }
            at += size;
            continue;
        }
        Span span = word_span(at, end);
        std::string_view piece(at, span.end - at);
        if (span.is_unsure) {
            add_unsure(piece, ids);
        } else {
            add_word(piece, ids);
        }
        at = span.end;
    }
}

bool WordPieceEncoder::ends_word(const char* at, const char* end) const {
    if (at == end) return true;
    unsigned char byte = static_cast<unsigned char>(*at);
    return byte < 0x80 && (ascii_[byte] == CharacterRule::white_space || ascii_[byte] == CharacterRule::alone);
}

// What follows up to a character that parts words, or one that is a word of its own; or white space alone.
WordPieceEncoder::Span WordPieceEncoder::word_span(const char* at, const char* end) {
    bool is_unsure = false;
    for (const char* begin = at; at < end;) {
        uint32_t point = 0;
        const char* after = decode(at, end, point);
        if (!after) throw std::invalid_argument("expected UTF-8");
        CharacterRule::Kind kind = rule(point).kind;
        if (kind == CharacterRule::white_space || kind == CharacterRule::alone) return {at == begin ? after : at, is_unsure};
        is_unsure |= kind == CharacterRule::unsure;
        at = after;
    }
    return {end, is_unsure};
}

void WordPieceEncoder::add_word(std::string_view word, std::vector<int32_t>& ids) {
    if (word.size() > WordsSeen::kMostBytes) return add_new_word(word, ids);
    const char* end = word.data() + word.size();
    if (const WordsSeen::Entry* entry = words_.find(load_chunk(word.data(), end))) {
        ids.insert(ids.end(), entry->ids, entry->ids + entry->count());
    } else {
        add_new_word(word, ids);
    }
}

void WordPieceEncoder::add_new_word(std::string_view word, std::vector<int32_t>& ids) {
    normalized_.clear();
    const char* end = word.data() + word.size();
    for (const char* at = word.data(); at < end;) {
        uint32_t point = 0;
        at = decode(at, end, point);
        normalized_ += rule(point).result();
    }
    size_t before = ids.size();
    if (!normalized_.empty() && (characters(normalized_) > most_characters_ || !trie_.split(normalized_, ids)))
        ids.push_back(unknown_);
    size_t count = ids.size() - before;
    if (word.size() <= WordsSeen::kMostBytes && count <= WordsSeen::kMostIds)
        words_.add(load_chunk(word.data(), end), ids.data() + before, count);
}

void WordPieceEncoder::add_unsure(std::string_view piece, std::vector<int32_t>& ids) {
    std::string key(piece);
    auto found = unsure_.find(key);
    if (found == unsure_.end()) {
        std::vector<int32_t> given = library_.ids(piece);
        ids.insert(ids.end(), given.begin(), given.end());
        if (piece.size() > kMostUnsurePiece) return;
        size_t bytes = sizeof(*found) + piece.size() + given.size() * sizeof(int32_t);
        if (unsure_bytes_ + bytes > kMostUnsureBytes) {
            unsure_.clear();
            unsure_bytes_ = 0;
        }
        unsure_bytes_ += bytes;
        unsure_.emplace(std::move(key), std::move(given));
    } else {
        ids.insert(ids.end(), found->second.begin(), found->second.end());
    }
}

const CharacterRule& WordPieceEncoder::rule(uint32_t point) {
    std::unique_ptr<CharacterRule[]>& page = rules_[point / kPage];
    if (!page) page = std::make_unique<CharacterRule[]>(kPage);
    CharacterRule& rule = page[point % kPage];
    if (rule.kind == CharacterRule::unknown) rule = library_.rule(point);
    return rule;
}

}  // namespace megatron_bio
