// Forward and backward of the contrastive engine: any pairs, NT-Xent of two views, and groups of
// NT-Xent problems.
#include "contrastive/nt_xent_rows.h"
#include "contrastive/pair_problem.h"
#include "tsssl/contrastive.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
std::int64_t output_rows(const PairProblem<T>& problem) {
  return count_rows(problem.q) + (problem.columns ? count_rows(problem.k) : 0);
}

// One unweighted positive: its logit is the log-sum-exp to the last bit, and the gap is exactly 0.
template <class T>
bool single(const PairProblem<T>& problem, const PairSums<T>& sums, std::int64_t i) {
  return problem.weight == nullptr && sums.count[i] == T(1);
}

template <class T>
void forward(const PairProblem<T>& problem, int threads, T* q_scale, T* k_scale,
             const PairSums<T>& sums, T* out) {
  sum_pairs(problem, threads, q_scale, k_scale, sums);
  const std::int64_t rows = output_rows(problem);
  for (std::int64_t i = 0; i < rows; ++i) {
    out[i] = T(double(sums.negative_shift[i]) + std::log(double(sums.negative_total[i])));
    const double positive = single(problem, sums, i) ? double(sums.logit[i])
                                                     : double(sums.positive_shift[i]) +
                                                           std::log(double(sums.positive_total[i]));
    out[rows + i] = T(positive);
    out[2 * rows + i] = sums.count[i] == T(0) || single(problem, sums, i)
                            ? T(0)
                            : T(positive - double(sums.logit[i]) / sums.count[i]);
  }
}

template <class T>
double backward(const PairProblem<T>& problem, int threads, const T* q_scale, const T* k_scale,
                const PairSums<T>& sums, const T* grad_out, T* grad_q, T* grad_k) {
  const std::int64_t rows = output_rows(problem);
  Scratch<T> negative(rows), positive(rows), constant(rows);
  for (std::int64_t i = 0; i < rows; ++i) {
    const double on_positive = grad_out[rows + i], on_gap = grad_out[2 * rows + i];
    const bool one = single(problem, sums, i), none = sums.count[i] == T(0);
    const T n = sums.negative_total[i], p = sums.positive_total[i];
    negative[i] = n == T(0) ? T(0) : T(grad_out[i] / double(n));  // NaN stays NaN
    positive[i] = none || p == T(0) ? T(0) : T((one ? on_positive : on_positive + on_gap) / p);
    constant[i] = none || one ? T(0) : T(on_gap / sums.count[i]);
  }
  return pull_pairs<T>(problem, threads, q_scale, k_scale, sums,
                       {negative.get(), positive.get(), constant.get()}, grad_q, grad_k);
}

template <class T>
void nt_xent_pull(const PairProblem<T>& problem, const Operand<T>& q, const PairRules<T>& rules,
                  const ExponentShift<T>& shift, Reduction reduction, int threads, const T* share,
                  const PairSums<T>& sums, const T* grad_loss, std::int64_t grad_stride, T* grad1,
                  T* grad2) {
  const std::int64_t m = count_rows(problem.q);
  const RowPulls<T> pulls(m, reduction, share, sums, grad_loss, grad_stride);
  Scratch<T> positive(m), constant(m);
  for (std::int64_t i = 0; i < m; ++i) {
    positive[i] = T(-pulls.total[i] / sums.positive_total[i]);
    constant[i] = T(0);
  }
  pull_self<T>(problem, q, rules, shift, threads, sums,
               {pulls.negative.get(), positive.get(), constant.get()}, grad1, grad2);
}

template <class T>
void nt_xent_forward(const PairProblem<T>& problem, Reduction reduction, int threads, T* loss,
                     T* share, T* scale, const PairSums<T>& sums, const Pulled<T>& pulled) {
  const PairRules<T> rules(problem);
  const Operand<T> q(problem.q, problem.dim, problem.normalize, false, true, nullptr, scale,
                     threads, problem.alone);
  const ExponentShift<T> shift = exponent_shift(problem, q, q, threads);
  sum_all(problem, q, q, rules, shift, threads, sums);
  row_losses(count_rows(problem.q), sums, reduction, loss, share);
  if (pulled.grad1 == nullptr) return;
  const T one = T(1);
  nt_xent_pull(problem, q, rules, shift, reduction, threads, share, sums, &one, 0, pulled.grad1,
               pulled.grad2);
}

