// One side of a similarity product for the tensor unit: the caller's rows, scaled by powers of two
// and split into bfloat16 parts; what the engine walks in their place of PackedRows.
//
// A row x with its largest element in [2^e, 2^(e+1)) is stored as x 2^-e, exactly, and its norm
// is applied behind the product: s_ij = f_i f_j <x_i 2^-e_i, x_j 2^-e_j>, f = 2^e / ||x||. So
// 16-bit inputs are multiplied as the caller gave them, and no part of a float32 number falls below
// what the unit keeps (it flushes subnormal numbers).
#pragma once
#include "contrastive/gradient_tile.h"
#include "gemm/operand_tiles.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Of rows without normalisation: the largest exponent, and the largest difference of two. Beyond,
// factors and dL/ds times two of them would leave float32's range.
constexpr int kLargestExponent = 60, kLargestSpread = 16;
constexpr float kSmallestNormal = 0x1p-126f;

// Which parts are multiplied, of the caller's rows and of dL/ds.
struct TileProducts {
  PartProducts similarity, gradient;
  const char* name;
};

// float32 has 24 significant bits, three parts; float16 11, two parts; bfloat16 8, one. dL/ds has
// at least two: rounded to one part a gradient that is the difference of similar rows would keep no
// digit.
inline TileProducts tile_products(int bits, Precision precision) {
  if (bits <= 8) return {{1, 1, 1}, {2, 1, 2}, "bfloat16 as given"};
  if (bits <= 11) return {{2, 2, 3}, {2, 2, 2}, "float16 in two parts of bfloat16"};
  switch (precision) {
    case Precision::bf16:
      return {{1, 1, 1}, {2, 1, 2}, "bf16"};
    case Precision::bf16x3:
      return {{2, 2, 2}, {2, 2, 2}, "bf16x3"};
    default:
      return {{3, 3, 3}, {3, 3, 3}, "ieee by bf16x6"};
  }
}

class TileRows {
 public:
  static TileRows forward(const RowsInput<float>& input, const TileProducts& products, float* scale,
                          bool gradient, int threads) {
    return TileRows(input, products, scale, scale, gradient, threads);
  }
  static TileRows backward(const RowsInput<float>& input, const TileProducts& products,
                           const float* scale, int threads) {
    return TileRows(input, products, nullptr, scale, true, threads);
  }

  static constexpr bool kHalfDiagonal = true;

  // Left and right operand of similarities: rows [16 r, 16 r + 16), 32 numbers of depth.
  const Bf16* left(std::int64_t part, std::int64_t r, std::int64_t step) const {
    return left_.get() + ((part * padded / kTileRows + r) * steps + step) * kTileNumbers;
  }
  const Bf16* right(std::int64_t part, std::int64_t r, std::int64_t step) const {
    return right_.get() + ((part * padded / kTileRows + r) * steps + step) * kTileNumbers;
  }
  // Operands of the gradient's products, 32 rows as their depth and columns [16 c, 16 c + 16): on
  // the right of dL/ds, as the keys are, and on its left, as the queries are.
  const Bf16* deep(std::int64_t part, std::int64_t r, std::int64_t c) const {
    return deep_.get() + depth_tile(part, r, c);
  }
  const Bf16* across(std::int64_t part, std::int64_t r, std::int64_t c) const {
    return across_.get() + depth_tile(part, r, c);
  }
  float factor(std::int64_t i) const { return factor_[i]; }
  const float* factors(std::int64_t i) const { return factor_.get() + i; }
  // Factors over 2^level, the level of the largest: of dL/ds on its way through the tiles.
  const float* weights(std::int64_t i) const { return weight_.get() + i; }
  double level() const { return level_; }
  // Every row can be stored: it is finite, and of middling size where it is not normalised.
  bool usable() const { return usable_; }

  const TileProducts products;
  const PackedRows<float> exact;
  const RowBlocks<float> blocks;
  const std::int64_t depth, padded, steps, stride;  // stride: of the gradient's rows

 protected:
  TileRows(const RowsInput<float>& input, const TileProducts& chosen, float* written,
           const float* scale, bool gradient, int threads);

 private:
  std::int64_t depth_tile(std::int64_t part, std::int64_t r, std::int64_t c) const {
    return ((part * padded / kTileDepth + r) * 2 * steps + c) * kTileNumbers;
  }

  static PackedRows<float> exact_of(RowsInput<float> input, float* written, const float* scale,
                                    int threads) {
    input.packed = false;
    if (written != nullptr) return PackedRows<float>::forward(input, written, threads);
    return PackedRows<float>::backward(input, scale, threads);
  }

