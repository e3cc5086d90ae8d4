// Arrays from Python, whose type, shape and layout are checked before memory is touched.
#pragma once

#include <pybind11/numpy.h>

#include <string>
#include <vector>

namespace megatron_bio {

namespace py = pybind11;

// The data of a C-ordered, aligned array of exactly this type; a dimension of -1 may have any size. ValueError for all else.
template <typename Item>
const Item* items_of(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
    std::vector<py::ssize_t> found(array.shape(), array.shape() + array.ndim());
    bool fits = found.size() == shape.size();
    for (size_t i = 0; fits && i < shape.size(); ++i) fits = shape[i] < 0 || shape[i] == found[i];
    bool is_plain = (array.flags() & py::array::c_style) && reinterpret_cast<uintptr_t>(array.data()) % alignof(Item) == 0;
    if (!fits || !is_plain || !py::isinstance<py::array_t<Item>>(array)) {
        std::string wanted, is;
        for (py::ssize_t size : shape) wanted += (wanted.empty() ? "" : ", ") + (size < 0 ? std::string("any") : std::to_string(size));
        for (py::ssize_t size : found) is += (is.empty() ? "" : ", ") + std::to_string(size);
        throw py::value_error(std::string(name) + ": expected a C-ordered array of " +
                              py::str(py::dtype::of<Item>()).cast<std::string>() + " [" + wanted + "], found " +
                              py::str(array.dtype()).cast<std::string>() + " [" + is + "]" + (is_plain ? "" : " that is not"));
    }
    return static_cast<const Item*>(array.data());
}

}  // namespace megatron_bio
