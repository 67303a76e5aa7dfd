#include "tsssl/preprocess.h"

#include "bindings/arguments.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;

template <class T>
void bind(py::module_& module, const char* name) {
  module.def(
      name, [](Address x, std::int64_t rows, std::int64_t channels, std::int64_t t, Address lengths,
               int task, double first, double second, int threads, Address out) {
        py::gil_scoped_release release;
        preprocess_kernels().of(T()).transform(
            pointer<const T>(x), rows, channels, t, pointer<const std::int64_t>(lengths),
            static_cast<RowTask>(task), first, second, threads, pointer<T>(out));
      });
}

}  // namespace

void bind_preprocess(py::module_& module) {
  bind<float>(module, "preprocess_f32");
  bind<double>(module, "preprocess_f64");
}

}  // namespace tsssl
