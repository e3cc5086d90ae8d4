// Text → the ids that the tokenizers library gives with BERT's normaliser, BERT's pre-tokenizer and WordPiece, many times faster.
//
// Normaliser and pre-tokenizer work character by character, but for the order of characters that combine. So what they do with
// a character is asked of the library once, and words of such characters are split here; pieces of text with any other character
// are given to the library as they stand.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "piece_trie.hpp"
#include "words_seen.hpp"

namespace megatron_bio {

// What normaliser and pre-tokenizer do with a character wherever it stands.
struct CharacterRule {
    enum Kind : uint8_t {
        unknown,      // not asked yet
        white_space,  // parts words
        inside,       // belongs to a word as `text`, which may be empty
        alone,        // is a word `text` of its own
        unsure        // the library has to see what stands around it
    };
    static constexpr size_t kMostBytes = 14;

    Kind kind = unknown;
    uint8_t size = 0;
    char text[kMostBytes] = {};

    // Unsure if `result` is too long.
    static CharacterRule of(Kind kind, std::string_view result);
    std::string_view result() const { return {text, size}; }
};

// The library that decides.
class WordPieceLibrary {
  public:
    virtual ~WordPieceLibrary() = default;
    virtual CharacterRule rule(uint32_t point) = 0;
    virtual std::vector<int32_t> ids(std::string_view piece) = 0;
};

struct WordPieceSettings {
    std::vector<std::pair<std::string, int32_t>> pieces;
    std::string prefix;
    int32_t unknown;
    size_t most_characters;
};

class WordPieceEncoder {
  public:
    // Asks for all characters of ASCII; throws std::invalid_argument unless letters and digits are inside words,
    // all other printable characters are not, and the space parts words.
    WordPieceEncoder(const WordPieceSettings& settings, WordPieceLibrary& library);

    // Puts the ids of valid UTF-8 after those in `ids`. Remembers words: for one thread at a time.
    void encode(std::string_view text, std::vector<int32_t>& ids);

  private:
    struct Span {
        const char* end;
        bool is_unsure;
    };

    const CharacterRule& rule(uint32_t point);
    bool ends_word(const char* at, const char* end) const;
    Span word_span(const char* at, const char* end);
    void add_word(std::string_view word, std::vector<int32_t>& ids);
    void add_new_word(std::string_view word, std::vector<int32_t>& ids);
    void add_unsure(std::string_view piece, std::vector<int32_t>& ids);

    PieceTrie trie_;
    int32_t unknown_;
    size_t most_characters_;
    WordPieceLibrary& library_;
    WordsSeen words_;
    CharacterRule::Kind ascii_[128];
    std::vector<std::unique_ptr<CharacterRule[]>> rules_;  // pages of 256 characters
    std::unordered_map<std::string, std::vector<int32_t>> unsure_;
    size_t unsure_bytes_ = 0;
    std::string normalized_;
};

}  // namespace megatron_bio
