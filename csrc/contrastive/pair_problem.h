// Sums and gradients of a pair problem: operands, schedule, finish. The tiles are in tile_sums.h
// and gradient_tile.h, the walk of the gradient in pair_gradient.h.
#pragma once
#include "contrastive/gradient_tile.h"
#include "contrastive/pair_gradient.h"
#include "contrastive/tile_sums.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

static_assert(kQuantities - kBasic == kStatistics);

template <class T>
void finish_side(const Side<T>& side, std::int64_t rows, std::int64_t offset, double factor,
                 const PairSums<T>& sums) {
  for (std::int64_t i = 0; i < rows; ++i) {
    sums.negative_shift[offset + i] = side.negative_shift[i];
    sums.positive_shift[offset + i] = side.positive_shift[i];
    sums.negative_total[offset + i] = T(side.of(kNegative)[i] * factor);
    sums.positive_total[offset + i] = T(side.of(kPositive)[i] * factor);
    sums.logit[offset + i] = T(side.of(kLogit)[i]);
    sums.count[offset + i] = T(side.of(kCount)[i]);
  }
  if (sums.statistics == nullptr) return;
  for (int x = 0; x < kStatistics; ++x) {
    T* out = sums.statistics + x * sums.statistics_stride + offset;
    for (std::int64_t i = 0; i < rows; ++i) out[i] = T(side.of(kBasic + x)[i]);
  }
}

// Every block pair of the problem once: f(window, block of rows, block of columns, thread).
template <class T, class F>
void visit(const Operand<T>& q, const Operand<T>& k, bool self, int threads, const F& f) {
  const auto meet = [&](std::int64_t bi, std::int64_t bj, int thread) {
    f(Window{q.blocks.begin(bi), q.blocks.end(bi), k.blocks.begin(bj), k.blocks.end(bj),
             self && bi == bj},
      thread);
  };
  if (self) {
    meet_within(q.blocks.count, threads, meet);
  } else {
    meet_across(q.blocks.count, k.blocks.count, threads, meet);
  }
}

template <class T, bool kFixed>
auto sums_of(bool statistics, bool kept) {
  return kept         ? block_sums<T, kFixed, false, true>
         : statistics ? block_sums<T, kFixed, true, false>
                      : block_sums<T, kFixed, false, false>;
}

template <class T>
void sum_all(const PairProblem<T>& problem, const Operand<T>& q, const Operand<T>& k,
             const PairRules<T>& rules, const ExponentShift<T>& shift, int threads,
             const PairSums<T>& sums) {
  const T beta = T(problem.beta);
  const bool fixed = shift.fixed;
  const bool self = rules.self();
  const T start = fixed ? shift.bound : kLowest<T>;
  Side<T> rows(q.padded, start);
  Side<T> keys(self ? 0 : k.padded, start);
  Side<T>& columns = self ? rows : keys;
  const bool statistics = sums.statistics != nullptr;
  T* kept = sums.kept;
  if (!fixed) {
    const auto maxima = kept != nullptr ? block_maxima<T, true> : block_maxima<T, false>;
    visit(q, k, self, threads, [&](const Window& window, int) {
      maxima(q, k, rules, window, beta, rows, columns, kept);
    });
  }
  const auto block = fixed ? sums_of<T, true>(statistics, kept != nullptr)
                           : sums_of<T, false>(statistics, kept != nullptr);
  visit(q, k, self, threads, [&](const Window& window, int) {
    block(q, k, rules, window, beta, shift.power, rows, columns, kept);
  });
  // The fixed shift is a power of two inside the kernels; what is reported is relative to the
  // bound.
  const double factor = fixed ? shift.factor() : 1;
  finish_side(rows, q.blocks.rows, 0, factor, sums);
  if (problem.columns) finish_side(keys, k.blocks.rows, q.blocks.rows, factor, sums);
}

