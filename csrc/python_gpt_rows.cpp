// GPT rows for Python: see megatron_bio/data/gpt_samples.py.
#include <pybind11/stl.h>

#include "gpt_rows.hpp"
#include "permutation.hpp"
#include "python_parts.hpp"
#include "python_token_files.hpp"

namespace megatron_bio {

namespace {

constexpr int64_t kMostColumns = int64_t{1} << 24;

py::dict gpt_rows(const std::vector<py::array>& files, const py::array& starts, const py::array& before, const py::array& first,
                  int64_t columns, int64_t pad, bool is_reset) {
    if (files.empty() || columns < 1 || columns > kMostColumns)
        throw py::value_error("expected files, and rows of 1 to " + std::to_string(kMostColumns) + " tokens");
    DocumentStream stream{};
    stream.starts = items_of<int64_t>(starts, "starts", {-1});
    stream.documents = starts.shape(0);
    stream.before = items_of<int64_t>(before, "before", {starts.shape(0) + 1});
    const int64_t* firsts = items_of<int64_t>(first, "first", {-1});
    const py::ssize_t rows = first.shape(0);
    py::dict result;
    // One block for all: the system's allocator keeps a large block for the next batch where it would give several back to the system.
    const py::ssize_t words = rows * columns;
    py::array_t<int64_t> block(3 * words + 2 * ((words + 1) / 2));
    int64_t* free_words = block.mutable_data();
    auto add = [&](const char* name, auto zero) {
        using Item = decltype(zero);
        Item* items = reinterpret_cast<Item*>(free_words);
        free_words += (words * py::ssize_t(sizeof(Item)) + 7) / 8;
        result[name] = py::array_t<Item>({rows, py::ssize_t(columns)}, items, block);
        return items;
    };
    GptRowArrays out{rows, columns, nullptr, nullptr, nullptr, nullptr, nullptr};
    out.tokens = add("tokens", int64_t{0});
    out.position_ids = add("position_ids", int64_t{0});
    out.labels = add("labels", int64_t{0});
    out.segment_ids = add("segment_ids", int32_t{0});
    out.label_weights = add("label_weights", 0.0f);
    auto write = [&](const auto& tokens) {
        py::gil_scoped_release release;
        write_gpt_rows(tokens, stream, firsts, pad, is_reset, out);
    };
    if (py::isinstance<py::array_t<uint16_t>>(files[0])) {
        write(files_of<uint16_t>(files));
    } else {
        write(files_of<int32_t>(files));
    }
    return result;
}

py::tuple document_stream(const py::array& starts, const py::array& sizes, int64_t seed, int64_t purpose, int64_t epoch) {
    const int64_t* start = items_of<int64_t>(starts, "starts", {-1});
    const py::ssize_t documents = starts.shape(0);
    const int64_t* size = items_of<int64_t>(sizes, "sizes", {documents});
    py::array_t<int64_t> ordered(documents), before(documents + 1);
    int64_t *first = ordered.mutable_data(), *place = before.mutable_data();
    {
        py::gil_scoped_release release;
        // The numbers of the documents stand where the places will.
        if (documents) Permutation(documents, seed, purpose).images(0, documents, epoch, place + 1);
        int64_t tokens = place[0] = 0;
        for (py::ssize_t i = 0; i < documents; ++i) {
            const int64_t document = place[i + 1];
            first[i] = start[document];
            place[i + 1] = tokens += size[document];
        }
    }
    return py::make_tuple(ordered, before);
}

}  // namespace

void add_gpt_rows(py::module_& module) {
    module.def("gpt_rows", &gpt_rows, py::arg("files"), py::arg("starts"), py::arg("before"), py::arg("first"), py::arg("columns"),
               py::arg("pad"), py::arg("reset"),
               "The arrays of GptBatch by name, but for sample_ids. files: arrays of tokens, all uint16 or all int32. starts, before: the "
               "stream, see DocumentStream. first: [R] token of the stream with which each row starts, -1 for an empty row. ValueError "
               "for what is not in stream and files.");
    module.def("document_stream", &document_stream, py::arg("starts"), py::arg("sizes"), py::arg("seed"), py::arg("purpose"),
               py::arg("epoch"), "The documents [D] in the order of `epoch`: their starts [D], and the sums of the sizes before them [D + 1].");
}

}  // namespace megatron_bio
