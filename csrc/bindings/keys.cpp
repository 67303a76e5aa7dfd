#include "tsssl/keys.h"

#include <string>

#include "bindings/arguments.h"
#include "bindings/kernel_scope.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

template <class T>
KeyProblem<T> problem_of(Index rows, Index keys, Index dim, double beta, int bits, int precision) {
  KeyProblem<T> problem{};
  problem.rows = rows;
  problem.keys = keys;
  problem.dim = dim;
  problem.beta = beta;
  problem.bits = bits;
  problem.precision = static_cast<Precision>(precision);
  return problem;
}

template <class T>
void bind(py::module_& module, const std::string& suffix) {
  module.def(
      ("key_logsumexp_" + suffix).c_str(),
      [](Address q, Index q_stride, Index rows, Address k, Index k_stride, Index keys, Index dim,
         bool narrow, double beta, int bits, int precision,
         const Buffer<const std::uint8_t>& q_valid, const Buffer<const std::uint8_t>& k_valid,
         int threads, const Buffer<T>& lse, const Buffer<T>& jacobian) {
        KeyProblem<T> problem = problem_of<T>(rows, keys, dim, beta, bits, precision);
        problem.q = pointer<const T>(q);
        problem.q_stride = q_stride;
        if (narrow) {
          problem.narrow_k = pointer<const Bfloat16>(k);
        } else {
          problem.k = pointer<const T>(k);
        }
        problem.k_stride = k_stride;
        problem.q_valid = q_valid.holding_if_any("q_valid", rows);
        problem.k_valid = k_valid.holding_if_any("k_valid", keys);
        T* const out = lse.holding("lse", rows);
        T* const slope = jacobian.holding_if_any("jacobian", rows * dim);
        const KernelScope scope;
        keys_kernels().of(T()).log_sum_exp(problem, threads, out, slope);
      },
      py::arg("q"), py::arg("q_stride"), py::arg("rows"), py::arg("k"), py::arg("k_stride"),
      py::arg("keys"), py::arg("dim"), py::arg("narrow"), py::arg("beta"), py::arg("bits"),
      py::arg("precision"), py::arg("q_valid"), py::arg("k_valid"), py::arg("threads"),
      py::arg("lse"), py::arg("jacobian"));
  module.def(("key_products_" + suffix).c_str(),
             [](Index rows, Index keys, Index dim, double beta, int bits, int precision) {
               return keys_kernels().of(T()).products(
                   problem_of<T>(rows, keys, dim, beta, bits, precision));
             },
             py::arg("rows"), py::arg("keys"), py::arg("dim"), py::arg("beta"), py::arg("bits"),
             py::arg("precision"));
}

}  // namespace

void bind_keys(py::module_& module) {
  bind<float>(module, "f32");
  bind<double>(module, "f64");
}

}  // namespace tsssl
