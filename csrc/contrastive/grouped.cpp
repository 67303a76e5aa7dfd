// Many small NT-Xent problems: each is a call of nt_xent's kernels on one thread.
#include "contrastive/nt_xent.h"
#include "gemm/tiles.h"
#include "runtime/parallel.h"
#include "runtime/scratch.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
PairProblem<T> group_problem(const GroupedViews<T>& views, std::int64_t g) {
  const std::int64_t n = views.lengths == nullptr ? views.n : views.lengths[g];
  PairProblem<T> problem{};
  problem.q = {views.z1 + g * views.group_stride1,
               views.z2 + g * views.group_stride2,
               views.row_stride1,
               views.row_stride2,
               n,
               n};
  problem.dim = views.dim;
  problem.beta = views.beta;
  problem.normalize = views.normalize;
  problem.alone = true;
  problem.offset = n;
  return problem;
}

// What one group leaves: the first of its rows, the others `stride` elements apart.
template <class T>
NtXentRows<T> group_rows(T* first, std::int64_t stride, T* kept = nullptr) {
  const auto row = [&](int x) { return first + x * stride; };
  return {row(0), row(1), {row(2), row(3), row(4), row(5), row(6), row(7), nullptr, 0, kept}};
}

template <class T>
void forward(const GroupedViews<T>& views, int threads, T* loss, T* saved) {
  const std::int64_t stride = views.groups * 2 * views.n;
  parallel_for(views.groups, threads, [&](std::int64_t g, int) {
    const PairProblem<T> problem = group_problem(views, g);
    if (problem.offset == 0) return;
    const std::int64_t at = g * 2 * views.n;
    nt_xent_kernels().of(T()).forward(problem, Reduction::none, 1, group_rows(saved + at, stride),
                                      {}, loss + at);
  });
}

template <class T>
void backward(const GroupedViews<T>& views, int threads, T* saved, const T* grad_loss, T* grad1,
              T* grad2) {
  const std::int64_t stride = views.groups * 2 * views.n;
  parallel_for(views.groups, threads, [&](std::int64_t g, int) {
    const PairProblem<T> problem = group_problem(views, g);
    const std::int64_t at = g * 2 * views.n, out = g * views.n * views.dim;
    if (problem.offset > 0) {
      nt_xent_kernels().of(T()).backward(problem, Reduction::none, 1,
                                         group_rows(saved + at, stride), {grad_loss + at, 1},
                                         grad1 + out, grad2 + out);
    }
    for (std::int64_t x = problem.offset * views.dim; x < views.n * views.dim; ++x) {
      grad1[out + x] = grad2[out + x] = T(0);
    }
  });
}

// Exponentials of a group are kept where a thread's are no more than all groups' embeddings.
template <class T>
void fused(const GroupedViews<T>& views, int threads, double weight, T* loss, T* grad1, T* grad2) {
  parallel_for(views.groups, threads, [&](std::int64_t g, int) {
    const PairProblem<T> problem = group_problem(views, g);
    const std::int64_t n = problem.offset, m = 2 * n, size = n * views.dim;
    loss[g] = T(0);
    if (n == 0) return;
    const std::int64_t side = m <= views.groups * views.dim ? round_up(m, Panel<T>::kRows) : 0;
    Scratch<T> rows(8 * m), kept(side * side), gradient(2 * size);
    nt_xent_kernels().of(T()).forward(problem, Reduction::sum, 1,
                                      group_rows(rows.get(), m, side > 0 ? kept.get() : nullptr),
                                      {gradient.get(), gradient.get() + size}, loss + g);
    T* to[] = {grad1 + g * views.group_stride1, grad2 + g * views.group_stride2};
    const std::int64_t strides[] = {views.row_stride1, views.row_stride2};
    for (int view = 0; view < 2; ++view) {
      for (std::int64_t i = 0; i < n; ++i) {
        const T* from = gradient.get() + view * size + i * views.dim;
        T* out = to[view] + i * strides[view];
        for (std::int64_t c = 0; c < views.dim; ++c) out[c] += T(weight) * from[c];
      }
    }
  });
}

}  // namespace

const ByDtype<GroupedKernels>& grouped_kernels() {
  static const ByDtype<GroupedKernels> table{{forward<float>, backward<float>, fused<float>},
                                             {forward<double>, backward<double>, fused<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
