#include "tsssl/keys.h"

#include "bindings/arguments.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

template <class T>
void bind(py::module_& module, const char* name) {
  module.def(
      name,
      [](Address q, Index q_stride, Index rows, Address k, Index k_stride, Index keys, Index dim,
         double beta, const Buffer<const std::uint8_t>& q_valid,
         const Buffer<const std::uint8_t>& k_valid, int threads, const Buffer<T>& lse,
         const Buffer<T>& jacobian) {
        const KeyProblem<T> problem{pointer<const T>(q),
                                    pointer<const T>(k),
                                    q_stride,
                                    k_stride,
                                    rows,
                                    keys,
                                    dim,
                                    beta,
                                    q_valid.holding_if_any("q_valid", rows),
                                    k_valid.holding_if_any("k_valid", keys)};
        T* const out = lse.holding("lse", rows);
        T* const slope = jacobian.holding_if_any("jacobian", rows * dim);
        py::gil_scoped_release release;
        keys_kernels().of(T()).log_sum_exp(problem, threads, out, slope);
      },
      py::arg("q"), py::arg("q_stride"), py::arg("rows"), py::arg("k"), py::arg("k_stride"),
      py::arg("keys"), py::arg("dim"), py::arg("beta"), py::arg("q_valid"), py::arg("k_valid"),
      py::arg("threads"), py::arg("lse"), py::arg("jacobian"));
}

}  // namespace

void bind_keys(py::module_& module) {
  bind<float>(module, "key_logsumexp_f32");
  bind<double>(module, "key_logsumexp_f64");
}

}  // namespace tsssl
