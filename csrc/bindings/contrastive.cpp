#include "bindings/arguments.h"
#include "runtime/dispatch.h"
#include "runtime/scratch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;
using Index = std::int64_t;

// Six consecutive rows of one (rows, count) buffer, in the order of PairSums.
template <class T>
PairSums<T> sums_at(Address address, Index count, Address statistics = 0) {
  T* first = pointer<T>(address);
  return {first,
          first + count,
          first + 2 * count,
          first + 3 * count,
          first + 4 * count,
          first + 5 * count,
          pointer<T>(statistics),
          count,
          nullptr};
}

template <class T>
PairProblem<T> two_views(Address z1, Index stride1, Address z2, Index stride2, Index n, Index dim,
                         double beta) {
  PairProblem<T> problem{};
  problem.q = {pointer<const T>(z1), pointer<const T>(z2), stride1, stride2, n, n};
  problem.dim = dim;
  problem.beta = beta;
  problem.normalize = true;
  problem.offset = n;
  return problem;
}

// Optional arrays are addresses, 0 where absent; the pair arrays carry their row strides.
template <class T>
PairProblem<T> pair_problem(Address q, Index q_stride, Index rows, Address k, Index k_stride,
                            Index columns, Index dim, double beta, bool normalize, bool symmetric,
                            bool skip_diagonal, int group_rule, const py::tuple& arrays) {
  const auto at = [&](int i) { return arrays[i].cast<Address>(); };
  PairProblem<T> problem{};
  problem.q = {pointer<const T>(q), nullptr, q_stride, 0, rows, 0};
  problem.k = {pointer<const T>(k), nullptr, k_stride, 0, columns, 0};
  problem.dim = dim;
  problem.beta = beta;
  problem.normalize = normalize;
  problem.symmetric = symmetric;
  problem.skip_diagonal = skip_diagonal;
  problem.group_rule = static_cast<GroupRule>(group_rule);
  problem.q_id = pointer<const std::int32_t>(at(0));
  problem.k_id = pointer<const std::int32_t>(at(1));
  problem.q_group = pointer<const std::int32_t>(at(2));
  problem.k_group = pointer<const std::int32_t>(at(3));
  problem.q_valid = pointer<const std::uint8_t>(at(4));
  problem.k_valid = pointer<const std::uint8_t>(at(5));
  problem.mask = pointer<const std::uint8_t>(at(6));
  problem.mask_stride = arrays[7].cast<Index>();
  problem.weight = pointer<const T>(at(8));
  problem.weight_stride = arrays[9].cast<Index>();
  return problem;
}

// (8, rows), in the order of NtXentRows.
template <class T>
NtXentRows<T> nt_xent_rows(Address saved, Index rows, T* kept) {
  T* first = pointer<T>(saved);
  PairSums<T> sums = sums_at<T>(saved + 2 * rows * sizeof(T), rows);
  sums.kept = kept;
  return {first, first + rows, sums};
}

template <class T>
void bind_nt_xent(py::module_& module, const std::string& suffix,
                  const NtXentKernels<T>& (*kernels)()) {
  module.def(("nt_xent_forward_" + suffix).c_str(),
             [kernels](Address z1, Index stride1, Address z2, Index stride2, Index n, Index dim,
                       double beta, int reduction, int threads, Address loss, Address saved,
                       Index kept_rows, Address kept) {
               py::gil_scoped_release release;
               // With a reduction `kept` is the gradient, and the exponentials are working memory.
               const auto how = static_cast<Reduction>(reduction);
               const bool fuse = kept_rows > 0 && how != Reduction::none;
               const Scratch<T> own(fuse ? kept_rows * kept_rows : 0);
               T* first = fuse ? pointer<T>(kept) : nullptr;
               T* exponentials = fuse ? own.get() : kept_rows > 0 ? pointer<T>(kept) : nullptr;
               kernels().forward(two_views<T>(z1, stride1, z2, stride2, n, dim, beta), how, threads,
                                 nt_xent_rows<T>(saved, 2 * n, exponentials),
                                 {first, fuse ? first + n * dim : nullptr}, pointer<T>(loss));
             });
  module.def(("nt_xent_backward_" + suffix).c_str(),
             [kernels](Address z1, Index stride1, Address z2, Index stride2, Index n, Index dim,
                       double beta, int reduction, int threads, Address saved, Address kept,
                       Address grad, Index grad_stride, Address grad1, Address grad2) {
               py::gil_scoped_release release;
               kernels().backward(two_views<T>(z1, stride1, z2, stride2, n, dim, beta),
                                  static_cast<Reduction>(reduction), threads,
                                  nt_xent_rows<T>(saved, 2 * n, pointer<T>(kept)),
                                  {pointer<const T>(grad), grad_stride}, pointer<T>(grad1),
                                  pointer<T>(grad2));
             });
}

