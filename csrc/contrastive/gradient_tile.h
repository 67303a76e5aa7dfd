// A tile of dL/da, the gradient of the logits, on the register tiles of tile_walk.h.
#pragma once
#include "contrastive/tile_walk.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Per row, what makes up its logits' gradient: dL/da_ij = negative exp(a_ij - negative_shift) on
// negatives, positive exp(a_ij - positive_shift) - constant on positives (times the pair's weight).
template <class T>
struct LogitGradient {
  const T* negative;
  const T* positive;
  const T* constant;
};

// The same for one side, padded with zeros.
template <class T>
struct LogitGradientSide {
  // power: of the fixed shift, or -1: the kernels shift by the rows' own maxima. unit: what all is
  // multiplied with.
  LogitGradientSide(std::int64_t padded, std::int64_t offset, std::int64_t rows, bool used,
                    std::int32_t power, const PairSums<T>& sums, const LogitGradient<T>& logit,
                    double unit = 1)
      : negative(padded),
        positive(padded),
        constant(padded),
        negative_shift(padded),
        positive_shift(padded) {
    // Rows share one shift where it is fixed: an exponential a row was 20 microseconds at 128 x
    // 128.
    T known = T(0);
    double last = unit * factor(power, known);
    const auto shifted = [&](T shift) {
      if (!(shift == known)) last = unit * factor(power, known = shift);
      return last;
    };
    for (std::int64_t i = 0; i < padded; ++i) {
      const bool inside = used && i < rows;
      negative[i] =
          inside ? T(logit.negative[offset + i] * shifted(sums.negative_shift[offset + i])) : T(0);
      positive[i] =
          inside ? T(logit.positive[offset + i] * shifted(sums.positive_shift[offset + i])) : T(0);
      constant[i] = inside ? T(logit.constant[offset + i] * unit) : T(0);
      negative_shift[i] = inside ? sums.negative_shift[offset + i] : T(0);
      positive_shift[i] = inside ? sums.positive_shift[offset + i] : T(0);
    }
  }
  // exp(a - shift) = exp(a) 2^-power * factor, for whatever shift the forward chose.
  static double factor(std::int32_t power, T shift) {
    return power < 0 ? 1 : std::exp(power * kLn2 - double(shift));
  }

  Scratch<T> negative, positive, constant, negative_shift, positive_shift;
};

// A block pair's dL/da, row-major: operand of both products.
template <class T>
class GradientTile {
 public:
  // Working memory: elements of one.
  static std::int64_t size(const PackedRows<T>&) { return kMaxBlock * kTileStride; }
  // Both products of one set add to one array.
  static constexpr bool kApart = false;

  GradientTile(T* data, const PackedRows<T>& q, const PackedRows<T>& k, const Window& window, bool)
      : q_(q), k_(k), window_(window), data_(data) {}

  // Shape::kRows rows from row i, one vector from column j.
  TSSSL_INLINE void put(std::int64_t i, std::int64_t j, const Vec<T> (&w)[Shape::kRows]) const {
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) store(data_ + (i + r) * kTileStride + j, w[r]);
  }
  // One vector from row i, column j.
  TSSSL_INLINE void put(std::int64_t i, std::int64_t j, Vec<T> w) const {
    store(data_ + i * kTileStride + j, w);
  }
  // Of a block on the diagonal of one set, of which the upper half was written.
  void mirror() const {
    for (std::int64_t i = 1; i < window_.i1 - window_.i0; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        data_[i * kTileStride + j] = data_[j * kTileStride + i];
      }
    }
  }

  // out += the tile times the keys: the gradient of the window's rows. Gradients are padded to
  // whole panels, so whole register tiles may be written.
  void times_keys(T* out) const {
    product<T, kTileStride, 1>(round_up(window_.i1 - window_.i0, Shape::kProductRows), k_.stride,
                               window_.j1 - window_.j0, data_, k_.row(window_.j0), k_.stride, out,
                               k_.stride);
  }
  // The same of its columns.
  void times_queries(T* out) const {
    product<T, 1, kTileStride>(round_up(window_.j1 - window_.j0, Shape::kProductRows), q_.stride,
                               window_.i1 - window_.i0, data_, q_.row(window_.i0), q_.stride, out,
                               q_.stride);
  }

  static void turn_back(const PackedRows<T>&, T*, std::int64_t) {}
  // Row i of what both products added to; nullptr: none. `own`: memory of a row.
  static const T* row(const PackedRows<T>& side, const T* by_keys, const T* by_queries,
                      std::int64_t i, T*) {
    return (by_keys != nullptr ? by_keys : by_queries) + i * side.stride;
  }

 private:
  const PackedRows<T>&q_, &k_;
  const Window window_;
  T* const data_;
};

