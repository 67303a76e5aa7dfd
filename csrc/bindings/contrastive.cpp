#include "bindings/arguments.h"
#include "bindings/kernel_scope.h"
#include "bindings/pair_problem.h"
#include "runtime/dispatch.h"
#include "runtime/scratch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

// kSumRows consecutive rows of `count`, in the order of PairSums.
template <class T>
PairSums<T> sums_at(T* first, Index count, T* statistics, T* kept) {
  return {first,
          first + count,
          first + 2 * count,
          first + 3 * count,
          first + 4 * count,
          first + 5 * count,
          statistics,
          count,
          kept};
}

// kNtXentRows consecutive rows of `count`, in the order of NtXentRows.
template <class T>
NtXentRows<T> nt_xent_rows(T* first, Index count, T* kept) {
  return {first, first + count, sums_at<T>(first + 2 * count, count, nullptr, kept)};
}

template <class T>
PairProblem<T> two_views(Address z1, Index stride1, Address z2, Index stride2, Index n, Index dim,
                         double beta, int bits, int precision) {
  PairProblem<T> problem{};
  problem.bits = bits;
  problem.precision = static_cast<Precision>(precision);
  problem.q = {pointer<const T>(z1), pointer<const T>(z2), stride1, stride2, n, n};
  problem.dim = dim;
  problem.beta = beta;
  problem.normalize = true;
  problem.offset = n;
  return problem;
}

template <class T>
void bind_nt_xent(py::module_& module, const std::string& suffix) {
  module.def(("nt_xent_products_" + suffix).c_str(),
             [](Index n, Index dim, double beta, int bits, int precision) {
               const auto problem = two_views<T>(0, 0, 0, 0, n, dim, beta, bits, precision);
               return nt_xent_kernels().of(T()).products(problem);
             },
             py::arg("n"), py::arg("dim"), py::arg("beta"), py::arg("bits"), py::arg("precision"),
             "In words, what forms the products of such a problem.");
  // kept: empty, and nothing is kept; with a reduction the fused gradient (2, n, dim); else the
  // exponentials, a square of nt_xent_saved_side.
  module.def(("nt_xent_forward_" + suffix).c_str(),
             [](Address z1, Index stride1, Address z2, Index stride2, Index n, Index dim,
                double beta, int bits, int precision, int reduction, int threads,
                const Buffer<T>& loss, const Buffer<T>& saved, const Buffer<T>& kept) {
               const auto how = static_cast<Reduction>(reduction);
               const Index rows = 2 * n, side = nt_xent_saved_side(rows, dim);
               const bool fuse = how != Reduction::none && !kept.empty();
               T* const out = loss.holding("loss", how == Reduction::none ? rows : 1);
               T* const first = saved.holding("saved", kNtXentRows * rows);
               T* const gradient = fuse ? kept.holding("kept", rows * dim) : nullptr;
               T* exponentials = fuse ? nullptr : kept.holding_if_any("kept", side * side);
               const KernelScope scope;
               const Scratch<T> own(fuse ? side * side : 0);
               if (fuse && side > 0) exponentials = own.get();
               nt_xent_kernels().of(T()).forward(
                   two_views<T>(z1, stride1, z2, stride2, n, dim, beta, bits, precision), how,
                   threads, nt_xent_rows<T>(first, rows, exponentials),
                   {gradient, fuse ? gradient + n * dim : nullptr}, out);
             },
             py::arg("z1"), py::arg("stride1"), py::arg("z2"), py::arg("stride2"), py::arg("n"),
             py::arg("dim"), py::arg("beta"), py::arg("bits"), py::arg("precision"),
             py::arg("reduction"), py::arg("threads"), py::arg("loss"), py::arg("saved"),
             py::arg("kept"));
  // grad: grad_count elements, grad_stride apart (0 where autograd expanded one number).
  module.def(("nt_xent_backward_" + suffix).c_str(),
             [](Address z1, Index stride1, Address z2, Index stride2, Index n, Index dim,
                double beta, int bits, int precision, int reduction, int threads,
                const Buffer<T>& saved, const Buffer<T>& kept, Address grad, Index grad_count,
                Index grad_stride, const Buffer<T>& grad1, const Buffer<T>& grad2) {
               const Index rows = 2 * n, side = nt_xent_saved_side(rows, dim);
               T* const first = saved.holding("saved", kNtXentRows * rows);
               T* const exponentials = kept.holding_if_any("exponentials", side * side);
               const auto how = static_cast<Reduction>(reduction);
               if (const Index wanted = how == Reduction::none ? rows : 1; grad_count != wanted) {
                 throw std::invalid_argument("grad: " + std::to_string(grad_count) +
                                             " elements; accepted: " + std::to_string(wanted));
               }
               T* const out1 = grad1.holding("grad1", n * dim);
               T* const out2 = grad2.holding("grad2", n * dim);
               const KernelScope scope;
               nt_xent_kernels().of(T()).backward(
                   two_views<T>(z1, stride1, z2, stride2, n, dim, beta, bits, precision), how,
                   threads, nt_xent_rows<T>(first, rows, exponentials),
                   {pointer<const T>(grad), grad_stride}, out1, out2);
             },
             py::arg("z1"), py::arg("stride1"), py::arg("z2"), py::arg("stride2"), py::arg("n"),
             py::arg("dim"), py::arg("beta"), py::arg("bits"), py::arg("precision"),
             py::arg("reduction"), py::arg("threads"), py::arg("saved"), py::arg("exponentials"),
             py::arg("grad"), py::arg("grad_count"), py::arg("grad_stride"), py::arg("grad1"),
             py::arg("grad2"));
}

