// BERT rows for Python: see megatron_bio/data/compiled_rows.py.
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "bert_rows.hpp"
#include "python_arrays.hpp"
#include "python_parts.hpp"
#include "python_token_files.hpp"

namespace megatron_bio {

namespace {

using Any = py::ssize_t;
constexpr Any kAny = -1;

// Arrays of a dictionary, kept while other threads run.
class Held {
  public:
    template <typename Item>
    const Item* items(const py::dict& arrays, const char* name, const std::vector<Any>& shape) {
        py::object found = arrays[name];
        if (!py::isinstance<py::array>(found)) throw py::value_error(std::string(name) + ": expected an array");
        held_.push_back(py::reinterpret_borrow<py::array>(found));
        return items_of<Item>(held_.back(), name, shape);
    }
    Any last_count() const { return held_.back().shape(0); }

  private:
    std::vector<py::array> held_;
};

MaskingRules rules_of(const py::dict& masking, int64_t slots, Held& held) {
    MaskingRules rules{};
    rules.probability = masking["probability"].cast<double>();
    rules.mask_id = masking["mask_id"].cast<int64_t>();
    rules.flags = held.items<uint8_t>(masking, "flags", {kAny});
    rules.vocabulary = held.last_count();
    rules.replacements = held.items<int64_t>(masking, "replacements", {kAny});
    rules.replacement_count = held.last_count();
    rules.length_bounds = held.items<double>(masking, "length_bounds", {kAny});
    rules.bound_count = held.last_count();
    rules.alike = masking["alike"].cast<bool>();
    rules.slots = slots;
    if (!(rules.probability >= 0 && rules.probability <= 1) || slots < 0 || !rules.replacement_count ||
        rules.replacement_count >= int64_t{1} << 32) {
        throw py::value_error("masking: expected a probability from 0 to 1, slots and tokens for replacement");
    }
    return rules;
}

void check_columns(int64_t columns) {
    if (columns > RowMasker::kMostColumns) throw py::value_error("expected at most " + std::to_string(RowMasker::kMostColumns) + " columns");
}

py::tuple mask_rows(const py::array& tokens, const py::array& segment_ids, const py::array& row_keys, const py::dict& masking, int64_t slots) {
    const int64_t* first = items_of<int64_t>(tokens, "tokens", {kAny, kAny});
    Any rows = tokens.shape(0), columns = tokens.shape(1);
    const int32_t* segments = items_of<int32_t>(segment_ids, "segment_ids", {rows, columns});
    const uint64_t* keys = items_of<uint64_t>(row_keys, "row_keys", {rows});
    Held held;
    MaskingRules rules = rules_of(masking, slots, held);
    check_columns(columns);
    py::array_t<int64_t> masked({rows, columns}), positions({rows, Any(slots)}), labels({rows, Any(slots)});
    py::array_t<float> weights({rows, Any(slots)});
    int64_t *masked_data = masked.mutable_data(), *position_data = positions.mutable_data(), *label_data = labels.mutable_data();
    float* weight_data = weights.mutable_data();
    {
        py::gil_scoped_release release;
        for (Any i = 0; i < rows * columns; ++i) {
            if (static_cast<uint64_t>(first[i]) >= static_cast<uint64_t>(rules.vocabulary)) throw std::out_of_range(std::to_string(first[i]));
        }
        std::copy_n(first, rows * columns, masked_data);
        std::fill_n(position_data, rows * slots, 0);
        std::fill_n(label_data, rows * slots, 0);
        std::fill_n(weight_data, rows * slots, 0.0f);
        RowMasker masker(rules, columns);
        for (Any row = 0; row < rows; ++row) {
            masker.mask(masked_data + row * columns, segments + row * columns, keys[row], position_data + row * slots,
                        label_data + row * slots, weight_data + row * slots);
        }
    }
    return py::make_tuple(masked, positions, labels, weights);
}

SampleTable table_of(const py::dict& samples, Held& held) {
    SampleTable table{};
    table.lengths = held.items<int64_t>(samples, "lengths", {kAny, 2});
    table.count = held.last_count();
    table.starts = held.items<int64_t>(samples, "starts", {table.count, 2});
    table.paired = held.items<uint8_t>(samples, "paired", {table.count});
    table.labels = held.items<int64_t>(samples, "labels", {table.count});
    table.row = held.items<int64_t>(samples, "row", {table.count});
    table.column = held.items<int64_t>(samples, "column", {table.count});
    table.number = held.items<int64_t>(samples, "number", {table.count});
    return table;
}

py::dict bert_rows(const std::vector<py::array>& files, const py::dict& samples, const std::array<int64_t, 3>& special,
                   const std::array<int64_t, 4>& shape, const py::array& row_keys, const py::dict& masking) {
    auto [rows, columns, most_samples, slots] = shape;
    if (files.empty() || rows < 0 || columns < 0 || most_samples < 0) throw py::value_error("expected files, and no negative shape");
    Held held;
    SampleTable table = table_of(samples, held);
    const uint64_t* keys = items_of<uint64_t>(row_keys, "row_keys", {Any(rows)});
    MaskingRules rules = rules_of(masking, slots, held);
    check_columns(columns);
    for (int64_t token : special) {
        if (token < 0 || token >= rules.vocabulary) throw std::out_of_range(std::to_string(token));
    }
    py::dict result;
    auto add = [&result](const char* name, auto zero, Any first, Any second) {
        py::array_t<decltype(zero)> array({first, second});
        result[name] = array;
        return array.mutable_data();
    };
    RowArrays out{rows,
                  columns,
                  most_samples,
                  add("tokens", int64_t{0}, rows, columns),
                  add("segment_ids", int32_t{0}, rows, columns),
                  add("position_ids", int64_t{0}, rows, columns),
                  add("tokentype_ids", int64_t{0}, rows, columns),
                  add("cls_positions", int64_t{0}, rows, most_samples),
                  add("order_labels", int64_t{0}, rows, most_samples),
                  add("order_weights", 0.0f, rows, most_samples),
                  add("masked_positions", int64_t{0}, rows, slots),
                  add("masked_labels", int64_t{0}, rows, slots),
                  add("masked_weights", 0.0f, rows, slots)};
    FramingTokens framing{special[0], special[1], special[2]};
    auto write = [&](const auto& tokens) {
        py::gil_scoped_release release;
        write_bert_rows(tokens, table, framing, rules, keys, out);
    };
    if (py::isinstance<py::array_t<uint16_t>>(files[0])) {
        write(files_of<uint16_t>(files));
    } else {
        write(files_of<int32_t>(files));
    }
    return result;
}

}  // namespace

void add_bert_rows(py::module_& module) {
    module.def("mask_rows", &mask_rows, py::arg("tokens"), py::arg("segment_ids"), py::arg("row_keys"), py::arg("masking"), py::arg("slots"),
               "tokens, positions, labels and weights of megatron_bio.data.masking.Masked. ValueError for arrays of another type or "
               "shape, IndexError with the token for one that is not in the vocabulary.");
    module.def("bert_rows", &bert_rows, py::arg("files"), py::arg("samples"), py::arg("special"), py::arg("shape"), py::arg("row_keys"),
               py::arg("masking"),
               "The arrays of BertBatch by name, but for sample_ids. files: arrays of tokens, all uint16 or all int32. special: [CLS], "
               "[SEP], padding. shape: rows, columns, samples of a row, slots. Raises as mask_rows does.");
}

}  // namespace megatron_bio
