// A block pair's dL/ds for the tensor unit: what GradientTile is for register tiles.
#pragma once
#include "contrastive/gradient_tile.h"
#include "contrastive/tile_rows.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// The tile is multiplied with the factors of its rows and of its columns, so that it serves both
// products: turned, it is the left operand of the queries'. gradient_row takes a row's own factor
// out again. A block on the diagonal of one set has its upper half in both products; they are the
// two halves of the whole.
class TileGradient {
 public:
  static std::int64_t size(const TileRows& side) {
    return side.products.gradient.left * kMaxBlock * kMaxBlock;  // floats, two operands of Bf16
  }

  TileGradient(float* data, const TileRows& q, const TileRows& k, const Window& window, bool)
      : q_(q),
        k_(k),
        products_(q.products.gradient),
        window_(window),
        rows_(reinterpret_cast<Bf16*>(data)),
        columns_(rows_ + products_.left * kMaxBlock * kMaxBlock) {}

  TSSSL_INLINE void put(std::int64_t i, std::int64_t j, const Vec<float> (&w)[Shape::kRows]) const {
    constexpr std::int64_t kStep = kMaxBlock * kMaxBlock;
    const Vec<float> factors = load(k_.weights(window_.j0 + j));
    const float* own = q_.weights(window_.i0 + i);
    Bf16* const row =
        tile(rows_, i / kTileRows, j / kTileDepth) + i % kTileRows * kTileDepth + j % kTileDepth;
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) {
      const Vec<float> x = w[r] * own[r] * factors;
      Bf16* const to = row + r * kTileDepth;
      if (products_.left == 2) {
        store_row(to, 2, kStep, x);
      } else {
        store_row(to, 3, kStep, x);
      }
    }
  }
  void mirror() const {}

  // out += the tile times the keys: the gradient of the window's rows, in result tiles.
  void times_keys(float* out) const {
    multiply(rows_, ceil_div(window_.i1 - window_.i0, kTileDepth),
             ceil_div(window_.j1 - window_.j0, kTileDepth), k_, window_.j0, false, out);
  }
  void times_queries(float* out) const {
    const std::int64_t height = ceil_div(window_.i1 - window_.i0, kTileDepth);
    const std::int64_t width = ceil_div(window_.j1 - window_.j0, kTileDepth);
    for (std::int64_t part = 0; part < products_.left; ++part) {
      Bf16* const from = rows_ + part * kMaxBlock * kMaxBlock;
      Bf16* const to = columns_ + part * kMaxBlock * kMaxBlock;
      for (std::int64_t j = 0; j < 2 * width; ++j) {
        const std::int64_t half = j % 2 * kTileRows;
        for (std::int64_t i = 0; i < (window_.upper ? j / 2 + 1 : height); ++i) {
          turn(tile(from, 2 * i, j / 2) + half, tile(from, 2 * i + 1, j / 2) + half,
               tile(to, j, i));
        }
      }
    }
    multiply(columns_, width, height, q_, window_.i0, true, out);
  }

 private:
  // 16 rows, 32 columns.
  static TSSSL_INLINE Bf16* tile(Bf16* operand, std::int64_t i, std::int64_t j) {
    return operand + (i * (kMaxBlock / kTileDepth) + j) * kTileNumbers;
  }

  // rows, depth: in 32s. lower: of a block on the diagonal the lower half, else the upper.
  void multiply(const Bf16* left, std::int64_t rows, std::int64_t depth, const TileRows& side,
                std::int64_t first, bool lower, float* out) const {
    TileUnit unit;
    const std::int64_t across = 2 * side.steps;  // result tiles beside each other
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t begin = window_.upper && !lower ? i : 0;
      const std::int64_t end = window_.upper && lower ? i + 1 : depth;
      for (std::int64_t c = 0; c < across; c += 2) {
        float* const upper = out + (2 * i * across + c) * kResultNumbers;
        float* const below = upper + across * kResultNumbers;
        unit.load(upper, upper + kResultNumbers, below, below + kResultNumbers, kResultBytes);
        products_.each([&](std::int64_t a, std::int64_t b) {
          const Bf16* const weights = left + a * kMaxBlock * kMaxBlock;
          for (std::int64_t j = begin; j < end; ++j) {
            const Bf16* const right = side.deep(b, first / kTileDepth + j, c);
            unit.multiply(tile(const_cast<Bf16*>(weights), 2 * i, j),
                          tile(const_cast<Bf16*>(weights), 2 * i + 1, j), right,
                          right + kTileNumbers);
          }
        });
        unit.store(upper, upper + kResultNumbers, below, below + kResultNumbers, kResultBytes);
      }
    }
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

// From result tiles, without the row's own factor.
TSSSL_INLINE const float* gradient_row(const TileRows& side, const float* gradient, std::int64_t i,
                                       float* own) {
  const float* from =
      gradient + i / kTileRows * kTileRows * side.stride + i % kTileRows * kTileRows;
  const float weight = *side.weights(i), inverse = weight == 0 ? 0 : 1 / weight;
  for (std::int64_t c = 0; c < side.stride; c += kTileRows) {
    store(own + c, load(from + c * kTileRows) * inverse);
  }
  return own;
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
