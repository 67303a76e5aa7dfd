#include "tsssl/augment.h"

#include <pybind11/stl.h>

#include <array>

#include "bindings/arguments.h"
#include "bindings/kernel_scope.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Shape = std::array<Index, 3>;   // n, c, t
using Stride = std::array<Index, 4>;  // view, n, c, t
using Seed = std::array<Index, 4>;    // seed, epoch, step, rank
using Numbers = Buffer<const double>;
using Integers = Buffer<const Index>;

Draws make_draws(const Numbers& program, const Seed& seed, const Integers& ids,
                 const Integers& lengths, Index n) {
  const Index rows = program.size() / kProgramColumns;
  return {program.holding("program", rows * kProgramColumns),
          rows,
          {seed[0], seed[1], seed[2], seed[3]},
          ids.holding_if_any("sample_ids", n),
          lengths.holding_if_any("lengths", n)};
}

// Of (views, n, slots).
Index parameter_count(const Draws& draws, Index views, const Shape& shape) {
  Index slots = 0;
  for (Index i = 0; i < draws.rows; ++i) {
    slots += row_slots(draws.program + i * kProgramColumns, shape[1]);
  }
  return views * shape[0] * slots;
}

template <class T>
Series<T> make_series(Address x, const Shape& shape, const Stride& stride) {
  return {pointer<const T>(x), stride[0], stride[1], stride[2],
          stride[3],           shape[0],  shape[1],  shape[2]};
}

template <class T>
void bind(py::module_& module, const std::string& suffix) {
  module.def(("augment_forward_" + suffix).c_str(),
             [](Address x, Shape shape, Stride stride, const Numbers& program, Seed seed,
                const Integers& sample_ids, const Integers& lengths, const Numbers& parameters,
                Index views, int threads, const Buffer<T>& out) {
               const Draws draws = make_draws(program, seed, sample_ids, lengths, shape[0]);
               const double* const given =
                   parameters.empty()
                       ? nullptr
                       : parameters.holding("parameters", parameter_count(draws, views, shape));
               T* const to = out.holding("out", views * shape[0] * shape[1] * shape[2]);
               const KernelScope scope;
               augment_kernels().of(T()).forward(make_series<T>(x, shape, stride), draws, given,
                                                 views, threads, to);
             },
             py::arg("x"), py::arg("shape"), py::arg("stride"), py::arg("program"), py::arg("seed"),
             py::arg("sample_ids"), py::arg("lengths"), py::arg("parameters"), py::arg("views"),
             py::arg("threads"), py::arg("out"));
  module.def(("augment_backward_" + suffix).c_str(),
             [](Address grad, Shape shape, Stride stride, const Numbers& program, Seed seed,
                const Integers& sample_ids, const Integers& lengths, const Numbers& parameters,
                Index views, int threads, bool sum, const Buffer<T>& grad_x) {
               const Draws draws = make_draws(program, seed, sample_ids, lengths, shape[0]);
               const double* const given =
                   parameters.empty()
                       ? nullptr
                       : parameters.holding("parameters", parameter_count(draws, views, shape));
               const Index size = shape[0] * shape[1] * shape[2];
               T* const to = grad_x.holding("grad_x", sum ? size : views * size);
               const KernelScope scope;
               augment_kernels().of(T()).backward(make_series<T>(grad, shape, stride), draws, given,
                                                  views, threads, sum, to);
             },
             py::arg("grad"), py::arg("shape"), py::arg("stride"), py::arg("program"),
             py::arg("seed"), py::arg("sample_ids"), py::arg("lengths"), py::arg("parameters"),
             py::arg("views"), py::arg("threads"), py::arg("sum"), py::arg("grad_x"));
}

}  // namespace

void bind_augment(py::module_& module) {
  bind<float>(module, "f32");
  bind<double>(module, "f64");
  module.def(
      "augment_sample",
      [](Shape shape, const Numbers& program, Seed seed, const Integers& sample_ids,
         const Integers& lengths, Index views, int threads, const Buffer<double>& parameters) {
        const Draws draws = make_draws(program, seed, sample_ids, lengths, shape[0]);
        double* const out = parameters.holding("parameters", parameter_count(draws, views, shape));
        const KernelScope scope;
        augment_sample_kernel()(draws, views, shape[0], shape[1], shape[2], threads, out);
      },
      py::arg("shape"), py::arg("program"), py::arg("seed"), py::arg("sample_ids"),
      py::arg("lengths"), py::arg("views"), py::arg("threads"), py::arg("parameters"));
}

}  // namespace tsssl