template <class T>
void bind_pair_problem(py::module_& module, const std::string& suffix) {
  using Codes = const Buffer<const std::int32_t>&;
  using Flags = const Buffer<const std::uint8_t>&;
  py::class_<BoundPairs<T>>(module, ("PairProblem_" + suffix).c_str())
      .def(py::init<Address, Index, Index, Address, Index, bool, Index, Index, double, int, int,
                    bool, bool, bool, int, Codes, Codes, Codes, Codes, Flags, Flags, Flags,
                    const Buffer<const T>&>(),
           py::kw_only(), py::arg("q"), py::arg("q_stride"), py::arg("rows"), py::arg("k") = 0,
           py::arg("k_stride") = 0, py::arg("narrow") = false, py::arg("columns"), py::arg("dim"),
           py::arg("beta"), py::arg("bits"), py::arg("precision"), py::arg("normalize"),
           py::arg("symmetric") = false, py::arg("skip_diagonal") = false,
           py::arg("group_rule") = 0, py::arg("q_id") = py::none(), py::arg("k_id") = py::none(),
           py::arg("q_group") = py::none(), py::arg("k_group") = py::none(),
           py::arg("q_valid") = py::none(), py::arg("k_valid") = py::none(),
           py::arg("mask") = py::none(), py::arg("weight") = py::none());
}

template <class T>
void bind_pairs(py::module_& module, const std::string& suffix) {
  module.def(
      ("pairs_products_" + suffix).c_str(),
      [](const BoundPairs<T>& pairs) { return pairs_kernels().of(T()).products(pairs.problem); },
      py::arg("problem"), "In words, what forms the problem's products.");
  module.def(("pairs_forward_" + suffix).c_str(),
             [](const BoundPairs<T>& pairs, int threads, const Buffer<T>& scale,
                const Buffer<T>& sums, const Buffer<T>& statistics, const Buffer<T>& out) {
               const Index rows = pairs.rows();
               T* const scales = scale.holding("scale", pairs.queries() + pairs.keys());
               T* const first = sums.holding("sums", kSumRows * rows);
               T* const extra = statistics.holding_if_any("statistics", kStatistics * rows);
               T* const result = out.holding("out", 3 * rows);
               const KernelScope scope;
               pairs_kernels().of(T()).forward(pairs.problem, threads, scales,
                                               scales + pairs.queries(),
                                               sums_at<T>(first, rows, extra, nullptr), result);
             },
             py::arg("problem"), py::arg("threads"), py::arg("scale"), py::arg("sums"),
             py::arg("statistics"), py::arg("out"));
  module.def(("pairs_backward_" + suffix).c_str(),
             [](const BoundPairs<T>& pairs, int threads, const Buffer<const T>& scale,
                const Buffer<T>& sums, const Buffer<const T>& grad_out, const Buffer<T>& grad_q,
                const Buffer<T>& grad_k, const Buffer<Bfloat16>& narrow_grad_k) {
               const Index rows = pairs.rows(), dim = pairs.dim();
               const T* const scales = scale.holding("scale", pairs.queries() + pairs.keys());
               T* const first = sums.holding("sums", kSumRows * rows);
               const T* const upstream = grad_out.holding("grad_out", 3 * rows);
               T* const to_q = grad_q.holding("grad_q", pairs.queries() * dim);
               const Index of_keys = pairs.keys() * dim;
               const KeyGradient<T> to_k{grad_k.holding_if_any("grad_k", of_keys),
                                         narrow_grad_k.holding_if_any("narrow_grad_k", of_keys)};
               const KernelScope scope;
               return pairs_kernels().of(T()).backward(
                   pairs.problem, threads, scales, scales + pairs.queries(),
                   sums_at<T>(first, rows, nullptr, nullptr), upstream, to_q, to_k);
             },
             py::arg("problem"), py::arg("threads"), py::arg("scale"), py::arg("sums"),
             py::arg("grad_out"), py::arg("grad_q"), py::arg("grad_k"), py::arg("narrow_grad_k"));
  module.def(("many_keys_" + suffix).c_str(),
             [](Index rows, Index keys, bool normalize, bool one_sided, double beta) {
               return ManyKeys{rows, keys, normalize, one_sided, beta}.template hold<T>();
             },
             py::arg("rows"), py::arg("keys"), py::arg("normalize"), py::arg("one_sided"),
             py::arg("beta"),
             "Whether keys are taken block by block, and as bfloat16 where they are.");
}

