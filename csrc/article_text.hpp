// The paragraphs of an article's body: the compiled form of megatron_bio/corpus/pmc/text.py, citations.py and the sections of
// selection.py, which define what is right; the tests hold both equal on all real articles and on changed ones.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "xml_tree.hpp"

namespace megatron_bio {

// A noncharacter, which Unicode keeps out of all text that is exchanged: U+FDD0.
constexpr std::string_view kParagraphMark = "\xef\xb7\x90";

// Not even their notes are read.
inline const std::vector<std::string_view> kNeverRead = {"ref-list", "table", "contrib-group"};

// What Python's tables and patterns decide.
struct Rules {
    virtual ~Rules() = default;
    virtual std::string superscript(std::string_view text) = 0;
    virtual std::string subscript(std::string_view text) = 0;
    virtual std::string underlined(std::string_view text) = 0;
    virtual std::string math(const std::string& xml) = 0;
    virtual bool is_side_title(std::string_view title) = 0;
    virtual bool is_main_abstract(std::string_view title, std::string_view type) = 0;
    // Any letter or digit in it, as str.isalnum.
    virtual bool has_letter_or_digit(std::string_view text) = 0;
    // One character that a number after it can be a citation mark of.
    virtual bool takes_mark(std::string_view character) = 0;
};

// Text with a paragraph mark after each paragraph, not cleaned; `holder` is changed.
std::string marked_text(Tree& tree, Element* holder, bool captions, Rules& rules);

void drop_marks_standing_high(Tree& tree, Element* holder, Rules& rules);

struct ArticleText {
    std::string front;     // The document as it stands up to its body, without authors and abstracts; the root is closed.
    std::string abstract;  // Marked text of the abstract proper.
    std::string body;      // Marked text of body, appendices and, with captions, the group of floats.
};

// Of a document with the root `article`; throws Unusual for every other one.
ArticleText article_text(Tree& tree, std::string_view content, bool captions, Rules& rules);

}  // namespace megatron_bio
