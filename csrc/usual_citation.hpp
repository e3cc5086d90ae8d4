// Title, abstract and languages of a usual PubMed record: the compiled form of `_text_fields` in
// megatron_bio/corpus/pubmed/shortcut.py, which defines what is right.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace megatron_bio {

// Decides on a piece with markup or rare characters: its cleaned text. Throws Unusual where only a parser can say.
struct PieceReader {
    virtual ~PieceReader() = default;
    virtual std::string read(std::string_view piece) = 0;
};

struct UsualCitation {
    unsigned long pmid = 0;
    unsigned long version = 1;
    std::string title;
    std::vector<std::pair<std::string, std::string>> abstract;  // Label and text of each section.
    std::vector<std::string> languages;
    // Positions in the buffer, as in `Spans` of shortcut.py.
    size_t head_end = 0, title_begin = 0, title_end = 0, before_authors = 0, after_languages = 0, article_end = 0, citation_end = 0;
};

// The record in buffer[begin:end]; `stable` as in clean_text.hpp. Throws Unusual.
UsualCitation usual_citation(std::string_view buffer, size_t begin, size_t end, std::string_view stable, PieceReader& reader);

}  // namespace megatron_bio