template <class T>
void nt_xent_backward(const PairProblem<T>& problem, Reduction reduction, int threads,
                      const T* share, const T* scale, const PairSums<T>& sums, const T* grad_loss,
                      std::int64_t grad_stride, T* grad1, T* grad2) {
  const PairRules<T> rules(problem);
  const Operand<T> q(problem.q, problem.dim, problem.normalize, true, sums.kept == nullptr, nullptr,
                     const_cast<T*>(scale), threads, problem.alone);
  nt_xent_pull(problem, q, rules, exponent_shift(problem, q, q, threads), reduction, threads, share,
               sums, grad_loss, grad_stride, grad1, grad2);
}

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

// Row x of the saved buffer, from group g on.
template <class T>
PairSums<T> group_sums(const GroupedViews<T>& views, std::int64_t g, T* saved) {
  const auto row = [&](int x) { return saved + (x * views.groups + g) * 2 * views.n; };
  return {row(2), row(3), row(4), row(5), row(6), row(7), nullptr, 0, nullptr};
}

template <class T>
void grouped_forward(const GroupedViews<T>& views, int threads, T* loss, T* saved) {
  parallel_for(views.groups, threads, [&](std::int64_t g, int) {
    const PairProblem<T> problem = group_problem(views, g);
    if (problem.offset == 0) return;
    const std::int64_t at = g * 2 * views.n;
    nt_xent_forward(problem, Reduction::none, 1, loss + at, saved + at,
                    saved + views.groups * 2 * views.n + at, group_sums(views, g, saved), {});
  });
}

template <class T>
void grouped_backward(const GroupedViews<T>& views, int threads, T* saved, const T* grad_loss,
                      T* grad1, T* grad2) {
  parallel_for(views.groups, threads, [&](std::int64_t g, int) {
    const PairProblem<T> problem = group_problem(views, g);
    const std::int64_t at = g * 2 * views.n, out = g * views.n * views.dim;
    if (problem.offset > 0) {
      nt_xent_backward(problem, Reduction::none, 1, saved + at,
                       saved + views.groups * 2 * views.n + at, group_sums(views, g, saved),
                       grad_loss + at, 1, grad1 + out, grad2 + out);
    }
    for (std::int64_t x = problem.offset * views.dim; x < views.n * views.dim; ++x) {
      grad1[out + x] = grad2[out + x] = T(0);
    }
  });
}

// Exponentials of a group are kept where a thread's are no more than all groups' embeddings.
template <class T>
void grouped_pulled(const GroupedViews<T>& views, int threads, double pull, T* loss, T* grad1,
                    T* grad2) {
  parallel_for(views.groups, threads, [&](std::int64_t g, int) {
    PairProblem<T> problem = group_problem(views, g);
    const std::int64_t n = problem.offset, m = 2 * n, size = n * views.dim;
    loss[g] = T(0);
    if (n == 0) return;
    const std::int64_t side = m <= views.groups * views.dim ? round_up(m, Panel<T>::kRows) : 0;
    Scratch<T> rows(8 * m), kept(side * side), found(2 * size);
    const auto row = [&](int x) { return rows.get() + x * m; };
    const PairSums<T> sums{row(2),  row(3), row(4),
                           row(5),  row(6), row(7),
                           nullptr, 0,      side > 0 ? kept.get() : nullptr};
    nt_xent_forward<T>(problem, Reduction::sum, 1, loss + g, row(0), row(1), sums,
                       {found.get(), found.get() + size});
    T* to[] = {grad1 + g * views.group_stride1, grad2 + g * views.group_stride2};
    const std::int64_t strides[] = {views.row_stride1, views.row_stride2};
    for (int view = 0; view < 2; ++view) {
      for (std::int64_t i = 0; i < n; ++i) {
        const T* from = found.get() + view * size + i * views.dim;
        T* out = to[view] + i * strides[view];
        for (std::int64_t c = 0; c < views.dim; ++c) out[c] += T(pull) * from[c];
      }
    }
  });
}

}  // namespace

const ContrastiveKernels& contrastive_kernels() {
  static const ContrastiveKernels table{
      {forward<float>, backward<float>},
      {forward<double>, backward<double>},
      {nt_xent_forward<float>, nt_xent_backward<float>},
      {nt_xent_forward<double>, nt_xent_backward<double>},
      {grouped_forward<float>, grouped_backward<float>, grouped_pulled<float>},
      {grouped_forward<double>, grouped_backward<double>, grouped_pulled<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
