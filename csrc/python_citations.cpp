// Citations for Python: see megatron_bio/corpus/pubmed/compiled.py.
#include "python_parts.hpp"
#include "unusual.hpp"
#include "usual_citation.hpp"

namespace megatron_bio {

namespace {

class PythonPieces : public PieceReader {
  public:
    explicit PythonPieces(const py::object& plain_text) : plain_text_(plain_text) {}

    std::string read(std::string_view piece) override {
        py::object text = plain_text_(py::bytes(piece.data(), piece.size()));
        if (text.is_none()) throw Unusual();
        return text.cast<std::string>();
    }

  private:
    py::object plain_text_;
};

py::object read_citation(std::string_view buffer, size_t begin, size_t end, std::string_view stable, const py::object& plain_text) {
    PythonPieces pieces(plain_text);
    if (end > buffer.size() || begin > end) return py::none();
    try {
        UsualCitation citation = usual_citation(buffer, begin, end, stable, pieces);
        py::list abstract;
        for (const auto& [label, text] : citation.abstract) abstract.append(py::make_tuple(to_python(label), to_python(text)));
        py::list languages;
        for (const std::string& language : citation.languages) languages.append(to_python(language));
        return py::make_tuple(citation.pmid, citation.version, to_python(citation.title), abstract, languages, citation.head_end,
                              citation.title_begin, citation.title_end, citation.before_authors, citation.after_languages,
                              citation.article_end, citation.citation_end);
    } catch (const Unusual&) {
        return py::none();
    }
}

}  // namespace

void add_citations(py::module_& module) {
    module.def("read_citation", &read_citation, py::arg("buffer"), py::arg("begin"), py::arg("end"), py::arg("stable"),
               py::arg("plain_text"),
               "PMID, version, title, abstract and languages of the PubMed record in buffer[begin:end], and seven positions in it; None "
               "for what the reader in Python has to read.");
}

}  // namespace megatron_bio
