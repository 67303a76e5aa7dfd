// Log-sum-exp over the classes of pairs of any problem, and its gradient.
#include "contrastive/pair_problem.h"
#include "tsssl/contrastive.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
std::int64_t output_rows(const PairProblem<T>& problem) {
  return count_rows(problem.q) + (problem.symmetric ? count_rows(problem.k) : 0);
}

// One unweighted positive: its logit is the log-sum-exp to the last bit, and the gap is exactly 0.
template <class T>
bool single(const PairProblem<T>& problem, const PairSums<T>& sums, std::int64_t i) {
  return problem.weight == nullptr && sums.count[i] == T(1);
}

template <class T>
void sum_pairs(const PairProblem<T>& problem, int threads, T* q_scale, T* k_scale,
               const PairSums<T>& sums) {
  const PairRules<T> rules(problem);
  const auto q = PackedRows<T>::forward(queries(problem), q_scale, threads);
  if (rules.self()) {
    sum_all<Caller::pairs>(problem, q, q, rules, exponent_shift(problem, q, q, threads), threads,
                           sums);
  } else {
    const auto k = PackedRows<T>::forward(keys(problem), k_scale, threads);
    sum_all<Caller::pairs>(problem, q, k, rules, exponent_shift(problem, q, k, threads), threads,
                           sums);
  }
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
double pairs_gradient(const PairProblem<T>& problem, int threads, const T* q_scale,
                      const T* k_scale, const PairSums<T>& sums, const LogitGradient<T>& logit,
                      T* grad_q, T* grad_k) {
  const PairRules<T> rules(problem);
  const bool normalized = problem.normalize;
  const T beta = T(problem.beta);
  const auto q = PackedRows<T>::backward(queries(problem), q_scale, threads);
  if (rules.self()) {
    return self_gradient<Caller::pairs, T>(problem, q, rules,
                                           exponent_shift(problem, q, q, threads), threads, sums,
                                           logit, grad_q, nullptr);
  }
  const auto k = PackedRows<T>::backward(keys(problem), k_scale, threads);
  PairGradient<T> walk(q, k, false, grad_k != nullptr, threads);
  all_gradients<Caller::pairs>(problem, q, k, rules, exponent_shift(problem, q, k, threads), sums,
                               logit, walk);
  if (grad_k != nullptr) walk.finish(k, true, normalized, beta, grad_k, nullptr, k.blocks.rows);
  return walk.finish(q, false, normalized, beta, grad_q, nullptr, problem.q.count1);
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
  return pairs_gradient<T>(problem, threads, q_scale, k_scale, sums,
                           {negative.get(), positive.get(), constant.get()}, grad_q, grad_k);
}

}  // namespace

const ByDtype<PairKernels>& pairs_kernels() {
  static const ByDtype<PairKernels> table{{forward<float>, backward<float>},
                                          {forward<double>, backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
