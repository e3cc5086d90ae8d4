// The files python_*.cpp bind the others, which know nothing of Python, to one module.
#pragma once

#include <pybind11/pybind11.h>

#include <string_view>

namespace megatron_bio {

namespace py = pybind11;

inline py::str to_python(std::string_view text) { return py::str(text.data(), text.size()); }

void add_articles(py::module_& module);
void add_bert_rows(py::module_& module);
void add_byte_level(py::module_& module);
void add_citations(py::module_& module);
void add_gpt_rows(py::module_& module);
void add_order(py::module_& module);
void add_packing(py::module_& module);
void add_wordpiece(py::module_& module);

}  // namespace megatron_bio