  // The factors of normalised rows are near 1.
  void level_factors(const std::int32_t* exponents) {
    int lowest = 0, highest = 0;
    bool any = false;
    for (std::int64_t i = 0; i < blocks.rows; ++i) {
      if (factor_[i] == 0) continue;
      lowest = any && exponents[i] > lowest ? lowest : exponents[i];
      highest = any && exponents[i] < highest ? highest : exponents[i];
      any = true;
    }
    usable_ = highest - lowest <= kLargestSpread;
    level_ = __builtin_ldexp(1.0, highest);
    const float down = static_cast<float>(1 / level_);
    for (std::int64_t i = 0; i < padded; ++i) weight_[i] = factor_[i] * down;
  }

  // As its bits: those of NaN are the largest.
  std::uint32_t largest_magnitude(const float* x) const {
    constexpr std::uint32_t kMagnitude = 0x7fffffffu;
    Words parts{};
    std::int64_t c = 0;
    for (; c + kTileRows <= depth; c += kTileRows) {
      const Words bits = (Words)load(x + c) & kMagnitude;
      parts = bits > parts ? bits : parts;
    }
    std::uint32_t most = 0;
    for (; c < depth; ++c) {
      std::uint32_t bits;
      __builtin_memcpy(&bits, x + c, sizeof bits);
      most = (bits & kMagnitude) > most ? bits & kMagnitude : most;
    }
    for (int l = 0; l < kTileRows; ++l) most = parts[l] > most ? parts[l] : most;
    return most;
  }

  // Whether the row can be stored; x == nullptr: it takes no part.
  bool scale_row(const float* x, std::int64_t i, bool normalize, float* to,
                 std::int32_t& level) const {
    const std::uint32_t most = x == nullptr ? 0 : largest_magnitude(x);
    if (most > 0x7f7fffffu) return false;
    const float own = x == nullptr ? 0 : exact.scale(i);
    if (most == 0 || own == 0) {  // a row of zeros, or one that takes no part
      for (std::int64_t c = 0; c < stride; ++c) to[c] = 0;
      factor_[i] = 0;
      return true;
    }
    float largest;
    __builtin_memcpy(&largest, &most, sizeof largest);
    int exponent;
    __builtin_frexp(largest, &exponent);
    if (!normalize && (exponent > kLargestExponent || exponent < -kLargestExponent)) return false;
    const double power = __builtin_ldexp(1.0, -exponent);
    if (exponent > -126 && exponent < 126) {  // 2^-exponent is a normal float32
      const float scale = static_cast<float>(power);
      for (std::int64_t c = 0; c < depth; ++c) to[c] = x[c] * scale;
    } else {
      for (std::int64_t c = 0; c < depth; ++c) to[c] = static_cast<float>(x[c] * power);
    }
    for (std::int64_t c = depth; c < stride; ++c) to[c] = 0;
    factor_[i] = static_cast<float>(own < kSmallestNormal ? factor_of(x, i) / power : own / power);
    level = normalize ? 0 : exponent;
    return true;
  }

  // 1 / norm of a row so long that float32 has few digits of it: from the unit row.
  double factor_of(const float* x, std::int64_t i) const {
    std::int64_t at = 0;
    for (std::int64_t c = 1; c < depth; ++c) {
      if (__builtin_fabsf(x[c]) > __builtin_fabsf(x[at])) at = c;
    }
    return double(exact.row(i)[at]) / x[at];
  }

  // 32 rows as operands of similarities.
  void store_rows(std::int64_t p, const float* rows) const {
    const std::int64_t all = padded * stride;
    const std::int64_t parts = as_left_ ? products.similarity.left : products.similarity.right;
    const Scratch<Bf16>& first = as_left_ ? left_ : right_;
    for (std::int64_t half = 0; half < 2; ++half) {
      for (std::int64_t step = 0; step < steps; ++step) {
        const std::int64_t at = ((2 * p + half) * steps + step) * kTileNumbers;
        Bf16* to = first.get() + at;
        for (std::int64_t r = 0; r < kTileRows; ++r) {
          const float* from = rows + (half * kTileRows + r) * stride + step * kTileDepth;
          for (std::int64_t c = 0; c < kTileDepth; c += kTileRows) {
            store_row(to + r * kTileDepth + c, parts, all, load(from + c));
          }
        }
        for (std::int64_t part = 0; as_right_ && part < products.similarity.right; ++part) {
          Bf16* turned = right_.get() + at + part * all;
          if (as_left_) __builtin_memcpy(turned, to + part * all, kTileNumbers * sizeof(Bf16));
          transpose(turned);
        }
      }
    }
  }

