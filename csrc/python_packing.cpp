// Packed rows for Python: see megatron_bio/data/packing.py.
#include <pybind11/numpy.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "pack_rows.hpp"
#include "python_parts.hpp"

namespace megatron_bio {

namespace {

// The array keeps the vector itself.
template <typename Number>
py::array_t<Number> to_array(std::vector<Number>&& values) {
    auto* kept = new std::vector<Number>(std::move(values));
    py::capsule owner(kept, [](void* pointer) { delete static_cast<std::vector<Number>*>(pointer); });
    return py::array_t<Number>(static_cast<py::ssize_t>(kept->size()), kept->data(), owner);
}

template <typename Number>
const Number* numbers(const py::array& array, const char* name) {
    constexpr int needed = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if (array.ndim() != 1 || !py::dtype::of<Number>().is(array.dtype()) || (array.flags() & needed) != needed)
        throw py::type_error(std::string(name) + ": expected an aligned, contiguous array of one dimension and of " +
                             std::string(py::str(py::dtype::of<Number>())) + ", found " + std::string(py::str(array.dtype())));
    return static_cast<const Number*>(array.data());
}

py::tuple pack(const py::array& lengths, const py::array& bounds, const py::array& chosen, int64_t sequence_length, int64_t most_samples,
               bool paired, double short_probability, uint64_t seed, uint64_t purpose, int64_t pool, int64_t oldest_every,
               int64_t split_again_cost, int64_t split_cost) {
    Sentences source{numbers<int32_t>(lengths, "sequence_lengths"), static_cast<size_t>(lengths.size()),
                     numbers<int64_t>(bounds, "document_indices"),  static_cast<size_t>(std::max<py::ssize_t>(bounds.size(), 1) - 1),
                     numbers<int64_t>(chosen, "documents"),         static_cast<size_t>(chosen.size())};
    PackingRules rules{sequence_length, most_samples,      pool, oldest_every, split_again_cost, split_cost,
                       paired,          short_probability, seed, purpose};
    PackedRows rows;
    {
        py::gil_scoped_release release;
        rows = pack_rows(source, rules);
    }
    py::dict counts;
    counts["documents"] = chosen.size();
    counts["empty_documents"] = rows.empty_documents;
    counts["sentences"] = rows.sentences;
    counts["empty_sentences"] = rows.empty_sentences;
    counts["split_sentences"] = rows.split_sentences;
    counts["rows"] = rows.first_sample.size() - 1;
    counts["samples"] = rows.lengths.size();
    counts["single_sentence_samples"] = rows.single_sentence_samples;
    counts["documents_over_rows"] = rows.documents_over_rows;
    counts["rows_at_most_samples"] = rows.rows_at_most_samples;
    counts["tokens"] = rows.tokens;
    counts["real_positions"] = rows.real_positions;
    return py::make_tuple(to_array(std::move(rows.first_sequence)), to_array(std::move(rows.first_offset)),
                          to_array(std::move(rows.lengths)), to_array(std::move(rows.sequences)),
                          to_array(std::move(rows.first_sample)), counts);
}

}  // namespace

void add_packing(py::module_& module) {
    module.def("pack_rows", &pack, py::arg("sequence_lengths"), py::arg("document_indices"), py::arg("documents"), py::kw_only(),
               py::arg("sequence_length"), py::arg("max_samples_per_row"), py::arg("paired"), py::arg("short_sequence_probability"),
               py::arg("seed"), py::arg("purpose"), py::arg("pool"), py::arg("oldest_every"), py::arg("split_again_cost"),
               py::arg("split_cost"),
               "The arrays of PackedRows in the order of its fields, and the counts by name. ValueError for documents that are not in "
               "the arrays.");
}

}  // namespace megatron_bio