// Views of a batch of problems, each with a row stride and a stride between groups.
template <class T>
void bind_grouped(py::module_& module, const std::string& suffix) {
  using Views = GroupedViews<T>;
  py::class_<Views>(module, ("GroupedViews_" + suffix).c_str())
      .def(py::init([](Address z1, Address z2, Index row_stride1, Index row_stride2,
                       Index group_stride1, Index group_stride2, Index groups, Index n, Index dim,
                       const Buffer<const Index>& lengths, double beta, bool normalize) {
             return Views{pointer<const T>(z1),
                          pointer<const T>(z2),
                          row_stride1,
                          row_stride2,
                          group_stride1,
                          group_stride2,
                          groups,
                          n,
                          dim,
                          lengths.holding_if_any("lengths", groups),
                          beta,
                          normalize};
           }),
           py::kw_only(), py::arg("z1"), py::arg("z2"), py::arg("row_stride1"),
           py::arg("row_stride2"), py::arg("group_stride1"), py::arg("group_stride2"),
           py::arg("groups"), py::arg("n"), py::arg("dim"), py::arg("lengths"), py::arg("beta"),
           py::arg("normalize"));
  module.def(("grouped_forward_" + suffix).c_str(),
             [](const Views& views, int threads, const Buffer<T>& loss, const Buffer<T>& saved) {
               const Index rows = views.groups * 2 * views.n;
               T* const out = loss.holding("loss", rows);
               T* const first = saved.holding("saved", kNtXentRows * rows);
               const KernelScope scope;
               grouped_kernels().of(T()).forward(views, threads, out, first);
             },
             py::arg("views"), py::arg("threads"), py::arg("loss"), py::arg("saved"));
  module.def(("grouped_backward_" + suffix).c_str(),
             [](const Views& views, int threads, const Buffer<T>& saved,
                const Buffer<const T>& grad, const Buffer<T>& grad1, const Buffer<T>& grad2) {
               const Index rows = views.groups * 2 * views.n,
                           size = views.groups * views.n * views.dim;
               T* const first = saved.holding("saved", kNtXentRows * rows);
               const T* const upstream = grad.holding("grad", rows);
               T* const out1 = grad1.holding("grad1", size);
               T* const out2 = grad2.holding("grad2", size);
               const KernelScope scope;
               grouped_kernels().of(T()).backward(views, threads, first, upstream, out1, out2);
             },
             py::arg("views"), py::arg("threads"), py::arg("saved"), py::arg("grad"),
             py::arg("grad1"), py::arg("grad2"));
  // grad1, grad2: addresses of memory that lies as z1 and z2 do.
  module.def(("grouped_fused_" + suffix).c_str(),
             [](const Views& views, int threads, double weight, const Buffer<T>& loss,
                Address grad1, Address grad2) {
               T* const out = loss.holding("loss", views.groups);
               const KernelScope scope;
               grouped_kernels().of(T()).fused(views, threads, weight, out, pointer<T>(grad1),
                                               pointer<T>(grad2));
             },
             py::arg("views"), py::arg("threads"), py::arg("weight"), py::arg("loss"),
             py::arg("grad1"), py::arg("grad2"));
}

}  // namespace

void bind_contrastive(py::module_& module) {
  module.def("nt_xent_saved_side", &nt_xent_saved_side, py::arg("rows"), py::arg("dim"),
             "Side of the square in which nt_xent keeps its exponentials; 0: it does not.");
  bind_nt_xent<float>(module, "f32");
  bind_nt_xent<double>(module, "f64");
  bind_grouped<float>(module, "f32");
  bind_grouped<double>(module, "f64");
  bind_pair_problem<float>(module, "f32");
  bind_pair_problem<double>(module, "f64");
  bind_pairs<float>(module, "f32");
  bind_pairs<double>(module, "f64");
}

}  // namespace tsssl
