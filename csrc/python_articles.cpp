// Articles for Python: see megatron_bio/corpus/pmc/compiled.py.
#include <pybind11/pybind11.h>

#include "article_text.hpp"
#include "clean_text.hpp"
#include "python_parts.hpp"

namespace megatron_bio {

namespace {

// Python's decisions; each attribute of `object` is a function of the same name.
class PythonRules : public Rules {
  public:
    explicit PythonRules(const py::object& object)
        : superscript_(object.attr("superscript")), subscript_(object.attr("subscript")), underlined_(object.attr("underlined")), math_(object.attr("math")),
          is_main_abstract_(object.attr("is_main_abstract")), is_side_title_(object.attr("is_side_title")), has_letter_or_digit_(object.attr("has_letter_or_digit")),
          takes_mark_(object.attr("takes_mark")), clean_(object.attr("clean")) {}

    std::string superscript(std::string_view text) override { return superscript_(to_python(text)).cast<std::string>(); }
    std::string subscript(std::string_view text) override { return subscript_(to_python(text)).cast<std::string>(); }
    std::string underlined(std::string_view text) override { return underlined_(to_python(text)).cast<std::string>(); }
    std::string math(const std::string& xml) override { return math_(py::bytes(xml)).cast<std::string>(); }
    bool is_side_title(std::string_view title) override { return is_side_title_(to_python(title)).cast<bool>(); }
    bool is_main_abstract(std::string_view title, std::string_view type) override {
        return is_main_abstract_(to_python(title), to_python(type)).cast<bool>();
    }
    bool has_letter_or_digit(std::string_view text) override { return has_letter_or_digit_(to_python(text)).cast<bool>(); }
    bool takes_mark(std::string_view character) override { return takes_mark_(to_python(character)).cast<bool>(); }
    py::str clean(std::string_view text) { return clean_(to_python(text)).cast<py::str>(); }

  private:
    py::object superscript_, subscript_, underlined_, math_, is_main_abstract_, is_side_title_, has_letter_or_digit_, takes_mark_, clean_;
};

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
        Tree tree(content, kNeverRead);
        ArticleText text = article_text(tree, content, captions, rules);
        Paragraphs abstract = clean_paragraphs(text.abstract, stable, rules);
        Paragraphs body = clean_paragraphs(text.body, stable, rules);
        return py::make_tuple(py::bytes(text.front), abstract.texts, body.texts, body.words);
    } catch (const Unusual&) {
        return py::none();
    }
}

}  // namespace

void add_articles(py::module_& module) {
    module.def("read_article", &read_article, py::arg("content"), py::arg("captions"), py::arg("stable"), py::arg("rules"),
               "What stands before the body of a JATS article, as a document without authors and abstracts; the paragraphs of its "
               "abstract and of its body, with the number of words of these; None for what the reference has to read.");
}

}  // namespace megatron_bio
