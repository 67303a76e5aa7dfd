// The contrastive engine: sums of exponentials over classes of pairs, on register tiles of the
// similarity matrix. Nothing of its size is stored. The gradient is in gradient_tile.h.
//
// One set against itself: S is symmetric, so each pair of row blocks is visited once and serves
// both roles. Two sets: every pair of blocks, with both roles where the keys have rows of their
// own.
//
// Exponent shift. With unit rows |a| <= beta, so exp(a) 2^-power with 2^power near exp(beta) never
// overflows, and it stays a normal number while 2 beta is below kFixedShiftLimit: one exponential
// serves row and column, and a shift by a power of two costs no rounding. Beyond (in
// float32: tau < 0.033, or no normalisation) every row has its own maximum per class, found in a
// walk of its own, and a pair costs two exponentials.
#pragma once
#include "kernels/pair_rules.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr int kTileStride = 240 + 32;  // elements between its rows: an odd number of cache lines

template <class T>
constexpr double kFixedShiftLimit = sizeof(T) == 4 ? 60.0 : 600.0;
template <class T>
constexpr T kLowest = sizeof(T) == 4 ? T(-3e38) : T(-1e308);

template <class T>
using Tile = Vec<T>[Shape::kRows][Shape::kVectors];

template <class T>
inline bool fixed_shift(const PairProblem<T>& problem) {
  return problem.normalize && 2 * std::fabs(problem.beta) < kFixedShiftLimit<T>;
}

template <class T>
inline std::int32_t shift_power(const PairProblem<T>& problem) {
  return static_cast<std::int32_t>(std::lrint(std::fabs(problem.beta) / 0.6931471805599453));
}

// exp(a - |beta|) = exp(a) 2^-power * shift_factor.
template <class T>
inline double shift_factor(const PairProblem<T>& problem) {
  return std::exp(shift_power(problem) * 0.6931471805599453 - double(T(std::fabs(problem.beta))));
}

// Rows [i0, i1) against columns [j0, j1); i0 and j0 are multiples of the panel.
struct Window {
  std::int64_t i0, i1, j0, j1;
  bool upper;  // a diagonal block of one set: only i < j
};

// Where the exponentials of the tile at (i, j) are kept between forward and backward.
template <class T>
TSSSL_INLINE T* kept_tile(T* kept, std::int64_t padded, std::int64_t i, std::int64_t j) {
  return kept + i * padded + j * Shape::kRows;
}

// body(i, j, tile, mixed) with the tile of similarities; kKept: of the exponentials in `kept`.
template <class T, bool kKept = false, class Packed, class Body>
TSSSL_INLINE void walk_tiles(const Packed& q, const Packed& k, const PairRules<T>& rules,
                             const Window& window, const T* kept, const Body& body) {
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  for (std::int64_t j = window.j0; j < window.j1; j += kPanel) {
    for (std::int64_t i = window.i0; i < window.i1; i += Shape::kRows) {
      if (window.upper && j + kPanel - 1 <= i) break;
      Tile<T> acc;
      if (kKept) {
        __builtin_memcpy(&acc, kept_tile(kept, q.padded, i, j), sizeof acc);
      } else {
        similarity(q.packed_depth(), q.left(i), k.panel(j / kPanel), acc);
      }
      body(i, j, acc, rules.mixed(i, j, window.upper));
    }
  }
}

// What is accumulated per row: sums in float64 across blocks, within a block in T by lanes.
// Statistics on request: the negatives' summed logit, the number of each class, the sum of
// exp(-2 ||u_i - u_j||^2) over all pairs of the row, and the largest logit of each class.
enum Quantity {
  kNegative,
  kPositive,
  kLogit,
  kCount,
  kBasic,
  kNegativeLogit = kBasic,
  kNegativeCount,
  kPositiveCount,
  kUniform,
  kNegativeTop,
  kPositiveTop,
  kQuantities
};

TSSSL_INLINE constexpr bool is_maximum(int quantity) { return quantity >= kNegativeTop; }

// Per-row arrays of one side. Shifts are maxima over the classes where they are not fixed.
template <class T>
struct Side {
  Side(std::int64_t rows, T shift)
      : padded(rows), sums(rows * kQuantities), negative_shift(rows), positive_shift(rows) {
    for (std::int64_t i = 0; i < rows * kQuantities; ++i) {
      sums[i] = is_maximum(static_cast<int>(i / max(rows, 1))) ? double(kLowest<T>) : 0;
    }
    for (std::int64_t i = 0; i < rows; ++i) negative_shift[i] = positive_shift[i] = shift;
  }
  double* of(int quantity) const { return sums.get() + quantity * padded; }

