// Log-sum-exp over the classes of pairs of any problem, and its gradient.
#include "contrastive/many_keys.h"
#include "contrastive/operands.h"
#include "tsssl/contrastive.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// One unweighted positive: its logit is the log-sum-exp to the last bit, and the gap is exactly 0.
template <class T>
bool single(const PairProblem<T>& problem, const PairSums<T>& sums, std::int64_t i) {
  return problem.weight == nullptr && sums.count[i] == T(1);
}

// False where the operands can not hold the rows.
template <class Operands, class T>
bool sum_pairs(const PairProblem<T>& problem, int threads, T* q_scale, T* k_scale,
               const PairSums<T>& sums) {
  if (many_keys(problem)) return sum_many_keys<Operands>(problem, threads, q_scale, k_scale, sums);
  const PairRules<T> rules(problem);
  const auto q = Operands::forward(problem, queries(problem), q_scale, false, threads);
  if (!Operands::usable(q)) return false;
  if (rules.self()) {
    sum_all<Caller::pairs>(problem, q, q, rules, exponent_shift(problem, q, q, threads), threads,
                           sums);
    return true;
  }
  const auto k = Operands::forward(problem, keys(problem), k_scale, false, threads);
  if (!Operands::usable(k)) return false;
  sum_all<Caller::pairs>(problem, q, k, rules, exponent_shift(problem, q, k, threads), threads,
                         sums);
  return true;
}

template <class Operands, class T>
bool forward_on(const PairProblem<T>& problem, int threads, T* q_scale, T* k_scale,
                const PairSums<T>& sums, T* out) {
  if (!sum_pairs<Operands>(problem, threads, q_scale, k_scale, sums)) return false;
  const std::int64_t rows = count_outputs(problem);
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
  return true;
}

// dL/dbeta into `slope`.
template <class Operands, class T>
bool pairs_gradient(const PairProblem<T>& problem, int threads, const T* q_scale, const T* k_scale,
                    const PairSums<T>& sums, const LogitGradient<T>& logit, T* grad_q,
                    const KeyGradient<T>& grad_k, double& slope) {
  typedef typename Operands::Packed Packed;
  typedef typename Operands::Gradient Tile;
  if (many_keys(problem)) {
    return many_keys_gradient<Operands>(problem, threads, q_scale, k_scale, sums, logit, grad_q,
                                        grad_k, slope);
  }
  const PairRules<T> rules(problem);
  const bool normalized = problem.normalize;
  const Packed q = Operands::backward(problem, queries(problem), q_scale, threads);
  if (!Operands::usable(q)) return false;
  if (rules.self()) {
    slope = self_gradient<Caller::pairs, Tile>(problem, q, rules,
                                               exponent_shift(problem, q, q, threads), threads,
                                               sums, logit, grad_q, static_cast<T*>(nullptr));
    return true;
  }
  const Packed k = Operands::backward(problem, keys(problem), k_scale, threads);
  if (!Operands::usable(k)) return false;
  PairGradient<T, Packed, Tile> walk(q, k, false, grad_k.any(), threads,
                                     tile_unit_scale(q, count_outputs(problem), logit));
  all_gradients<Caller::pairs>(problem, q, k, rules, exponent_shift(problem, q, k, threads), sums,
                               logit, walk);
  if (grad_k.any()) {
    walk.finish(k, true, normalized, problem.beta, grad_k.wide, nullptr, k.blocks.rows);
  }
  slope = walk.finish(q, false, normalized, problem.beta, grad_q, nullptr, problem.q.count1);
  return true;
}

template <class Operands, class T>
bool backward_on(const PairProblem<T>& problem, int threads, const T* q_scale, const T* k_scale,
                 const PairSums<T>& sums, const T* grad_out, T* grad_q,
                 const KeyGradient<T>& grad_k, double& slope) {
  const std::int64_t rows = count_outputs(problem);
  Scratch<T> negative(rows), positive(rows), constant(rows);
  for (std::int64_t i = 0; i < rows; ++i) {
    const double on_positive = grad_out[rows + i], on_gap = grad_out[2 * rows + i];
    const bool one = single(problem, sums, i), none = sums.count[i] == T(0);
    const T n = sums.negative_total[i], p = sums.positive_total[i];
    negative[i] = n == T(0) ? T(0) : T(grad_out[i] / double(n));  // NaN stays NaN
    positive[i] = none || p == T(0) ? T(0) : T((one ? on_positive : on_positive + on_gap) / p);
    constant[i] = none || one ? T(0) : T(on_gap / sums.count[i]);
  }
  return pairs_gradient<Operands, T>(problem, threads, q_scale, k_scale, sums,
                                     {negative.get(), positive.get(), constant.get()}, grad_q,
                                     grad_k, slope);
}

#ifdef TSSSL_TILE_UNIT

void forward(const PairProblem<float>& problem, int threads, float* q_scale, float* k_scale,
             const PairSums<float>& sums, float* out) {
  if (unit_pays(problem) && forward_on<UnitTiles>(problem, threads, q_scale, k_scale, sums, out)) {
    return;
  }
  vectors::pairs_kernels().f32.forward(problem, threads, q_scale, k_scale, sums, out);
}

double backward(const PairProblem<float>& problem, int threads, const float* q_scale,
                const float* k_scale, const PairSums<float>& sums, const float* grad_out,
                float* grad_q, const KeyGradient<float>& grad_k) {
  double slope = 0;
  if (unit_pays(problem) && backward_on<UnitTiles>(problem, threads, q_scale, k_scale, sums,
                                                   grad_out, grad_q, grad_k, slope)) {
    return slope;
  }
  return vectors::pairs_kernels().f32.backward(problem, threads, q_scale, k_scale, sums, grad_out,
                                               grad_q, grad_k);
}

}  // namespace

const ByDtype<PairKernels>& pairs_kernels() {
  static const ByDtype<PairKernels> table{{forward, backward, products},
                                          vectors::pairs_kernels().f64};
  return table;
}

#else

template <class T>
void forward(const PairProblem<T>& problem, int threads, T* q_scale, T* k_scale,
             const PairSums<T>& sums, T* out) {
  forward_on<RegisterTiles<T>>(problem, threads, q_scale, k_scale, sums, out);
}

template <class T>
double backward(const PairProblem<T>& problem, int threads, const T* q_scale, const T* k_scale,
                const PairSums<T>& sums, const T* grad_out, T* grad_q,
                const KeyGradient<T>& grad_k) {
  double slope = 0;
  backward_on<RegisterTiles<T>>(problem, threads, q_scale, k_scale, sums, grad_out, grad_q, grad_k,
                                slope);
  return slope;
}

template <class T>
const char* products(const PairProblem<T>&) {
  return "ieee";
}

}  // namespace

const ByDtype<PairKernels>& pairs_kernels() {
  static const ByDtype<PairKernels> table{{forward<float>, backward<float>, products<float>},
                                          {forward<double>, backward<double>, products<double>}};
  return table;
}

#endif

}  // namespace TSSSL_ISA
}  // namespace tsssl