template <class T>
void bind_pairs(py::module_& module, const std::string& suffix) {
  module.def(("pairs_forward_" + suffix).c_str(),
             [](Address q, Index q_stride, Index rows, Address k, Index k_stride, Index columns,
                Index dim, double beta, bool normalize, bool symmetric, bool skip_diagonal,
                int group_rule, const py::tuple& arrays, int threads, Address q_scale,
                Address k_scale, Address sums, Address statistics, Index count, Address out) {
               const PairProblem<T> problem =
                   pair_problem<T>(q, q_stride, rows, k, k_stride, columns, dim, beta, normalize,
                                   symmetric, skip_diagonal, group_rule, arrays);
               py::gil_scoped_release release;
               pairs_kernels().of(T()).forward(
                   problem, threads, pointer<T>(q_scale), pointer<T>(k_scale),
                   sums_at<T>(sums, count, statistics), pointer<T>(out));
             });
  module.def(
      ("pairs_backward_" + suffix).c_str(),
      [](Address q, Index q_stride, Index rows, Address k, Index k_stride, Index columns, Index dim,
         double beta, bool normalize, bool symmetric, bool skip_diagonal, int group_rule,
         const py::tuple& arrays, int threads, Address q_scale, Address k_scale, Address sums,
         Index count, Address grad_out, Address grad_q, Address grad_k) {
        const PairProblem<T> problem =
            pair_problem<T>(q, q_stride, rows, k, k_stride, columns, dim, beta, normalize,
                            symmetric, skip_diagonal, group_rule, arrays);
        py::gil_scoped_release release;
        return pairs_kernels().of(T()).backward(problem, threads, pointer<const T>(q_scale),
                                                pointer<const T>(k_scale), sums_at<T>(sums, count),
                                                pointer<const T>(grad_out), pointer<T>(grad_q),
                                                pointer<T>(grad_k));
      });
}

template <class T>
GroupedViews<T> grouped_views(const py::tuple& v) {
  const auto index = [&](int i) { return v[i].cast<Index>(); };
  return {pointer<const T>(v[0].cast<Address>()),
          pointer<const T>(v[1].cast<Address>()),
          index(2),
          index(3),
          index(4),
          index(5),
          index(6),
          index(7),
          index(8),
          pointer<const Index>(v[9].cast<Address>()),
          v[10].cast<double>(),
          v[11].cast<bool>()};
}

template <class T>
void bind_grouped(py::module_& module, const std::string& suffix) {
  module.def(("grouped_pulled_" + suffix).c_str(),
             [](const py::tuple& arguments, int threads, double weight, Address loss, Address grad1,
                Address grad2) {
               const GroupedViews<T> views = grouped_views<T>(arguments);
               py::gil_scoped_release release;
               grouped_kernels().of(T()).fused(views, threads, weight, pointer<T>(loss),
                                               pointer<T>(grad1), pointer<T>(grad2));
             });
  module.def(("grouped_forward_" + suffix).c_str(), [](const py::tuple& arguments, int threads,
                                                       Address loss, Address saved) {
    const GroupedViews<T> views = grouped_views<T>(arguments);
    py::gil_scoped_release release;
    grouped_kernels().of(T()).forward(views, threads, pointer<T>(loss), pointer<T>(saved));
  });
  module.def(("grouped_backward_" + suffix).c_str(), [](const py::tuple& arguments, int threads,
                                                        Address saved, Address grad, Address grad1,
                                                        Address grad2) {
    const GroupedViews<T> views = grouped_views<T>(arguments);
    py::gil_scoped_release release;
    grouped_kernels().of(T()).backward(views, threads, pointer<T>(saved), pointer<const T>(grad),
                                       pointer<T>(grad1), pointer<T>(grad2));
  });
}

}  // namespace

void bind_contrastive(py::module_& module) {
  bind_nt_xent<float>(module, "f32",
                      []() -> const NtXentKernels<float>& { return nt_xent_kernels().f32; });
  bind_nt_xent<double>(module, "f64",
                       []() -> const NtXentKernels<double>& { return nt_xent_kernels().f64; });
  bind_nt_xent<float>(module, "bf16", &nt_xent_bf16_kernels);
  bind_grouped<float>(module, "f32");
  bind_grouped<double>(module, "f64");
  bind_pairs<float>(module, "f32");
  bind_pairs<double>(module, "f64");
}

}  // namespace tsssl