  const std::int64_t padded;
  Scratch<double> sums;
  Scratch<T> negative_shift, positive_shift;
};

// Padding and the other class may lie above a row's maximum: their exponential is not used, but
// must not overflow the polynomial's integer part. NaN passes.
template <class T>
TSSSL_INLINE Vec<T> at_most_zero(Vec<T> x) {
  return x > T(0) ? Vec<T>{} : x;
}

template <class T>
TSSSL_INLINE void raise(T* p, Vec<T> v) {
  const Vec<T> before = load(p);
  store(p, v > before ? v : before);
}

template <class T>
TSSSL_INLINE void add(T* p, Vec<T> v) {
  store(p, load(p) + v);
}

// Per-row maxima of a block pair, into the shifts of both sides.
template <class T>
inline void block_maxima(const Operand<T>& q, const Operand<T>& k, const PairRules<T>& rules,
                         const Window& window, T beta, Side<T>& rows, Side<T>& columns) {
  constexpr int kLanes = Simd<T>::kLanes;
  const auto tile = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, bool mixed) {
    for (int r = 0; r < Shape::kRows; ++r) {
      const Vec<T> low = broadcast(kLowest<T>);
      Vec<T> top_negative = low, top_positive = low;
      for (int v = 0; v < Shape::kVectors; ++v) {
        const std::int64_t first = j + v * kLanes;
        const Vec<T> a = rounded(acc[r][v] * beta);
        Vec<T> negative = a, positive = low;
        if (mixed) {
          const Classes<T> classes = rules.classify(i + r, first, window.upper);
          // A NaN logit must not hide in a comparison: it is kept for the sums.
          negative = classes.negative ? a : low;
          positive = classes.positive ? a : low;
        }
        raise(columns.negative_shift.get() + first, negative);
        raise(columns.positive_shift.get() + first, positive);
        top_negative = negative > top_negative ? negative : top_negative;
        top_positive = positive > top_positive ? positive : top_positive;
      }
      for (int l = 0; l < kLanes; ++l) {
        T& n = rows.negative_shift[i + r];
        T& p = rows.positive_shift[i + r];
        n = top_negative[l] > n ? top_negative[l] : n;
        p = top_positive[l] > p ? top_positive[l] : p;
      }
    }
  };
  walk_tiles<T>(q, k, rules, window, nullptr, tile);
}

// Statistics of one vector of pairs, at its place in the lanes of its row and in its columns.
template <class T>
TSSSL_INLINE void add_statistics(Vec<T> s, Vec<T> a, const Classes<T>& classes, T* row, T* column,
                                 std::int64_t row_step, std::int64_t column_step) {
  const Vec<T> one = broadcast(T(1)), low = broadcast(kLowest<T>);
  const Vec<T> distance = s * T(4) - T(4);
  const IntVec<T> live = classes.negative | classes.positive;
  const Vec<T> uniform = live ? exp(at_most_zero<T>(distance)) : Vec<T>{};
  const Vec<T> values[] = {classes.negative ? a : Vec<T>{},   classes.negative ? one : Vec<T>{},
                           classes.positive ? one : Vec<T>{}, uniform,
                           classes.negative ? a : low,        classes.positive ? a : low};
  for (int x = 0; x < kQuantities - kBasic; ++x) {
    if (is_maximum(kBasic + x)) {
      raise(row + (kBasic + x) * row_step, values[x]);
      raise(column + (kBasic + x) * column_step, values[x]);
    } else {
      add(row + (kBasic + x) * row_step, values[x]);
      add(column + (kBasic + x) * column_step, values[x]);
    }
  }
}