template <class T>
void sum_pairs(const PairProblem<T>& problem, int threads, T* q_scale, T* k_scale,
               const PairSums<T>& sums) {
  const PairRules<T> rules(problem);
  const Operand<T> q(problem.q, problem.dim, problem.normalize, false, true, problem.q_valid,
                     q_scale, threads);
  if (rules.self()) {
    sum_all(problem, q, q, rules, exponent_shift(problem, q, q, threads), threads, sums);
  } else {
    const Operand<T> k(problem.k, problem.dim, problem.normalize, false, true, problem.k_valid,
                       k_scale, threads);
    sum_all(problem, q, k, rules, exponent_shift(problem, q, k, threads), threads, sums);
  }
}

template <class T, bool kFixed, bool kKept>
void pull_tiles(const PairProblem<T>& problem, const Operand<T>& q, const Operand<T>& k,
                const PairRules<T>& rules, const ExponentShift<T>& shift, const PairSums<T>& sums,
                const PairPull<T>& pull, PairGradient<T>& gradient) {
  const bool self = rules.self();
  const std::int32_t used = kFixed ? shift.power : -1;
  const PullSide<T> rows(q.padded, 0, q.blocks.rows, true, used, sums, pull);
  const PullSide<T> columns(k.padded, self ? 0 : q.blocks.rows, k.blocks.rows,
                            self || problem.columns, used, sums, pull);
  const auto write = [&](const Window& window, std::int64_t, T* tile) {
    Window part = window;
    part.upper = kKept && window.i0 == window.j0;  // kept is what the forward visited
    gradient_tile<T, kFixed, kKept>(q, k, rules, part, T(problem.beta), shift.power, rows, columns,
                                    sums.kept, GradientTile<T>{tile});
  };
  if (kKept && !problem.alone && q.blocks.rows <= kOwnedRows) {
    gradient.run_owned(write);
  } else {
    gradient.run(write);
  }
}

template <class T, bool kFixed>
auto tiles_of(bool kept) {
  return kept ? pull_tiles<T, kFixed, true> : pull_tiles<T, kFixed, false>;
}

template <class T>
void pull_all(const PairProblem<T>& problem, const Operand<T>& q, const Operand<T>& k,
              const PairRules<T>& rules, const ExponentShift<T>& shift, const PairSums<T>& sums,
              const PairPull<T>& pull, PairGradient<T>& gradient) {
  const auto tiles = shift.fixed ? tiles_of<T, true>(sums.kept != nullptr)
                                 : tiles_of<T, false>(sums.kept != nullptr);
  tiles(problem, q, k, rules, shift, sums, pull, gradient);
}

template <class T>
double pull_self(const PairProblem<T>& problem, const Operand<T>& q, const PairRules<T>& rules,
                 const ExponentShift<T>& shift, int threads, const PairSums<T>& sums,
                 const PairPull<T>& pull, T* grad1, T* grad2) {
  PairGradient<T> walk(q, q, true, false, threads);
  pull_all(problem, q, q, rules, shift, sums, pull, walk);
  return walk.finish(q, false, problem.normalize, T(problem.beta), grad1, grad2, problem.q.count1) /
         2;
}

template <class T>
double pull_pairs(const PairProblem<T>& problem, int threads, const T* q_scale, const T* k_scale,
                  const PairSums<T>& sums, const PairPull<T>& pull, T* grad_q, T* grad_k) {
  const PairRules<T> rules(problem);
  const bool normalized = problem.normalize;
  const T beta = T(problem.beta);
  const Operand<T> q(problem.q, problem.dim, normalized, true, true, problem.q_valid,
                     const_cast<T*>(q_scale), threads);
  if (rules.self()) {
    return pull_self<T>(problem, q, rules, exponent_shift(problem, q, q, threads), threads, sums,
                        pull, grad_q, nullptr);
  }
  const Operand<T> k(problem.k, problem.dim, normalized, true, true, problem.k_valid,
                     const_cast<T*>(k_scale), threads);
  PairGradient<T> walk(q, k, false, grad_k != nullptr, threads);
  pull_all(problem, q, k, rules, exponent_shift(problem, q, k, threads), sums, pull, walk);
  if (grad_k != nullptr) walk.finish(k, true, normalized, beta, grad_k, nullptr, k.blocks.rows);
  return walk.finish(q, false, normalized, beta, grad_q, nullptr, problem.q.count1);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
