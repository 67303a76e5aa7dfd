// A block pair's dL/ds for the tensor unit: what GradientTile is for register tiles.
#pragma once
#include "contrastive/gradient_tile.h"
#include "contrastive/tile_rows.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// The tile is multiplied with the factors of its rows and of its columns, so that it serves both
// products: on the left of the keys, and on the right of the queries, which gives the gradient of
// its columns with rows and columns exchanged: where a tile was turned instead, that and its
// product took half of the backward of 8192 rows of 128 on an Intel Xeon. `row` takes a row's own
// factor out again. A block on the diagonal of one set has its upper half in both products; they
// are the two halves of the whole.
class TileGradient {
 public:
  static std::int64_t size(const TileRows& side) {
    return side.products.gradient.left * kMaxBlock * kMaxBlock;  // floats, two operands of Bf16
  }
  // What times_queries adds to is an array of its own.
  static constexpr bool kApart = true;

  // columns: times_queries will be called.
  TileGradient(float* data, const TileRows& q, const TileRows& k, const Window& window,
               bool columns)
      : q_(q),
        k_(k),
        products_(q.products.gradient),
        window_(window),
        rows_(reinterpret_cast<Bf16*>(data)),
        columns_(columns ? rows_ + products_.left * kPart : nullptr) {}