  // 32 rows as the depth of the gradient's products.
  void store_depth(std::int64_t p, const float* rows, Role role) const {
    const std::int64_t all = padded * stride, parts = products.gradient.right;
    const Scratch<Bf16>& first = role == Role::queries ? across_ : deep_;
    for (std::int64_t c = 0; c < 2 * steps; ++c) {
      Bf16* to = first.get() + depth_tile(0, p, c);
      for (std::int64_t pair = 0; pair < kTileRows; ++pair) {
        const float* from = rows + 2 * pair * stride + c * kTileRows;
        store_pair(to + pair * kTileDepth, parts, all, load(from), load(from + stride));
      }
      for (std::int64_t part = 0; role != Role::keys && part < parts; ++part) {
        Bf16* turned = across_.get() + depth_tile(part, p, c);
        if (role == Role::both) {
          __builtin_memcpy(turned, to + part * all, kTileNumbers * sizeof(Bf16));
        }
        transpose(turned);
      }
    }
  }

  std::int64_t gradient_numbers() const { return products.gradient.right * padded * stride; }

  Scratch<float> factor_, weight_;
  const bool as_left_, as_right_;
  Scratch<Bf16> left_, right_, deep_, across_;
  bool usable_;
  double level_ = 1;
};

inline TileRows::TileRows(const RowsInput<float>& input, const TileProducts& chosen, float* written,
                          const float* scale, bool gradient, int threads)
    : products(chosen),
      exact(exact_of(input, written, scale, threads)),
      blocks(exact.blocks),
      depth(exact.depth),
      padded(exact.padded),
      steps(ceil_div(depth, kTileDepth)),
      stride(steps * kTileDepth),
      factor_(padded),
      weight_(padded),
      as_left_(input.packed && input.role != Role::keys),
      as_right_(input.packed && input.role != Role::queries),
      left_(as_left_ ? products.similarity.left * padded * stride : 0),
      right_(as_right_ ? products.similarity.right * padded * stride : 0),
      deep_(gradient && input.role != Role::queries ? gradient_numbers() : 0),
      across_(gradient && input.role != Role::keys ? gradient_numbers() : 0) {
  threads = threads_for(padded * depth, threads);
  Scratch<float> scaled(threads * kTileDepth * stride);
  Scratch<std::uint8_t> usable(padded / kTileDepth);
  Scratch<std::int32_t> exponents(padded);
  for_rows(blocks.rows, padded / kTileDepth, threads, [&](std::int64_t p, int thread) {
    float* rows_here = scaled.get() + thread * kTileDepth * stride;
    usable[p] = true;
    for (std::int64_t r = 0; r < kTileDepth; ++r) {
      const std::int64_t i = p * kTileDepth + r;
      const bool live = i < blocks.rows && (input.valid == nullptr || input.valid[i] != 0);
      const float* x = live ? row_at(input.rows, i) : nullptr;
      usable[p] &= scale_row(x, i, input.normalize, rows_here + r * stride, exponents[i]);
    }
    if (usable[p] && input.packed) store_rows(p, rows_here);
    if (usable[p] && gradient) store_depth(p, rows_here, input.role);
  });
  usable_ = true;
  for (std::int64_t p = 0; p < padded / kTileDepth; ++p) usable_ &= usable[p] != 0;
  if (usable_) level_factors(exponents.get());
}

TSSSL_INLINE double level_of(const TileRows& rows) { return rows.level(); }

TSSSL_INLINE const PackedRows<float>& exact_rows(const TileRows& rows) { return rows.exact; }

// Rows whose similarities are formed on the unit, and their gradients by register tiles of float32:
// where the unit is vectors, two parts of dL/ds take as long as one product of float32.
class SimilarityRows : public TileRows {
 public:
  static SimilarityRows forward(const RowsInput<float>& input, const TileProducts& products,
                                float* scale, bool, int threads) {
    return SimilarityRows(input, products, scale, scale, threads);
  }
  static SimilarityRows backward(const RowsInput<float>& input, const TileProducts& products,
                                 const float* scale, int threads) {
    return SimilarityRows(input, products, nullptr, scale, threads);
  }

  static constexpr bool kHalfDiagonal = false;
  operator const PackedRows<float>&() const { return exact; }

