#include "tsssl/sigmoid_triplet.h"

#include "bindings/arguments.h"
#include "bindings/kernel_scope.h"
#include "bindings/pair_problem.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

// The problem's beta is the scale.
template <class T>
void bind_sigmoid(py::module_& module, const std::string& suffix) {
  module.def(("sigmoid_forward_" + suffix).c_str(),
             [](const BoundPairs<T>& pairs, double bias, int threads, const Buffer<T>& norms,
                const Buffer<T>& loss) {
               T* const scales = norms.holding("norms", pairs.queries() + pairs.keys());
               T* const out = loss.holding("loss", pairs.queries());
               const KernelScope scope;
               sigmoid_kernels().of(T()).forward(pairs.wide(), bias, threads, scales,
                                                 scales + pairs.queries(), out);
             },
             py::arg("problem"), py::arg("bias"), py::arg("threads"), py::arg("norms"),
             py::arg("loss"));
  module.def(("sigmoid_backward_" + suffix).c_str(),
             [](const BoundPairs<T>& pairs, double bias, int threads, const Buffer<const T>& norms,
                const Buffer<const T>& grad, const Buffer<T>& grad_q, const Buffer<T>& grad_k) {
               const T* const scales = norms.holding("norms", pairs.queries() + pairs.keys());
               const T* const upstream = grad.holding("grad", pairs.queries());
               T* const to_q = grad_q.holding("grad_q", pairs.queries() * pairs.dim());
               T* const to_k = grad_k.holding_if_any("grad_k", pairs.keys() * pairs.dim());
               double slopes[2];
               {
                 const KernelScope scope;
                 sigmoid_kernels().of(T()).backward(pairs.wide(), bias, threads, scales,
                                                    scales + pairs.queries(), upstream, to_q, to_k,
                                                    slopes);
               }
               return py::make_tuple(slopes[0], slopes[1]);
             },
             py::arg("problem"), py::arg("bias"), py::arg("threads"), py::arg("norms"),
             py::arg("grad"), py::arg("grad_q"), py::arg("grad_k"));
}

// rows: (3, queries), in the order of TripletRows.
template <class T>
TripletRows<T> triplet_rows(const BoundPairs<T>& pairs, const Buffer<T>& rows,
                            const Buffer<std::int32_t>& nearest) {
  const Index count = pairs.queries();
  T* const first = rows.holding("rows", 3 * count);
  return {first, first + count, first + 2 * count, nearest.holding("nearest", count)};
}

template <class T>
void bind_triplet(py::module_& module, const std::string& suffix) {
  module.def(("triplet_forward_" + suffix).c_str(),
             [](const BoundPairs<T>& pairs, double margin, int threads, const Buffer<T>& norms,
                const Buffer<T>& rows, const Buffer<std::int32_t>& nearest, const Buffer<T>& loss) {
               T* const scales = norms.holding("norms", pairs.queries());
               const TripletRows<T> saved = triplet_rows<T>(pairs, rows, nearest);
               T* const out = loss.holding("loss", pairs.queries());
               const KernelScope scope;
               triplet_kernels().of(T()).forward(pairs.wide(), margin, threads, scales, saved, out);
             },
             py::arg("problem"), py::arg("margin"), py::arg("threads"), py::arg("norms"),
             py::arg("rows"), py::arg("nearest"), py::arg("loss"));
  module.def(
      ("triplet_backward_" + suffix).c_str(),
      [](const BoundPairs<T>& pairs, double margin, int threads, const Buffer<const T>& norms,
         const Buffer<T>& rows, const Buffer<std::int32_t>& nearest, const Buffer<const T>& grad,
         const Buffer<T>& out) {
        const T* const scales = norms.holding("norms", pairs.queries());
        const TripletRows<T> saved = triplet_rows<T>(pairs, rows, nearest);
        const T* const upstream = grad.holding("grad", pairs.queries());
        T* const to = out.holding("out", pairs.queries() * pairs.dim());
        const KernelScope scope;
        triplet_kernels().of(T()).backward(pairs.wide(), margin, threads, scales, saved, upstream,
                                           to);
      },
      py::arg("problem"), py::arg("margin"), py::arg("threads"), py::arg("norms"), py::arg("rows"),
      py::arg("nearest"), py::arg("grad"), py::arg("out"));
}

}  // namespace

void bind_sigmoid_triplet(py::module_& module) {
  bind_sigmoid<float>(module, "f32");
  bind_sigmoid<double>(module, "f64");
  bind_triplet<float>(module, "f32");
  bind_triplet<double>(module, "f64");
}

}  // namespace tsssl
