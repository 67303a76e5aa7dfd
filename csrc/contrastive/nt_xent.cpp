// NT-Xent of two views: the engine's sums, the row formula, and the gradient in one call.
#include "contrastive/nt_xent.h"

#include "contrastive/nt_xent_rows.h"
#include "contrastive/operands.h"
#ifdef TSSSL_BF16_PAIRS
#include "contrastive/nt_xent_bf16.h"
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class Operands, class T>
void gradient(const PairProblem<T>& problem, const typename Operands::Packed& q,
              const PairRules<T>& rules, const ExponentShift<T>& shift, Reduction reduction,
              int threads, const NtXentRows<T>& rows, const UpstreamGradient<T>& upstream, T* grad1,
              T* grad2) {
  const std::int64_t m = count_rows(problem.q);
  const RowLogitGradient<T> logit(m, reduction, rows, upstream);
  Scratch<T> positive(m), constant(m);
  for (std::int64_t i = 0; i < m; ++i) {
    positive[i] = T(-logit.positive[i] / rows.sums.positive_total[i]);
    constant[i] = T(0);
  }
  const LogitGradient<T> of_pairs{logit.negative.get(), positive.get(), constant.get()};
  self_gradient<Caller::nt_xent, typename Operands::Gradient>(problem, q, rules, shift, threads,
                                                              rows.sums, of_pairs, grad1, grad2);
}

// False where the operands can not hold the rows.
template <class Operands, class T>
bool forward_on(const PairProblem<T>& problem, Reduction reduction, int threads,
                const NtXentRows<T>& rows, const FusedGradient<T>& fused, T* loss) {
  const bool fuse = fused.grad1 != nullptr;
  const auto q = Operands::forward(problem, queries(problem), rows.scale, fuse, threads);
  if (!Operands::usable(q)) return false;
  const PairRules<T> rules(problem);
  const ExponentShift<T> shift = exponent_shift(problem, q, q, threads);
  sum_all<Caller::nt_xent>(problem, q, q, rules, shift, threads, rows.sums);
  row_losses(count_rows(problem.q), rows, reduction, loss);
  const T one = T(1);
  if (fuse) {
    gradient<Operands, T>(problem, q, rules, shift, reduction, threads, rows, {&one, 0},
                          fused.grad1, fused.grad2);
  }
  return true;
}

template <class Operands, class T>
bool backward_on(const PairProblem<T>& problem, Reduction reduction, int threads,
                 const NtXentRows<T>& rows, const UpstreamGradient<T>& upstream, T* grad1,
                 T* grad2) {
  RowsInput<T> input = queries(problem);
  input.packed = rows.sums.kept == nullptr;
  const auto q = Operands::backward(problem, input, rows.scale, threads);
  if (!Operands::usable(q)) return false;
  const PairRules<T> rules(problem);
  gradient<Operands>(problem, q, rules, exponent_shift(problem, q, q, threads), reduction, threads,
                     rows, upstream, grad1, grad2);
  return true;
}

#ifdef TSSSL_TILE_UNIT

#ifdef TSSSL_BF16_PAIRS

// The unit forms similarities alone: it pays where they are formed twice.
bool on_unit(const PairProblem<float>& problem) {
  return nt_xent_saved_side(count_rows(problem.q), problem.dim) == 0 && unit_pays(problem);
}

#else

bool pairs_pay(const PairProblem<float>&) { return false; }
bool on_unit(const PairProblem<float>& problem) { return unit_pays(problem); }

#endif

void forward(const PairProblem<float>& problem, Reduction reduction, int threads,
             const NtXentRows<float>& rows, const FusedGradient<float>& fused, float* loss) {
#ifdef TSSSL_BF16_PAIRS
  if (pairs_pay(problem)) {
    const float one = 1;
    rounded_forward(problem, reduction, threads, rows, loss);
    if (fused.grad1 == nullptr) return;
    rounded_backward(problem, reduction, threads, rows, {&one, 0}, fused.grad1, fused.grad2);
    return;
  }
#endif
  if (on_unit(problem) && forward_on<UnitTiles>(problem, reduction, threads, rows, fused, loss)) {
    return;
  }
  vectors::nt_xent_kernels().f32.forward(problem, reduction, threads, rows, fused, loss);
}

void backward(const PairProblem<float>& problem, Reduction reduction, int threads,
              const NtXentRows<float>& rows, const UpstreamGradient<float>& upstream, float* grad1,
              float* grad2) {
#ifdef TSSSL_BF16_PAIRS
  if (pairs_pay(problem)) {
    rounded_backward(problem, reduction, threads, rows, upstream, grad1, grad2);
    return;
  }
#endif
  if (on_unit(problem) &&
      backward_on<UnitTiles>(problem, reduction, threads, rows, upstream, grad1, grad2)) {
    return;
  }
  vectors::nt_xent_kernels().f32.backward(problem, reduction, threads, rows, upstream, grad1,
                                          grad2);
}

const char* nt_xent_products(const PairProblem<float>& problem) {
  return pairs_pay(problem) ? "bf16" : on_unit(problem) ? products(problem) : "ieee";
}

}  // namespace

const ByDtype<NtXentKernels>& nt_xent_kernels() {
  static const ByDtype<NtXentKernels> table{{forward, backward, nt_xent_products},
                                            vectors::nt_xent_kernels().f64};
  return table;
}

#else

template <class T>
void forward(const PairProblem<T>& problem, Reduction reduction, int threads,
             const NtXentRows<T>& rows, const FusedGradient<T>& fused, T* loss) {
  forward_on<RegisterTiles<T>>(problem, reduction, threads, rows, fused, loss);
}

template <class T>
void backward(const PairProblem<T>& problem, Reduction reduction, int threads,
              const NtXentRows<T>& rows, const UpstreamGradient<T>& upstream, T* grad1, T* grad2) {
  backward_on<RegisterTiles<T>>(problem, reduction, threads, rows, upstream, grad1, grad2);
}

template <class T>
const char* products(const PairProblem<T>&) {
  return "ieee";
}

}  // namespace

const ByDtype<NtXentKernels>& nt_xent_kernels() {
  static const ByDtype<NtXentKernels> table{{forward<float>, backward<float>, products<float>},
                                            {forward<double>, backward<double>, products<double>}};
  return table;
}

#endif

}  // namespace TSSSL_ISA
}  // namespace tsssl
