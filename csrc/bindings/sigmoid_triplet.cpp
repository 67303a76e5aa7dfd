#include "bindings/arguments.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;
using Index = std::int64_t;

// One side: address, row stride, rows, identifiers, flags.
template <class T>
void place(const py::tuple& side, RowPieces<T>& rows, const std::int32_t*& id,
           const std::uint8_t*& valid) {
  rows = {pointer<const T>(side[0].cast<Address>()),
          nullptr,
          side[1].cast<Index>(),
          0,
          side[2].cast<Index>(),
          0};
  id = pointer<const std::int32_t>(side[3].cast<Address>());
  valid = pointer<const std::uint8_t>(side[4].cast<Address>());
}

template <class T>
PairProblem<T> two_sets(const py::tuple& q, const py::tuple& k, Index dim, double scale,
                        bool normalize) {
  PairProblem<T> problem{};
  place<T>(q, problem.q, problem.q_id, problem.q_valid);
  place<T>(k, problem.k, problem.k_id, problem.k_valid);
  problem.dim = dim;
  problem.beta = scale;
  problem.normalize = normalize;
  return problem;
}

template <class T>
PairProblem<T> one_set(const py::tuple& z, Index dim, bool normalize) {
  PairProblem<T> problem = two_sets<T>(z, z, dim, 1, normalize);
  problem.k = {};
  return problem;
}

// (3, rows), in the order of TripletRows.
template <class T>
TripletRows<T> triplet_rows(Address rows, Address nearest, Index count) {
  T* first = pointer<T>(rows);
  return {first, first + count, first + 2 * count, pointer<std::int32_t>(nearest)};
}

template <class T>
void bind_sigmoid(py::module_& module, const std::string& suffix) {
  module.def(("sigmoid_forward_" + suffix).c_str(),
             [](const py::tuple& q, const py::tuple& k, Index dim, bool normalize, double scale,
                double bias, int threads, Address q_scale, Address k_scale, Address loss) {
               const PairProblem<T> problem = two_sets<T>(q, k, dim, scale, normalize);
               py::gil_scoped_release release;
               sigmoid_kernels().of(T()).forward(problem, bias, threads, pointer<T>(q_scale),
                                                 pointer<T>(k_scale), pointer<T>(loss));
             });
  module.def(("sigmoid_backward_" + suffix).c_str(),
             [](const py::tuple& q, const py::tuple& k, Index dim, bool normalize, double scale,
                double bias, int threads, Address q_scale, Address k_scale, Address grad,
                Address grad_q, Address grad_k) {
               const PairProblem<T> problem = two_sets<T>(q, k, dim, scale, normalize);
               double slopes[2];
               {
                 py::gil_scoped_release release;
                 sigmoid_kernels().of(T()).backward(
                     problem, bias, threads, pointer<const T>(q_scale), pointer<const T>(k_scale),
                     pointer<const T>(grad), pointer<T>(grad_q), pointer<T>(grad_k), slopes);
               }
               return py::make_tuple(slopes[0], slopes[1]);
             });
}

template <class T>
void bind_triplet(py::module_& module, const std::string& suffix) {
  module.def(("triplet_forward_" + suffix).c_str(),
             [](const py::tuple& z, Index dim, bool normalize, double margin, int threads,
                Address scale, Address rows, Address nearest, Address loss) {
               const PairProblem<T> problem = one_set<T>(z, dim, normalize);
               py::gil_scoped_release release;
               triplet_kernels().of(T()).forward(problem, margin, threads, pointer<T>(scale),
                                                 triplet_rows<T>(rows, nearest, problem.q.count1),
                                                 pointer<T>(loss));
             });
  module.def(("triplet_backward_" + suffix).c_str(),
             [](const py::tuple& z, Index dim, bool normalize, double margin, int threads,
                Address scale, Address rows, Address nearest, Address grad, Address out) {
               const PairProblem<T> problem = one_set<T>(z, dim, normalize);
               py::gil_scoped_release release;
               triplet_kernels().of(T()).backward(problem, margin, threads, pointer<const T>(scale),
                                                  triplet_rows<T>(rows, nearest, problem.q.count1),
                                                  pointer<const T>(grad), pointer<T>(out));
             });
}

}  // namespace

void bind_sigmoid_triplet(py::module_& module) {
  bind_sigmoid<float>(module, "f32");
  bind_sigmoid<double>(module, "f64");
  bind_triplet<float>(module, "f32");
  bind_triplet<double>(module, "f64");
}

}  // namespace tsssl
