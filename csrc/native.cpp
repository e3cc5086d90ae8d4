// The Python module megatron_bio.native._compiled. All logic is in the other files, which know nothing of Python.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>

#include "article_text.hpp"
#include "utf8.hpp"

namespace py = pybind11;
using namespace megatron_bio;

namespace {

py::str to_python(std::string_view text) { return py::str(text.data(), text.size()); }

// Python's decisions; each attribute of `object` is a function of the same name.
class PythonRules : public Rules {
  public:
    explicit PythonRules(const py::object& object)
        : superscript_(object.attr("superscript")), subscript_(object.attr("subscript")), math_(object.attr("math")),
          is_main_abstract_(object.attr("is_main_abstract")), is_side_title_(object.attr("is_side_title")), has_letter_or_digit_(object.attr("has_letter_or_digit")),
          takes_mark_(object.attr("takes_mark")), clean_(object.attr("clean")) {}

    std::string superscript(std::string_view text) override { return superscript_(to_python(text)).cast<std::string>(); }
    std::string subscript(std::string_view text) override { return subscript_(to_python(text)).cast<std::string>(); }
    std::string math(const std::string& xml) override { return math_(py::bytes(xml)).cast<std::string>(); }
    bool is_side_title(std::string_view title) override { return is_side_title_(to_python(title)).cast<bool>(); }
    bool is_main_abstract(std::string_view title, std::string_view type) override {
        return is_main_abstract_(to_python(title), to_python(type)).cast<bool>();
    }
    bool has_letter_or_digit(std::string_view text) override { return has_letter_or_digit_(to_python(text)).cast<bool>(); }
    bool takes_mark(std::string_view character) override { return takes_mark_(to_python(character)).cast<bool>(); }
    py::str clean(std::string_view text) { return clean_(to_python(text)).cast<py::str>(); }

  private:
    py::object superscript_, subscript_, math_, is_main_abstract_, is_side_title_, has_letter_or_digit_, takes_mark_, clean_;
};

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

// White space closed up; `is_usual` turns false if a character needs more, as far as the table `stable` knows: one byte for
// each code point, 1 for a printable one that NFC leaves alone.
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

struct Paragraphs {
    py::list texts;
    size_t words = 0;
};

Paragraphs clean_paragraphs(std::string_view marked, std::string_view stable, PythonRules& rules) {
    Paragraphs found;
    while (!marked.empty()) {
        size_t end = marked.find(kParagraphMark);
        bool is_usual = true;
        size_t spaces = 0;
        std::string text = closed_up(marked.substr(0, end), stable, is_usual, spaces);
        py::str cleaned = is_usual ? to_python(text) : rules.clean(text);
        if (py::len(cleaned)) {
            found.words += (is_usual ? spaces : cleaned.attr("count")(" ").cast<size_t>()) + 1;
            found.texts.append(std::move(cleaned));
        }
        marked.remove_prefix(end == std::string_view::npos ? marked.size() : end + kParagraphMark.size());
    }
    return found;
}

py::object read_article(std::string_view content, bool captions, std::string_view stable, const py::object& decisions) {
    PythonRules rules(decisions);
    try {
        Tree tree(content);
        ArticleText text = article_text(tree, content, captions, rules);
        Paragraphs abstract = clean_paragraphs(text.abstract, stable, rules);
        Paragraphs body = clean_paragraphs(text.body, stable, rules);
        return py::make_tuple(py::bytes(text.front), abstract.texts, body.texts, body.words);
    } catch (const Unusual&) {
        return py::none();
    }
}

}  // namespace

PYBIND11_MODULE(_compiled, module) {
    module.doc() = "Compiled parts of megatron-bio; megatron_bio.native says which are there.";
    module.def("read_article", &read_article, py::arg("content"), py::arg("captions"), py::arg("stable"), py::arg("rules"),
               "What stands before the body of a JATS article, as a document without authors and abstracts; the paragraphs of its "
               "abstract and of its body, with the number of words of these; None for what the reference has to read.");
}
