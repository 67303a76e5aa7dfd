#include <pybind11/stl.h>

#include "bindings/arguments.h"
#include "cpu/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;
using Addresses = std::vector<Address>;
using Strides = std::vector<std::int64_t>;

template <class T>
Views<T> views(const Addresses& z, const Strides& strides, std::int64_t n, std::int64_t dim,
               bool gram) {
  return {reinterpret_cast<const T* const*>(z.data()),
          strides.data(),
          static_cast<int>(z.size()),
          n,
          dim,
          gram};
}

template <class T>
void bind_vicreg(py::module_& module, const char* suffix,
                 Vicreg<T> DecorrelationKernels::* kernel) {
  const std::string name = "vicreg_";
  module.def((name + "forward_" + suffix).c_str(),
             [kernel](const Addresses& z, const Strides& strides, std::int64_t n, std::int64_t dim,
                      bool gram, double gamma, double eps, bool correlation, int parts, int threads,
                      Address moments, Address square) {
               py::gil_scoped_release release;
               (decorrelation().*kernel)
                   .forward(views<T>(z, strides, n, dim, gram), {gamma, eps, correlation, parts},
                            threads, pointer<double>(moments), pointer<T>(square));
             });
  module.def((name + "backward_" + suffix).c_str(),
             [kernel](const Addresses& z, const Strides& strides, std::int64_t n, std::int64_t dim,
                      bool gram, double gamma, double eps, bool correlation, int parts,
                      double pairs, double hinge, double off, int threads, Address moments,
                      Address square, const Addresses& gradients) {
               py::gil_scoped_release release;
               const double upstream[] = {pairs, hinge, off};
               (decorrelation().*kernel)
                   .backward(views<T>(z, strides, n, dim, gram), {gamma, eps, correlation, parts},
                             upstream, threads, pointer<const double>(moments),
                             pointer<const T>(square),
                             reinterpret_cast<T* const*>(gradients.data()));
             });
}

template <class T>
void bind_barlow(py::module_& module, const char* suffix,
                 Barlow<T> DecorrelationKernels::* kernel) {
  const std::string name = "barlow_";
  module.def((name + "forward_" + suffix).c_str(),
             [kernel](const Addresses& z, const Strides& strides, std::int64_t n, std::int64_t dim,
                      bool gram, double eps, bool center, bool unbiased, int threads,
                      Address moments, Address square) {
               py::gil_scoped_release release;
               (decorrelation().*kernel)
                   .forward(views<T>(z, strides, n, dim, gram), {eps, center, unbiased}, threads,
                            pointer<double>(moments), pointer<T>(square));
             });
  module.def((name + "backward_" + suffix).c_str(),
             [kernel](const Addresses& z, const Strides& strides, std::int64_t n, std::int64_t dim,
                      bool gram, double eps, bool center, bool unbiased, double on, double off,
                      int threads, Address moments, Address square, const Addresses& gradients) {
               py::gil_scoped_release release;
               const double upstream[] = {on, off};
               (decorrelation().*kernel)
                   .backward(views<T>(z, strides, n, dim, gram), {eps, center, unbiased}, upstream,
                             threads, pointer<const double>(moments), pointer<const T>(square),
                             reinterpret_cast<T* const*>(gradients.data()));
             });
}

}  // namespace

void bind_decorrelation(py::module_& module) {
  bind_vicreg<float>(module, "f32", &DecorrelationKernels::vicreg_f32);
  bind_vicreg<double>(module, "f64", &DecorrelationKernels::vicreg_f64);
  bind_barlow<float>(module, "f32", &DecorrelationKernels::barlow_f32);
  bind_barlow<double>(module, "f64", &DecorrelationKernels::barlow_f64);
}

}  // namespace tsssl