  TSSSL_INLINE void put(std::int64_t i, std::int64_t j, const Vec<float> (&w)[Shape::kRows]) const {
    const Vec<float> factors = load(k_.weights(window_.j0 + j));
    const float* own = q_.weights(window_.i0 + i);
    Vec<float> x[Shape::kRows];
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) x[r] = w[r] * own[r] * factors;
    Bf16* const row =
        tile(rows_, i / kTileRows, j / kTileDepth) + i % kTileRows * kTileDepth + j % kTileDepth;
    Bf16* const column = columns_ == nullptr ? nullptr
                                             : tile(columns_, j / kTileRows, i / kTileDepth) +
                                                   i % kTileDepth / 2 * kTileDepth;
    if (products_.left == 2) {
      store<2>(x, row, column);
    } else {
      store<3>(x, row, column);
    }
  }
  void mirror() const {}

  // out += the tile times the keys: the gradient of the window's rows, in result tiles.
  void times_keys(float* out) const {
    TileUnit unit;
    const std::int64_t across = 2 * k_.steps;  // result tiles beside each other
    const std::int64_t depth = ceil_div(window_.j1 - window_.j0, kTileDepth);
    for (std::int64_t i = 0; i < ceil_div(window_.i1 - window_.i0, kTileDepth); ++i) {
      for (std::int64_t c = 0; c < across; c += 2) {
        float* const upper = out + (2 * i * across + c) * kResultNumbers;
        float* const below = upper + across * kResultNumbers;
        unit.load(upper, upper + kResultNumbers, below, below + kResultNumbers, kResultBytes);
        products_.each([&](std::int64_t a, std::int64_t b) {
          const Bf16* const weights = tile(rows_ + a * kPart, 2 * i, 0);
          for (std::int64_t j = window_.upper ? i : 0; j < depth; ++j) {
            const Bf16* const left = weights + j * kTileNumbers;
            const Bf16* const right = k_.deep(b, window_.j0 / kTileDepth + j, c);
            unit.multiply(left, left + kStep, right, right + kTileNumbers);
          }
        });
        unit.store(upper, upper + kResultNumbers, below, below + kResultNumbers, kResultBytes);
      }
    }
  }
  // The same of its columns: out is what `turn_back` puts right.
  void times_queries(float* out) const {
    TileUnit unit;
    const std::int64_t height = ceil_div(window_.i1 - window_.i0, kTileDepth);
    for (std::int64_t j = 0; j < ceil_div(window_.j1 - window_.j0, kTileDepth); ++j) {
      for (std::int64_t c = 0; c < 2 * q_.steps; c += 2) {
        float* const to = out + (2 * j * q_.steps + c) * 2 * kResultNumbers;
        float* const below = to + 2 * kResultNumbers;
        unit.load(to, to + kResultNumbers, below, below + kResultNumbers, kResultBytes);
        products_.each([&](std::int64_t a, std::int64_t b) {
          const Bf16* const weights = tile(columns_ + a * kPart, 2 * j, 0);
          for (std::int64_t i = 0; i < (window_.upper ? j + 1 : height); ++i) {
            const Bf16* const left = q_.across(b, window_.i0 / kTileDepth + i, c);
            const Bf16* const right = weights + i * kTileNumbers;
            unit.multiply(left, left + kTileNumbers, right, right + kStep);
          }
        });
        unit.store(to, to + kResultNumbers, below, below + kResultNumbers, kResultBytes);
      }
    }
  }

  // Rows [32 p, 32 p + 32) of what times_queries added to: rows and columns of its tiles exchanged.
  static void turn_back(const TileRows& side, float* gradient, std::int64_t p) {
    float* const from = gradient + p * kTileDepth * side.stride;
    for (std::int64_t t = 0; t < 4 * side.steps; ++t) {
      transpose(reinterpret_cast<Bf16*>(from + t * kResultNumbers));
    }
  }

  // Row i of what both products added to, without the row's own factor. nullptr: none.
  static const float* row(const TileRows& side, const float* by_keys, const float* by_queries,
                          std::int64_t i, float* own) {
    const float weight = *side.weights(i), inverse = weight == 0 ? 0 : 1 / weight;
    const float* straight = nullptr;
    const float* turned = nullptr;
    if (by_keys != nullptr) {
      straight = by_keys + i / kTileRows * kTileRows * side.stride + i % kTileRows * kTileRows;
    }
    if (by_queries != nullptr) {
      turned = by_queries + i / kTileDepth * kTileDepth * side.stride +
               i % kTileDepth / kTileRows * kResultNumbers + i % kTileRows * kTileRows;
    }
    for (std::int64_t c = 0; c < side.stride; c += kTileRows) {
      Vec<float> x{};
      if (straight != nullptr) x += load(straight + c * kTileRows);
      if (turned != nullptr) x += load(turned + 2 * c * kTileRows);
      tsssl::TSSSL_ISA::store(own + c, x * inverse);
    }
    return own;
  }

 private:
  static constexpr std::int64_t kPart = kMaxBlock * kMaxBlock;
  static constexpr std::int64_t kStep = kMaxBlock / kTileDepth * kTileNumbers;  // to the tile below

  template <int kParts>
  static TSSSL_INLINE void store(Vec<float> (&x)[Shape::kRows], Bf16* row, Bf16* column) {
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; r += 2) {
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) {
        const RoundedPair rounded = take_part(x[r], x[r + 1]);
        Bf16* const to = row + part * kPart + r * kTileDepth;
        __builtin_memcpy(to, &rounded.even, sizeof rounded.even);
        __builtin_memcpy(to + kTileDepth, &rounded.odd, sizeof rounded.odd);
        if (column == nullptr) continue;
        Bf16* const turned = column + part * kPart + r / 2 * kTileDepth;
        __builtin_memcpy(turned, &rounded.pairs, sizeof rounded.pairs);
      }
    }
  }

  // Row i of 16, column j of 32; of `columns`, column i of 16, row j of 32.
  static TSSSL_INLINE Bf16* tile(Bf16* operand, std::int64_t i, std::int64_t j) {
    return operand + i * kStep + j * kTileNumbers;
  }

  const TileRows &q_, &k_;
  const PartProducts products_;
  const Window window_;
  Bf16 *const rows_, *const columns_;
};

// dL/da near 1, so that no part of it falls below what the unit keeps. NaN is passed over.
inline double tile_unit_scale(const TileRows&, std::int64_t rows,
                              const LogitGradient<float>& logit) {
  float largest = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* const all[] = {logit.negative, logit.positive, logit.constant};
    for (const float* of : all) {
      const float magnitude = __builtin_fabsf(of[i]);
      if (magnitude > largest && magnitude <= 3.4028234664e38f) largest = magnitude;
    }
  }
  int exponent = 0;
  if (largest > 0) __builtin_frexp(largest, &exponent);
  return __builtin_ldexp(1.0, -exponent);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
