// NT-Xent of two views: the engine's sums, the row formula, and the gradient in one call.
#include "contrastive/nt_xent.h"

#include "contrastive/nt_xent_rows.h"
#include "contrastive/pair_problem.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
void gradient(const PairProblem<T>& problem, const PackedRows<T>& q, const PairRules<T>& rules,
              const ExponentShift<T>& shift, Reduction reduction, int threads,
              const NtXentRows<T>& rows, const UpstreamGradient<T>& upstream, T* grad1, T* grad2) {
  const std::int64_t m = count_rows(problem.q);
  const RowLogitGradient<T> logit(m, reduction, rows, upstream);
  Scratch<T> positive(m), constant(m);
  for (std::int64_t i = 0; i < m; ++i) {
    positive[i] = T(-logit.positive[i] / rows.sums.positive_total[i]);
    constant[i] = T(0);
  }
  self_gradient<Caller::nt_xent, T>(problem, q, rules, shift, threads, rows.sums,
                                    {logit.negative.get(), positive.get(), constant.get()}, grad1,
                                    grad2);
}

template <class T>
void forward(const PairProblem<T>& problem, Reduction reduction, int threads,
             const NtXentRows<T>& rows, const FusedGradient<T>& fused, T* loss) {
  const PairRules<T> rules(problem);
  const auto q = PackedRows<T>::forward(queries(problem), rows.scale, threads);
  const ExponentShift<T> shift = exponent_shift(problem, q, q, threads);
  sum_all<Caller::nt_xent>(problem, q, q, rules, shift, threads, rows.sums);
  row_losses(count_rows(problem.q), rows, reduction, loss);
  if (fused.grad1 == nullptr) return;
  const T one = T(1);
  gradient<T>(problem, q, rules, shift, reduction, threads, rows, {&one, 0}, fused.grad1,
              fused.grad2);
}

template <class T>
void backward(const PairProblem<T>& problem, Reduction reduction, int threads,
              const NtXentRows<T>& rows, const UpstreamGradient<T>& upstream, T* grad1, T* grad2) {
  const PairRules<T> rules(problem);
  RowsInput<T> input = queries(problem);
  input.packed = rows.sums.kept == nullptr;
  const auto q = PackedRows<T>::backward(input, rows.scale, threads);
  gradient(problem, q, rules, exponent_shift(problem, q, q, threads), reduction, threads, rows,
           upstream, grad1, grad2);
}

}  // namespace

const ByDtype<NtXentKernels>& nt_xent_kernels() {
  static const ByDtype<NtXentKernels> table{{forward<float>, backward<float>},
                                            {forward<double>, backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
