// What the encoders' bindings have in common: a list of Python's texts → ids and lengths.
#pragma once

#include <pybind11/numpy.h>

#include <mutex>
#include <vector>

#include "python_parts.hpp"

namespace megatron_bio {

// The ids of all texts back to back [sum of lengths], and the length of each [texts], by `encoder.encode(text, ids)`.
template <typename Encoder>
py::tuple encode_texts(const py::sequence& texts, std::mutex& mutex, Encoder& encoder) {
    py::tuple held(texts);  // Keeps the texts while other threads run.
    std::vector<std::string_view> views;
    views.reserve(held.size());
    for (py::handle text : held) {
        Py_ssize_t size = 0;
        const char* bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
        if (!bytes) throw py::error_already_set();
        views.emplace_back(bytes, size);
    }
    std::vector<int32_t> ids;
    py::array_t<int32_t> lengths(static_cast<py::ssize_t>(views.size()));
    int32_t* length = lengths.mutable_data();
    {
        py::gil_scoped_release release;
        std::lock_guard<std::mutex> lock(mutex);  // Never waited for with the GIL, which the library needs.
        for (std::string_view view : views) {
            size_t before = ids.size();
            encoder.encode(view, ids);
            *length++ = static_cast<int32_t>(ids.size() - before);
        }
    }
    return py::make_tuple(py::array_t<int32_t>(static_cast<py::ssize_t>(ids.size()), ids.data()), lengths);
}

}  // namespace megatron_bio
