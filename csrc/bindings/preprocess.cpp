#include "tsssl/preprocess.h"

#include "bindings/arguments.h"
#include "bindings/kernel_scope.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

template <class T>
void bind(py::module_& module, const char* name) {
  module.def(
      name,
      [](const Buffer<const T>& x, Index n, Index channels, Index t,
         const Buffer<const Index>& lengths, int task, double first, double second, int threads,
         const Buffer<T>& out) {
        const Index rows = n * channels;
        const T* const from = x.holding("x", rows * t);
        const Index* const known = lengths.holding_if_any("lengths", n);
        T* const to = out.holding("out", rows * t);
        const KernelScope scope;
        preprocess_kernels().of(T()).transform(
            from, rows, channels, t, known, static_cast<RowTask>(task), first, second, threads, to);
      },
      py::arg("x"), py::arg("n"), py::arg("channels"), py::arg("t"), py::arg("lengths"),
      py::arg("task"), py::arg("first"), py::arg("second"), py::arg("threads"), py::arg("out"));
}

}  // namespace

void bind_preprocess(py::module_& module) {
  bind<float>(module, "preprocess_f32");
  bind<double>(module, "preprocess_f64");
}

}  // namespace tsssl
