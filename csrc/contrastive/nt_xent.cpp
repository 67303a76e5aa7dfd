// NT-Xent of two views: the engine's sums, the row formula, and the gradient in one call.
#include "contrastive/nt_xent.h"

#include "contrastive/nt_xent_rows.h"
#include "contrastive/pair_problem.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
void pull_rows(const PairProblem<T>& problem, const Operand<T>& q, const PairRules<T>& rules,
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
  pull_self<Extra::kept, T>(problem, q, rules, shift, threads, sums,
                            {pulls.negative.get(), positive.get(), constant.get()}, grad1, grad2);
}

template <class T>
void forward(const PairProblem<T>& problem, Reduction reduction, int threads, T* loss, T* share,
             T* scale, const PairSums<T>& sums, const Pulled<T>& pulled) {
  const PairRules<T> rules(problem);
  const Operand<T> q(problem.q, problem.dim, problem.normalize, false, true, nullptr, scale,
                     threads, problem.alone);
  const ExponentShift<T> shift = exponent_shift(problem, q, q, threads);
  sum_all<Extra::kept>(problem, q, q, rules, shift, threads, sums);
  row_losses(count_rows(problem.q), sums, reduction, loss, share);
  if (pulled.grad1 == nullptr) return;
  const T one = T(1);
  pull_rows(problem, q, rules, shift, reduction, threads, share, sums, &one, 0, pulled.grad1,
            pulled.grad2);
}

template <class T>
void backward(const PairProblem<T>& problem, Reduction reduction, int threads, const T* share,
              const T* scale, const PairSums<T>& sums, const T* grad_loss, std::int64_t grad_stride,
              T* grad1, T* grad2) {
  const PairRules<T> rules(problem);
  const Operand<T> q(problem.q, problem.dim, problem.normalize, true, sums.kept == nullptr, nullptr,
                     const_cast<T*>(scale), threads, problem.alone);
  pull_rows(problem, q, rules, exponent_shift(problem, q, q, threads), reduction, threads, share,
            sums, grad_loss, grad_stride, grad1, grad2);
}

}  // namespace

const ByDtype<NtXentKernels>& nt_xent_kernels() {
  static const ByDtype<NtXentKernels> table{{forward<float>, backward<float>},
                                            {forward<double>, backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
