#include "bindings/arguments.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;
using Index = std::int64_t;

template <class T>
void bind(py::module_& module, const char* name) {
  module.def(name, [](Address q, Index q_stride, Index rows, Address k, Index k_stride, Index keys,
                      Index dim, double beta, Address q_valid, Address k_valid, int threads,
                      Address lse, Address jacobian) {
    const KeyProblem<T> problem{pointer<const T>(q),
                                pointer<const T>(k),
                                q_stride,
                                k_stride,
                                rows,
                                keys,
                                dim,
                                beta,
                                pointer<const std::uint8_t>(q_valid),
                                pointer<const std::uint8_t>(k_valid)};
    py::gil_scoped_release release;
    keys_kernels().of(T()).log_sum_exp(problem, threads, pointer<T>(lse), pointer<T>(jacobian));
  });
}

}  // namespace

void bind_keys(py::module_& module) {
  bind<float>(module, "key_logsumexp_f32");
  bind<double>(module, "key_logsumexp_f64");
}

}  // namespace tsssl