// A power of two by which dL/da of all pairs is multiplied on its way through the tiles.
template <class T>
TSSSL_INLINE double tile_unit_scale(const PackedRows<T>&, std::int64_t, const LogitGradient<T>&) {
  return 1;
}

// dL/da of one register tile, both roles. Pairs: a view of PairRules.
template <class T, bool kFixed, bool kKept, class Pairs, class Out>
TSSSL_INLINE void tile_logit_gradient(const Tile<T>& acc, const Pairs& pairs, std::int64_t i,
                                      std::int64_t j, T beta, std::int32_t power,
                                      const LogitGradientSide<T>& rows,
                                      const LogitGradientSide<T>& columns, const Out& put) {
  constexpr int kLanes = Simd<T>::kLanes;
#pragma GCC unroll 4
  for (int v = 0; v < Shape::kVectors; ++v) {
    const std::int64_t first = j + v * kLanes;
    const Vec<T> column_negative = load(columns.negative.get() + first);
    Vec<T> column_positive, column_constant;
    if constexpr (Pairs::kPositives) {
      column_positive = load(columns.positive.get() + first);
      column_constant = load(columns.constant.get() + first);
    }
    Vec<T> gradients[Shape::kRows];
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) {
      Classes<T> classes{};
      if constexpr (Pairs::kMixed) classes = pairs.classes(r, v);
      // A pair is in one class at most: its factors and shifts are chosen, then it is one term.
      Vec<T> of_row = broadcast(rows.negative[i + r]), of_column = column_negative;
      if constexpr (Pairs::kPositives) {
        of_row = classes.positive ? broadcast(rows.positive[i + r]) : of_row;
        of_column = classes.positive ? column_positive : of_column;
      }
      Vec<T> w;
      if constexpr (kFixed) {
        const Vec<T> e = kKept ? acc[r][v] : exp_scaled(acc[r][v] * beta, power);
        w = e * (of_row + of_column);
      } else {
        const Vec<T> a = rounded(acc[r][v] * beta);
        Vec<T> row_shift = broadcast(rows.negative_shift[i + r]);
        Vec<T> column_shift = load(columns.negative_shift.get() + first);
        if constexpr (Pairs::kPositives) {
          row_shift = classes.positive ? broadcast(rows.positive_shift[i + r]) : row_shift;
          column_shift =
              classes.positive ? load(columns.positive_shift.get() + first) : column_shift;
        }
        w = exp(at_most_zero<T>(a - row_shift)) * of_row +
            exp(at_most_zero<T>(a - column_shift)) * of_column;
      }
      if constexpr (Pairs::kPositives) {
        w = classes.positive ? w - (rows.constant[i + r] + column_constant) : w;
      }
      if constexpr (Pairs::kMixed) w = classes.negative | classes.positive ? w : Vec<T>{};
      if constexpr (Pairs::kWeighted) w *= pairs.weights(r, v);
      gradients[r] = w;
    }
    put(v * kLanes, gradients);
  }
}

// Writes the window's tile of dL/da, both roles (one set: below the diagonal of a diagonal block
// too, so that one product with the whole symmetric tile serves it). kKept: from what the forward
// kept. kLabels: the problem may have ids or groups.
template <class T, bool kFixed, bool kKept, bool kLabels, class Packed, class Out>
inline void gradient_tile(const Packed& q, const Packed& k, const PairRules<T>& rules,
                          const Window& window, T beta, std::int32_t power,
                          const LogitGradientSide<T>& rows, const LogitGradientSide<T>& columns,
                          const T* kept, const Out& tile) {
  const auto write = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, const TileKind& kind) {
    rules.template with_view<!kLabels>(kind, i, j, window.upper, [&](const auto& pairs) {
      tile_logit_gradient<T, kFixed, kKept>(
          acc, pairs, i, j, beta, power, rows, columns,
          [&](std::int64_t at, const Vec<T>(&gradients)[Shape::kRows]) {
            tile.put(i - window.i0, j - window.j0 + at, gradients);
          });
    });
  };
  walk_tiles<T, kKept>(q, k, rules, window, kept, write);
  if constexpr (kKept) {
    if (window.upper) tile.mirror();
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
