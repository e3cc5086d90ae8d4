// WordPiece for Python: see megatron_bio/tokens/compiled_wordpiece.py.
#include <pybind11/stl.h>

#include <mutex>

#include "python_encoding.hpp"
#include "wordpiece.hpp"

namespace megatron_bio {

namespace {

class PythonLibrary : public WordPieceLibrary {
  public:
    PythonLibrary(py::object rule, py::object ids) : rule_(std::move(rule)), ids_(std::move(ids)) {}

    CharacterRule rule(uint32_t point) override {
        py::gil_scoped_acquire acquire;
        auto [name, result] = rule_(point).cast<std::pair<std::string, std::string>>();
        return CharacterRule::of(kind(name), result);
    }
    std::vector<int32_t> ids(std::string_view piece) override {
        py::gil_scoped_acquire acquire;
        return ids_(to_python(piece)).cast<std::vector<int32_t>>();
    }

  private:
    static CharacterRule::Kind kind(std::string_view name) {
        if (name == "white_space") return CharacterRule::white_space;
        if (name == "inside") return CharacterRule::inside;
        if (name == "alone") return CharacterRule::alone;
        if (name == "unsure") return CharacterRule::unsure;
        throw py::value_error("no kind of character: " + std::string(name));
    }

    py::object rule_, ids_;
};

class PythonWordPiece {
  public:
    PythonWordPiece(const std::vector<std::pair<std::string, int32_t>>& pieces, const std::string& prefix, int32_t unknown,
                    size_t most_characters, py::object rule, py::object ids)
        : library_(std::move(rule), std::move(ids)), encoder_({pieces, prefix, unknown, most_characters}, library_) {}

    py::tuple encode(const py::sequence& texts) { return encode_texts(texts, mutex_, encoder_); }

  private:
    std::mutex mutex_;
    PythonLibrary library_;
    WordPieceEncoder encoder_;
};

}  // namespace

void add_wordpiece(py::module_& module) {
    py::class_<PythonWordPiece>(module, "WordPiece", "Text to the ids of BERT's WordPiece.")
        .def(py::init<const std::vector<std::pair<std::string, int32_t>>&, const std::string&, int32_t, size_t, py::object, py::object>(),
             py::arg("pieces"), py::arg("prefix"), py::arg("unknown"), py::arg("most_characters"), py::arg("rule"), py::arg("ids"),
             "The vocabulary, and two functions of the library: rule(code point) gives the kind of a character and its text, "
             "ids(text) those of a text. ValueError if words are not parted as BERT's pre-tokenizer parts them.")
        .def("encode", &PythonWordPiece::encode, py::arg("texts"),
             "The ids of all texts back to back [sum of lengths], and the length of each [texts], both int32.");
}

}  // namespace megatron_bio