  const std::int64_t stride;  // of the gradient's rows

 private:
  SimilarityRows(const RowsInput<float>& input, const TileProducts& products, float* written,
                 const float* scale, int threads)
      : TileRows(input, products, written, scale, false, threads), stride(exact.stride) {}
};

TSSSL_INLINE double level_of(const SimilarityRows&) { return 1; }

inline double tile_unit_scale(const SimilarityRows&, std::int64_t, const LogitGradient<float>&) {
  return 1;
}

// The walk of tile_walk.h by blocks of 32 x 32 pairs. The products of the next block run between
// the rows of this one: unit and vectors work at the same time.
template <class T, bool kKept = false, class Rules, class Body>
TSSSL_INLINE void walk_blocks(const TileRows& q, const TileRows& k, const Rules& rules,
                              const Window& window, const T* kept, const Body& body) {
  constexpr std::int64_t kSide = 2 * kTileRows;
  static_assert(kSide == Panel<float>::kRows);
  constexpr int kLanes = Simd<float>::kLanes, kGroups = kSide / Shape::kRows;
  if constexpr (kKept) {
    for (std::int64_t j = window.j0; j < window.j1; j += kSide) {
      const std::int64_t end = window.upper ? j + kSide : round_up(window.i1, kSide);
      for (std::int64_t i = window.i0; i < end; i += Shape::kRows) {
        Tile<T> acc;
        __builtin_memcpy(&acc, kept_tile(kept, q.padded, i, j), sizeof acc);
        body(i, j, acc, rules.kind(i, j, window.upper));
      }
    }
    return;
  }
  alignas(64) float results[2][kSide * kSide];
  TileUnit unit;
  const auto products = [&](std::int64_t i, std::int64_t j, std::int64_t first, std::int64_t last) {
    q.products.similarity.each([&](std::int64_t a, std::int64_t b) {
      const Bf16* upper = q.left(a, i / kTileRows, 0);
      const Bf16* lower = q.left(a, i / kTileRows + 1, 0);
      const Bf16* near = k.right(b, j / kTileRows, 0);
      const Bf16* far = k.right(b, j / kTileRows + 1, 0);
      for (std::int64_t step = first; step < last; ++step) {
        const std::int64_t at = step * kTileNumbers;
        unit.multiply(upper + at, lower + at, near + at, far + at);
      }
    });
  };
  const auto results_to = [&](float* to) {
    unit.store(to, to + kTileRows, to + kTileRows * kSide, to + kTileRows * kSide + kTileRows,
               kSide * sizeof(float));
  };
  std::int64_t i = window.i0, j = window.j0, next_i = i, next_j = j;
  int current = 0;
  unit.zero();
  products(i, j, 0, q.steps);
  results_to(results[0]);
  for (bool more = true; more; i = next_i, j = next_j, current ^= 1) {
    next_i = i + kSide;
    if (next_i >= window.i1 || (window.upper && next_i > j)) {
      next_i = window.i0;
      next_j = j + kSide;
    }
    more = next_j < window.j1;
    if (more) unit.zero();
    Vec<float> columns[Shape::kVectors];
    for (int v = 0; v < Shape::kVectors; ++v) columns[v] = load(k.factors(j + v * kLanes));
    for (int g = 0; g < kGroups; ++g) {
      const std::int64_t row = i + g * Shape::kRows;
      Tile<float> acc;
#pragma GCC unroll 16
      for (int r = 0; r < Shape::kRows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < Shape::kVectors; ++v) {
          acc[r][v] = load(results[current] + (g * Shape::kRows + r) * kSide + v * kLanes) *
                      q.factor(row + r) * columns[v];
        }
      }
      body(row, j, acc, rules.kind(row, j, window.upper));
      if (more) products(next_i, next_j, g * q.steps / kGroups, (g + 1) * q.steps / kGroups);
    }
    if (more) results_to(results[current ^ 1]);
  }
}

template <class T, bool kKept = false, class Body>
TSSSL_INLINE void walk_tiles(const TileRows& q, const TileRows& k, const PairRules<T>& rules,
                             const Window& window, const T* kept, const Body& body) {
  walk_blocks<T, kKept>(q, k, rules, window, kept, body);
}

template <class T, bool kKept = false, class Body>
TSSSL_INLINE void walk_tiles(const SimilarityRows& q, const SimilarityRows& k,
                             const PairRules<T>& rules, const Window& window, const T* kept,
                             const Body& body) {
  walk_blocks<T, kKept>(q, k, rules, window, kept, body);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
