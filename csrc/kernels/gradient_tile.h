// A tile of dL/da from what the rows' losses pull at, on the register tiles of pairs.h.
#pragma once
#include "kernels/pairs.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// What the rows' losses pull at: dL/da_ij = negative exp(a_ij - negative_shift) on negatives,
// positive exp(a_ij - positive_shift) - constant on positives (times the pair's weight).
template <class T>
struct PairPull {
  const T* negative;
  const T* positive;
  const T* constant;
};

// The same for one side, padded with zeros.
template <class T>
struct PullSide {
  // power: of the fixed shift, or -1: the kernels shift by the rows' own maxima.
  PullSide(std::int64_t padded, std::int64_t offset, std::int64_t rows, bool used,
           std::int32_t power, const PairSums<T>& sums, const PairPull<T>& pull)
      : negative(padded),
        positive(padded),
        constant(padded),
        negative_shift(padded),
        positive_shift(padded) {
    for (std::int64_t i = 0; i < padded; ++i) {
      const bool inside = used && i < rows;
      negative[i] =
          inside ? T(pull.negative[offset + i] * factor(power, sums.negative_shift[offset + i]))
                 : T(0);
      positive[i] =
          inside ? T(pull.positive[offset + i] * factor(power, sums.positive_shift[offset + i]))
                 : T(0);
      constant[i] = inside ? pull.constant[offset + i] : T(0);
      negative_shift[i] = inside ? sums.negative_shift[offset + i] : T(0);
      positive_shift[i] = inside ? sums.positive_shift[offset + i] : T(0);
    }
  }
  // exp(a - shift) = exp(a) 2^-power * factor, for whatever shift the forward chose.
  static double factor(std::int32_t power, T shift) {
    return power < 0 ? 1 : std::exp(power * 0.6931471805599453 - double(shift));
  }

  Scratch<T> negative, positive, constant, negative_shift, positive_shift;
};

// A block pair's dL/da, row-major: operand of both products.
template <class T>
struct GradientTile {
  static constexpr std::int64_t kSize = kMaxBlock * kTileStride;

  // Shape::kRows rows from row i, one vector from column j.
  TSSSL_INLINE void put(std::int64_t i, std::int64_t j, const Vec<T> (&w)[Shape::kRows]) const {
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) store(data + (i + r) * kTileStride + j, w[r]);
  }
  void mirror(std::int64_t size) const {
    for (std::int64_t i = 1; i < size; ++i) {
      for (std::int64_t j = 0; j < i; ++j) data[i * kTileStride + j] = data[j * kTileStride + i];
    }
  }

  T* data;
};

// Writes the window's tile of dL/da, both roles (one set: below the diagonal of a diagonal block
// too, so that one product with the whole symmetric tile serves it). kKept: from the exponentials
// that the forward kept.
template <class T, bool kFixed, bool kKept, class Packed, class Out>
inline void gradient_tile(const Packed& q, const Packed& k, const PairRules<T>& rules,
                          const Window& window, T beta, std::int32_t power, const PullSide<T>& rows,
                          const PullSide<T>& columns, const T* kept, const Out& tile) {
  constexpr int kLanes = Simd<T>::kLanes;
  const auto pull = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, bool mixed) {
    const bool positives = mixed && rules.positives(i, j);
#pragma GCC unroll 4
    for (int v = 0; v < Shape::kVectors; ++v) {
      const std::int64_t first = j + v * kLanes;
      const Vec<T> column_negative = load(columns.negative.get() + first);
      Vec<T> pulls[Shape::kRows];
#pragma GCC unroll 16
      for (int r = 0; r < Shape::kRows; ++r) {
        const Vec<T> a = kFixed ? acc[r][v] * beta : rounded(acc[r][v] * beta);
        const Vec<T> e = kKept ? acc[r][v] : kFixed ? exp_scaled(a, power) : Vec<T>{};
        Vec<T> w;
        if (kFixed) {
          w = e * (rows.negative[i + r] + column_negative);
        } else {
          w = exp(at_most_zero<T>(a - rows.negative_shift[i + r])) * rows.negative[i + r] +
              exp(at_most_zero<T>(a - load(columns.negative_shift.get() + first))) *
                  column_negative;
        }
        if (mixed) {
          const Classes<T> classes = rules.classify(i + r, first, window.upper);
          w = classes.negative ? w : Vec<T>{};
          if (positives) {
            const Vec<T> column_positive = load(columns.positive.get() + first);
            Vec<T> p = -(rows.constant[i + r] + load(columns.constant.get() + first));
            if (kFixed) {
              p += e * (rows.positive[i + r] + column_positive);
            } else {
              p += exp(at_most_zero<T>(a - rows.positive_shift[i + r])) * rows.positive[i + r] +
                   exp(at_most_zero<T>(a - load(columns.positive_shift.get() + first))) *
                       column_positive;
            }
            w = classes.positive ? p : w;
          }
          if (rules.weighted()) w *= rules.weights(i + r, first);
        }
        pulls[r] = w;
      }
      tile.put(i - window.i0, first - window.j0, pulls);
    }
  };
  walk_tiles<T, kKept>(q, k, rules, window, kept, pull);
  if constexpr (kKept) {
    if (window.upper) tile.mirror(window.i1 - window.i0);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
