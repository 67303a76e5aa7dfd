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
template <class Packed, class F>
void visit(const Packed& q, const Packed& k, bool self, int threads, const F& f) {
  const auto run_pair = [&](std::int64_t bi, std::int64_t bj, int thread) {
    f(Window{q.blocks.begin(bi), q.blocks.end(bi), k.blocks.begin(bj), k.blocks.end(bj),
             self && bi == bj},
      thread);
  };
  if (self) {
    block_pairs_within(q.blocks.count, threads, run_pair);
  } else {
    block_pairs_across(q.blocks.count, k.blocks.count, threads, run_pair);
  }
}

// Rows of sums and outputs: the queries, and the keys where the problem is symmetric.
template <class T>
std::int64_t count_outputs(const PairProblem<T>& problem) {
  return count_rows(problem.q) + (problem.symmetric ? count_rows(problem.k) : 0);
}

// What only one of the callers can ask for is compiled for it alone: ids, groups and statistics for
// pairs, kept exponentials for NT-Xent.
enum class Caller { pairs, nt_xent };

template <class T, bool kFixed, Caller kCaller, class Packed>
auto sums_of(bool wanted) {
  constexpr bool kPairs = kCaller == Caller::pairs;
  return wanted ? block_sums<T, kFixed, kPairs, !kPairs, kPairs, Packed>
                : block_sums<T, kFixed, false, false, kPairs, Packed>;
}

template <Caller kCaller, class T, class Packed>
void sum_all(const PairProblem<T>& problem, const Packed& q, const Packed& k,
             const PairRules<T>& rules, const ExponentShift<T>& shift, int threads,
             const PairSums<T>& sums) {
  const T beta = T(problem.beta);
  const bool fixed = shift.fixed;
  const bool self = rules.self();
  const T start = fixed ? shift.bound : kLowest<T>;
  Side<T> rows(q.padded, start);
  Side<T> keys(self ? 0 : k.padded, start);
  Side<T>& columns = self ? rows : keys;
  constexpr bool kMayKeep = kCaller == Caller::nt_xent;
  T* kept = kMayKeep ? sums.kept : nullptr;
  const bool wanted = kMayKeep ? kept != nullptr : sums.statistics != nullptr;
  if (!fixed) {
    const auto maxima =
        kept != nullptr ? block_maxima<T, kMayKeep, Packed> : block_maxima<T, false, Packed>;
    visit(q, k, self, threads, [&](const Window& window, int) {
      maxima(q, k, rules, window, beta, rows, columns, kept);
    });
  }
  const auto block = fixed ? sums_of<T, true, kCaller, Packed>(wanted)
                           : sums_of<T, false, kCaller, Packed>(wanted);
  visit(q, k, self, threads, [&](const Window& window, int) {
    block(q, k, rules, window, beta, shift.power, rows, columns, kept);
  });
  // The fixed shift is a power of two inside the kernels; what is reported is relative to the
  // bound.
  const double factor = fixed ? shift.factor() : 1;
  finish_side(rows, q.blocks.rows, 0, factor, sums);
  if (problem.symmetric) finish_side(keys, k.blocks.rows, q.blocks.rows, factor, sums);
}

template <class T, bool kFixed, bool kKept, bool kLabels, class Packed, class Tile>
void walk_gradient(const PairProblem<T>& problem, const Packed& q, const Packed& k,
                   const PairRules<T>& rules, const ExponentShift<T>& shift,
                   const PairSums<T>& sums, const LogitGradient<T>& logit,
                   PairGradient<T, Packed, Tile>& gradient) {
  const bool self = rules.self();
  const std::int32_t used = kFixed ? shift.power : -1;
  const double unit = gradient.unit();
  const LogitGradientSide<T> rows(q.padded, 0, q.blocks.rows, true, used, sums, logit, unit);
  const LogitGradientSide<T> columns(k.padded, self ? 0 : q.blocks.rows, k.blocks.rows,
                                     self || problem.symmetric, used, sums, logit, unit);
  const auto write = [&](const Window& window, const Tile& tile) {
    Window part = window;
    part.upper |= kKept && window.i0 == window.j0;  // kept is what the forward visited
    gradient_tile<T, kFixed, kKept, kLabels>(q, k, rules, part, T(problem.beta), shift.power, rows,
                                             columns, sums.kept, tile);
  };
  if (kKept && !problem.alone && q.blocks.rows <= kOwnedRows) {
    gradient.run_owned(write);
  } else {
    gradient.run(write);
  }
}

template <class T, bool kFixed, Caller kCaller, class Packed, class Tile>
auto walk_of(bool kept) {
  constexpr bool kPairs = kCaller == Caller::pairs;
  return kept ? walk_gradient<T, kFixed, !kPairs, kPairs, Packed, Tile>
              : walk_gradient<T, kFixed, false, kPairs, Packed, Tile>;
}

template <Caller kCaller, class T, class Packed, class Tile>
void all_gradients(const PairProblem<T>& problem, const Packed& q, const Packed& k,
                   const PairRules<T>& rules, const ExponentShift<T>& shift,
                   const PairSums<T>& sums, const LogitGradient<T>& logit,
                   PairGradient<T, Packed, Tile>& gradient) {
  const bool kept = kCaller == Caller::nt_xent && sums.kept != nullptr;
  const auto tiles = shift.fixed ? walk_of<T, true, kCaller, Packed, Tile>(kept)
                                 : walk_of<T, false, kCaller, Packed, Tile>(kept);
  tiles(problem, q, k, rules, shift, sums, logit, gradient);
}

template <Caller kCaller, class Tile, class T, class Packed>
double self_gradient(const PairProblem<T>& problem, const Packed& q, const PairRules<T>& rules,
                     const ExponentShift<T>& shift, int threads, const PairSums<T>& sums,
                     const LogitGradient<T>& logit, T* grad1, T* grad2) {
  PairGradient<T, Packed, Tile> walk(q, q, true, false, threads,
                                     tile_unit_scale(q, count_outputs(problem), logit));
  all_gradients<kCaller>(problem, q, q, rules, shift, sums, logit, walk);
  return walk.finish(q, false, problem.normalize, problem.beta, grad1, grad2, problem.q.count1) / 2;
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