// Sums of a block pair, into both sides. kKeep: the exponentials go into `kept`.
template <class T, bool kFixed, bool kStatistics, bool kKeep, class Packed = Operand<T>>
inline void block_sums(const Packed& q, const Packed& k, const PairRules<T>& rules,
                       const Window& window, T beta, std::int32_t power, Side<T>& rows,
                       Side<T>& columns, T* kept) {
  constexpr int kLanes = Simd<T>::kLanes;
  constexpr int kVectors = Shape::kVectors;
  constexpr int kUsed = kStatistics ? kQuantities : kBasic;
  alignas(64) T row_lanes[kUsed][kMaxBlock * kLanes];
  alignas(64) T column_sums[kUsed][kMaxBlock];
  const std::int64_t height = round_up(window.i1 - window.i0, Shape::kRows);
  for (int quantity = 0; quantity < kUsed; ++quantity) {
    const T start = is_maximum(quantity) ? kLowest<T> : T(0);
    for (std::int64_t x = 0; x < height * kLanes; ++x) row_lanes[quantity][x] = start;
    for (std::int64_t x = 0; x < kMaxBlock; ++x) column_sums[quantity][x] = start;
  }
  const auto tile = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, bool mixed) {
    Vec<T> column[kVectors] = {};
    T* keep = kKeep ? kept_tile(kept, q.padded, i, j) : nullptr;
    T* lanes = row_lanes[kNegative] + (i - window.i0) * kLanes;
    const bool positives = mixed && rules.positives(i, j);
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) {
      Vec<T> row{};
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t first = j + v * kLanes;
        const Vec<T> a = kFixed ? acc[r][v] * beta : rounded(acc[r][v] * beta);
        Vec<T> by_row, by_column;
        if (kFixed) {
          by_row = by_column = exp_scaled(a, power);
          if (kKeep) store(keep + (r * kVectors + v) * kLanes, by_row);
        } else {
          by_row = exp(at_most_zero<T>(a - rows.negative_shift[i + r]));
          by_column = exp(at_most_zero<T>(a - load(columns.negative_shift.get() + first)));
        }
        if (mixed) {
          const Classes<T> classes = rules.classify(i + r, first, window.upper);
          const Vec<T> one = rules.weighted() ? rules.weights(i + r, first) : broadcast(T(1));
          by_row = classes.negative ? by_row * one : Vec<T>{};
          by_column = classes.negative ? by_column * one : Vec<T>{};
          if (positives) {
            Vec<T> p_row, p_column;
            if (kFixed) {
              p_row = p_column = exp_scaled(a, power);
            } else {
              p_row = exp(at_most_zero<T>(a - rows.positive_shift[i + r]));
              p_column = exp(at_most_zero<T>(a - load(columns.positive_shift.get() + first)));
            }
            const Vec<T> weight = classes.positive ? one : Vec<T>{};
            const Vec<T> logit = classes.positive ? a * one : Vec<T>{};
            const std::int64_t at = (i + r - window.i0) * kLanes, to = first - window.j0;
            add(row_lanes[kPositive] + at, classes.positive ? p_row * one : Vec<T>{});
            add(row_lanes[kLogit] + at, logit);
            add(row_lanes[kCount] + at, weight);
            add(column_sums[kPositive] + to, classes.positive ? p_column * one : Vec<T>{});
            add(column_sums[kLogit] + to, logit);
            add(column_sums[kCount] + to, weight);
          }
        }
        if (kStatistics) {
          const Classes<T> classes = rules.classify(i + r, first, window.upper);
          add_statistics(acc[r][v], a, classes, row_lanes[0] + (i + r - window.i0) * kLanes,
                         column_sums[0] + first - window.j0, kMaxBlock * kLanes, kMaxBlock);
        }
        row += by_row;
        column[v] += by_column;
      }
      add(lanes + r * kLanes, row);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      add(column_sums[kNegative] + (j - window.j0) + v * kLanes, column[v]);
    }
  };
  walk_tiles<T>(q, k, rules, window, nullptr, tile);
  for (int quantity = 0; quantity < kUsed; ++quantity) {
    double* of_rows = rows.of(quantity);
    double* of_columns = columns.of(quantity);
    for (std::int64_t i = window.i0; i < window.i1; ++i) {
      const T* lanes = row_lanes[quantity] + (i - window.i0) * kLanes;
      if (is_maximum(quantity)) {
        for (int l = 0; l < kLanes; ++l) of_rows[i] = lanes[l] > of_rows[i] ? lanes[l] : of_rows[i];
      } else {
        of_rows[i] += sum<T>(load(lanes));
      }
    }
    for (std::int64_t j = window.j0; j < window.j1; ++j) {
      const double value = column_sums[quantity][j - window.j0];
      if (is_maximum(quantity)) {
        of_columns[j] = value > of_columns[j] ? value : of_columns[j];
      } else {
        of_columns[j] += value;
      }
    }
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
