// The order of samples for Python: see megatron_bio/data/order.py.
#include <pybind11/numpy.h>

#include <vector>

#include "permutation.hpp"
#include "python_parts.hpp"

namespace megatron_bio {

namespace {

using Integers = py::array_t<int64_t, py::array::c_style>;

void check_size(int64_t size) {
    if (size < 1 || size > (int64_t{1} << 62))
        throw py::value_error("a permutation of " + std::to_string(size) + " numbers; expected 1 to 2^62");
}

Integers permuted(const Integers& indices, int64_t size, int64_t seed, int64_t purpose, const Integers& epochs) {
    check_size(size);
    if (indices.ndim() != 1 || epochs.ndim() != 1 || indices.size() != epochs.size())
        throw py::value_error("indices and epochs must be of one dimension and equally long");
    Integers images(indices.size());
    const int64_t *index = indices.data(), *epoch = epochs.data();
    int64_t* image = images.mutable_data();
    py::ssize_t count = indices.size(), wrong = -1;
    {
        py::gil_scoped_release release;
        Permutation permutation(size, seed, purpose);
        for (py::ssize_t place = 0; place < count && wrong < 0; ++place) {
            if (index[place] < 0 || index[place] >= size)
                wrong = place;
            else
                image[place] = static_cast<int64_t>(permutation.image(index[place], epoch[place]));
        }
    }
    if (wrong >= 0)
        throw py::index_error("index " + std::to_string(index[wrong]) + " is outside 0 ... " + std::to_string(size - 1));
    return images;
}

py::tuple located(const Integers& samples, int64_t size, int64_t seed, int64_t purpose) {
    check_size(size);
    const std::vector<py::ssize_t> shape(samples.shape(), samples.shape() + samples.ndim());
    Integers epochs(shape), images(shape);
    const int64_t* sample = samples.data();
    int64_t *epoch = epochs.mutable_data(), *image = images.mutable_data();
    py::ssize_t count = samples.size(), wrong = -1;
    {
        py::gil_scoped_release release;
        Permutation permutation(size, seed, purpose);
        for (py::ssize_t place = 0; place < count && wrong < 0; ++place) {
            if (sample[place] < 0) {
                wrong = place;
            } else {
                epoch[place] = sample[place] / size;
                image[place] = static_cast<int64_t>(permutation.image(sample[place] % size, epoch[place]));
            }
        }
    }
    if (wrong >= 0) throw py::index_error("global sample " + std::to_string(sample[wrong]) + ": expected 0 or more");
    return py::make_tuple(epochs, images);
}

Integers permutation(int64_t size, int64_t seed, int64_t purpose, int64_t epoch) {
    check_size(size);
    Integers images(size);
    int64_t* image = images.mutable_data();
    {
        py::gil_scoped_release release;
        Permutation(size, seed, purpose).images(0, size, epoch, image);
    }
    return images;
}

}  // namespace

void add_order(py::module_& module) {
    module.def("permuted", &permuted, py::arg("indices").noconvert(), py::arg("size"), py::arg("seed"), py::arg("purpose"),
               py::arg("epochs").noconvert(),
               "Where the permutation of (seed, purpose, epoch) of 0 ... size - 1 sends each index; int64 [indices], all three.");
    module.def("located", &located, py::arg("samples").noconvert(), py::arg("size"), py::arg("seed"), py::arg("purpose"),
               "(epochs, images) of global samples, which count through epochs of `size` each; int64 of the shape of `samples`.");
    module.def("permutation", &permutation, py::arg("size"), py::arg("seed"), py::arg("purpose"), py::arg("epoch"),
               "The images of 0 ... size - 1; int64 [size].");
}

}  // namespace megatron_bio
