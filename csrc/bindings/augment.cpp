#include "tsssl/augment.h"

#include <pybind11/stl.h>

#include <array>

#include "bindings/arguments.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;
using Shape = std::array<std::int64_t, 3>;   // n, c, t
using Stride = std::array<std::int64_t, 4>;  // view, n, c, t

using Seed = std::array<std::int64_t, 4>;

// program, rows, seed, sample ids, lengths
using Source = std::tuple<Address, std::int64_t, Seed, Address, Address>;

Draws make_draws(const Source& source) {
  const auto& [program, rows, seed, ids, lengths] = source;
  return {pointer<const double>(program),
          rows,
          {seed[0], seed[1], seed[2], seed[3]},
          pointer<const std::int64_t>(ids),
          pointer<const std::int64_t>(lengths)};
}

template <class T>
Series<T> make_series(Address x, const Shape& shape, const Stride& stride) {
  return {pointer<const T>(x), stride[0], stride[1], stride[2],
          stride[3],           shape[0],  shape[1],  shape[2]};
}

template <class T>
void bind(py::module_& module, const char* suffix) {
  const std::string name = "augment_";
  module.def((name + "forward_" + suffix).c_str(),
             [](Address x, Shape shape, Stride stride, Source source, Address parameters,
                std::int64_t views, int threads, Address out) {
               const Draws draws = make_draws(source);
               py::gil_scoped_release release;
               augment_kernels().of(T()).forward(make_series<T>(x, shape, stride), draws,
                                                 pointer<const double>(parameters), views, threads,
                                                 pointer<T>(out));
             });
  module.def((name + "backward_" + suffix).c_str(),
             [](Address grad, Shape shape, Stride stride, Source source, Address parameters,
                std::int64_t views, int threads, bool sum, Address grad_x) {
               const Draws draws = make_draws(source);
               py::gil_scoped_release release;
               augment_kernels().of(T()).backward(make_series<T>(grad, shape, stride), draws,
                                                  pointer<const double>(parameters), views, threads,
                                                  sum, pointer<T>(grad_x));
             });
}

}  // namespace

void bind_augment(py::module_& module) {
  bind<float>(module, "f32");
  bind<double>(module, "f64");
  module.def("augment_sample",
             [](Shape shape, Source source, std::int64_t views, int threads, Address parameters) {
               const Draws draws = make_draws(source);
               py::gil_scoped_release release;
               augment_sample_kernel()(draws, views, shape[0], shape[1], shape[2], threads,
                                       pointer<double>(parameters));
             });
}

}  // namespace tsssl
