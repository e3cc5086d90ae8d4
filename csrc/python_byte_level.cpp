// Byte-level BPE for Python: see megatron_bio/tokens/compiled_byte_level.py.
#include <pybind11/stl.h>

#include <mutex>
#include <tuple>

#include "byte_level.hpp"
#include "python_encoding.hpp"

namespace megatron_bio {

namespace {

using Merges = std::vector<std::tuple<int32_t, int32_t, int32_t>>;

class PythonByteLevelLibrary : public ByteLevelLibrary {
  public:
    PythonByteLevelLibrary(py::object kind, py::object ids) : kind_(std::move(kind)), ids_(std::move(ids)) {}

    CharacterKind kind(uint32_t point) override {
        py::gil_scoped_acquire acquire;
        std::string name = kind_(point).cast<std::string>();
        if (name == "letter") return CharacterKind::letter;
        if (name == "number") return CharacterKind::number;
        if (name == "white_space") return CharacterKind::white_space;
        if (name == "other") return CharacterKind::other;
        throw py::value_error("no kind of character: " + name);
    }
    std::vector<int32_t> ids(std::string_view piece) override {
        py::gil_scoped_acquire acquire;
        return ids_(to_python(piece)).cast<std::vector<int32_t>>();
    }

  private:
    py::object kind_, ids_;
};

std::vector<Merge> plain(const Merges& merges) {
    std::vector<Merge> result;
    result.reserve(merges.size());
    for (auto [left, right, joined] : merges) result.push_back({left, right, joined});
    return result;
}

class PythonByteLevel {
  public:
    PythonByteLevel(const std::vector<int32_t>& bytes, const Merges& merges, py::object kind, py::object ids)
        : library_(std::move(kind), std::move(ids)), encoder_(bytes, plain(merges), library_) {}

    py::tuple encode(const py::sequence& texts) { return encode_texts(texts, mutex_, encoder_); }

  private:
    std::mutex mutex_;
    PythonByteLevelLibrary library_;
    ByteLevelEncoder encoder_;
};

}  // namespace

void add_byte_level(py::module_& module) {
    py::class_<PythonByteLevel>(module, "ByteLevel", "Text to the ids of byte-level BPE with GPT-2's pattern.")
        .def(py::init<const std::vector<int32_t>&, const Merges&, py::object, py::object>(), py::arg("bytes"), py::arg("merges"),
             py::arg("kind"), py::arg("ids"),
             "The ids of the 256 bytes, the merges as (left, right, joined) in the order of their ranks, and two functions of the "
             "library: kind(code point) is letter, number, white_space or other, ids(text) gives those of a text. ValueError if "
             "text is not parted by GPT-2's pattern.")
        .def("encode", &PythonByteLevel::encode, py::arg("texts"),
             "The ids of all texts back to back [sum of lengths], and the length of each [texts], both int32.");
}

}  // namespace megatron_bio
