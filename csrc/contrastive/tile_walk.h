// The contrastive engine: what its walks over register tiles of the similarity matrix share, of
// which nothing is stored. The sums are in tile_sums.h, the gradient in gradient_tile.h.
//
// One set against itself: S is symmetric, so each pair of row blocks is visited once and serves
// both roles. Two sets: every pair of blocks, with both roles where the keys have rows of their
// own.
//
// Exponent shift. With B = beta max ||q|| max ||k|| (unit rows: beta) |a| <= B, so exp(a) 2^-power
// with 2^power near exp(B) never overflows, and it stays a normal number while 2 B is below
// kFixedShiftLimit: one exponential serves row and column, and a shift by a power of two costs no
// rounding. Beyond (in float32 B >= 30: tau < 0.033, or long rows without normalisation) every row
// has its own maximum per class, found in a walk of its own, and a pair costs two exponentials.
#pragma once
#include "contrastive/pair_rules.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr int kTileStride = 240 + 32;  // elements between its rows: an odd number of cache lines

template <class T>
constexpr T kLowest = sizeof(T) == 4 ? T(-3e38) : T(-1e308);

template <class T>
using Tile = Vec<T>[Shape::kRows][Shape::kVectors];

// The shift of a problem's exponents. bound: no |a| is above it.
template <class T>
struct ExponentShift {
  explicit ExponentShift(double largest)
      : bound(T(largest)),
        fixed(2 * largest < kFixedShiftLimit<T>),
        power(fixed ? static_cast<std::int32_t>(std::lrint(largest / kLn2)) : 0) {}
  // exp(a - bound) = exp(a) 2^-power factor().
  double factor() const { return std::exp(power * kLn2 - double(bound)); }

  T bound;
  bool fixed;
  std::int32_t power;
};

// Of the rows' norms. NaN rows are passed over: they are NaN under any shift.
template <class T>
inline double largest_norm(const PackedRows<T>& side, int threads) {
  Scratch<double> parts(side.blocks.count);
  parallel_for(side.blocks.count, threads_for(side.padded * side.stride, threads),
               [&](std::int64_t b, int) {
                 double largest = 0;
                 for (std::int64_t i = side.blocks.begin(b); i < side.blocks.end(b); ++i) {
                   const double squares = sum_of_squares(side.row(i), side.depth);
                   if (squares > largest) largest = squares;
                 }
                 parts[b] = largest;
               });
  double largest = 0;
  for (std::int64_t b = 0; b < side.blocks.count; ++b) {
    if (parts[b] > largest) largest = parts[b];
  }
  return std::sqrt(largest);
}

// The rows of an operand in T, row-major.
template <class T>
TSSSL_INLINE const PackedRows<T>& exact_rows(const PackedRows<T>& rows) {
  return rows;
}

// A power of two that is taken out of dL/ds times the operand's rows.
template <class T>
TSSSL_INLINE double level_of(const PackedRows<T>&) {
  return 1;
}

// From Cauchy-Schwarz. q and k are the same operand for one set.
template <class T, class Packed>
inline ExponentShift<T> exponent_shift(const PairProblem<T>& problem, const Packed& q,
                                       const Packed& k, int threads) {
  double bound = std::fabs(problem.beta);
  if (!problem.normalize) {
    const double of_q = largest_norm<T>(exact_rows(q), threads);
    bound *= of_q * (&q == &k ? of_q : largest_norm<T>(exact_rows(k), threads));
  }
  return ExponentShift<T>(bound);
}

// Rows [i0, i1) against columns [j0, j1); i0 and j0 are multiples of the panel.
struct Window {
  std::int64_t i0, i1, j0, j1;
  bool upper;  // a diagonal block of one set: only i < j
};

// Where the tile at (i, j) is kept from one walk to the next: its exponentials under a fixed shift,
// else its similarities, which would be formed three times: for maxima, sums and gradient.
template <class T>
TSSSL_INLINE T* kept_tile(T* kept, std::int64_t padded, std::int64_t i, std::int64_t j) {
  return kept + i * padded + j * Shape::kRows;
}

// body(i, j, tile, kind) with the tile of similarities; kKept: with what is in `kept`.
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
        tile_similarity(q.packed_depth(), q.left(i), k.panel(j / kPanel), acc);
      }
      body(i, j, acc, rules.kind(i, j, window.upper));
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
    for (int quantity = 0; quantity < kQuantities; ++quantity) {
      const double start = is_maximum(quantity) ? double(kLowest<T>) : 0;
      for (std::int64_t i = 0; i < rows; ++i) of(quantity)[i] = start;
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

// Per-row maxima of a block pair, into the shifts of both sides. kKeep: the similarities go into
// `kept`.
template <class T, bool kKeep, class Packed>
inline void block_maxima(const Packed& q, const Packed& k, const PairRules<T>& rules,
                         const Window& window, T beta, Side<T>& rows, Side<T>& columns, T* kept) {
  constexpr int kLanes = Simd<T>::kLanes;
  const auto tile = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, const TileKind& kind) {
    if (kKeep) __builtin_memcpy(kept_tile(kept, q.padded, i, j), &acc, sizeof acc);
    for (int r = 0; r < Shape::kRows; ++r) {
      const Vec<T> low = broadcast(kLowest<T>);
      Vec<T> top_negative = low, top_positive = low;
      for (int v = 0; v < Shape::kVectors; ++v) {
        const std::int64_t first = j + v * kLanes;
        const Vec<T> a = rounded(acc[r][v] * beta);
        Vec<T> negative = a, positive = low;
        if (!kind.plain) {
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

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
