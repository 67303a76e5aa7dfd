// One side of a product for the tensor unit: rows in blocks of 32 and chunks of their depth. In
// each chunk a row is scaled by a power of two to numbers below 2, so that no part of them falls
// below what the unit keeps, and split into bfloat16 parts. A product's rows are multiplied with
// the powers again where they leave the tiles, exactly.
#pragma once
#include "gemm/operand_tiles.h"
#include "runtime/scratch.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr std::int64_t kChunk = 256;  // depth of one chunk: two blocks of it share the L1 cache
constexpr std::int64_t kBlockRows = 2 * kTileRows;

// 32 rows of one chunk in float32, on their way into parts: rows of depth, or depth of rows.
struct BlockRows {
  alignas(64) float data[kBlockRows * kChunk];

  // Numbers [0, depth) of row r.
  float* row(std::int64_t r) { return data + r * kChunk; }
  // Rows [0, 32) of depth k.
  float* across(std::int64_t k) { return data + k * kBlockRows; }
};

// Powers of two: of the way in, 2^-e, and of the way out, 2^e, for a largest magnitude in
// [2^e, 2^(e+1)), given as its bits.
struct Power {
  static constexpr std::uint32_t kMagnitude = 0x7fffffffu;
  static constexpr std::uint32_t kTooLarge = 253u << 23;  // 2^-e would be subnormal

  static TSSSL_INLINE Words field(Words magnitude) { return magnitude & 0x7f800000u; }
  static TSSSL_INLINE Vec<float> in(Words magnitude) {
    return (Vec<float>)((254u << 23) - field(magnitude));
  }
  static TSSSL_INLINE Vec<float> out(Words magnitude) { return (Vec<float>)field(magnitude); }
};

class SplitBlocks {
 public:
  SplitBlocks(std::int64_t side, std::int64_t depth, std::int64_t parts)
      : parts_(parts),
        blocks_(ceil_div(side, kBlockRows)),
        depth_(depth),
        tiles_(parts * blocks_ * kBlockRows * round_up(depth, kTileDepth)),
        factors_(parts == 0 ? 0 : blocks_ * kBlockRows * ceil_div(depth, kChunk)) {}

  std::int64_t steps(std::int64_t chunk) const {
    return ceil_div(min(kChunk, depth_ - chunk * kChunk), kTileDepth);
  }
  // Of a chunk, whole tiles.
  std::int64_t depth(std::int64_t chunk) const { return steps(chunk) * kTileDepth; }

  // One block of one chunk. Tiles step by step, part by part: the upper 16 rows, then the lower.
  struct Block {
    const Bf16* tiles;
    const float* factors;
    std::int64_t parts;
  };
  Block at(std::int64_t chunk, std::int64_t b) const {
    return {block(chunk, b), factors(chunk, b), parts_};
  }

  // A left operand from rows, zeros beyond what is there. false: a row that can not be scaled.
  bool left_from_rows(std::int64_t chunk, std::int64_t b, BlockRows& rows) const {
    const std::int64_t wide = depth(chunk);
    float* const factor = factors(chunk, b);
    Bf16* const to = block(chunk, b);
    bool usable = true;
    for (std::int64_t r = 0; r < kBlockRows; ++r) {
      const float* const x = rows.row(r);
      Words largest{};
      for (std::int64_t k = 0; k < wide; k += kTileRows) {
        const Words bits = (Words)load(x + k) & Power::kMagnitude;
        largest = bits > largest ? bits : largest;
      }
      std::uint32_t most = 0;
      for (int l = 0; l < kTileRows; ++l) most = largest[l] > most ? largest[l] : most;
      usable &= most < Power::kTooLarge;
      const Words all = Words{} + most;
      factor[r] = Power::out(all)[0];
      const Vec<float> power = Power::in(all);
      for (std::int64_t k = 0; k < wide; k += kTileRows) {
        store_row(to + tile_of(k / kTileDepth, r / kTileRows) + r % kTileRows * kTileDepth +
                      k % kTileDepth,
                  parts_, kPart, load(x + k) * power);
      }
    }
    return usable;
  }

  // A right operand from depth that lies row by row: its rows are 32 columns of that.
  bool right_from_depth(std::int64_t chunk, std::int64_t b, BlockRows& rows) const {
    const std::int64_t wide = depth(chunk);
    float* const factor = factors(chunk, b);
    Bf16* const to = block(chunk, b);
    bool usable = true;
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t first = half * kTileRows;
      Words largest{};
      for (std::int64_t k = 0; k < wide; ++k) {
        const Words bits = (Words)load(rows.across(k) + first) & Power::kMagnitude;
        largest = bits > largest ? bits : largest;
      }
      for (int l = 0; l < kTileRows; ++l) usable &= largest[l] < Power::kTooLarge;
      store(factor + first, Power::out(largest));
      const Vec<float> power = Power::in(largest);
      for (std::int64_t k = 0; k < wide; k += 2) {
        store_pair(to + tile_of(k / kTileDepth, half) + k % kTileDepth / 2 * kTileDepth, parts_,
                   kPart, load(rows.across(k) + first) * power,
                   load(rows.across(k + 1) + first) * power);
      }
    }
    return usable;
  }

  // From the same block as the other kind of operand: its first parts, each tile transposed.
  void from_other(std::int64_t chunk, std::int64_t b, const SplitBlocks& other) const {
    __builtin_memcpy(factors(chunk, b), other.factors(chunk, b), kBlockRows * sizeof(float));
    const Bf16* const from = other.block(chunk, b);
    Bf16* const to = block(chunk, b);
    for (std::int64_t step = 0; step < steps(chunk); ++step) {
      for (std::int64_t part = 0; part < parts_; ++part) {
        for (std::int64_t half = 0; half < 2; ++half) {
          Bf16* const tile = to + tile_of(step, half) + part * kPart;
          __builtin_memcpy(tile, from + other.tile_of(step, half) + part * kPart,
                           kTileNumbers * sizeof(Bf16));
          transpose(tile);
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kPart = 2 * kTileNumbers;

  Bf16* block(std::int64_t chunk, std::int64_t b) const {
    return tiles_.get() + (chunk * kChunk * blocks_ + b * depth(chunk)) * kBlockRows * parts_;
  }
  float* factors(std::int64_t chunk, std::int64_t b) const {
    return factors_.get() + (chunk * blocks_ + b) * kBlockRows;
  }

  std::int64_t tile_of(std::int64_t step, std::int64_t half) const {
    return step * parts_ * kPart + half * kTileNumbers;
  }

  std::int64_t parts_, blocks_, depth_;
  Scratch<Bf16> tiles_;
  Scratch<float> factors_;
};

// c (32 x 32, rows ldc apart) = or += a block of a left operand times one of a right, over `steps`
// tiles of depth. Each chunk has a sum of its own, which is added to c: rounding grows with the
// length of a sum. Asking for the next step's tiles brings a tenth.
TSSSL_INLINE void multiply_blocks(TileUnit& unit, const PartProducts& products, std::int64_t steps,
                                  const SplitBlocks::Block& left, const SplitBlocks::Block& right,
                                  float* c, std::int64_t ldc, bool first) {
  constexpr std::int64_t kPair = 2 * kTileNumbers, kPrefetched = 48;
  unit.zero();
  // Lines of the next step that are asked for beside each product.
  const std::int64_t ahead = left.parts == 1 ? 0 : kPrefetched / left.parts;
  for (std::int64_t step = 0; step < steps; ++step) {
    const Bf16* const x = left.tiles + step * left.parts * kPair;
    const Bf16* const y = right.tiles + step * right.parts * kPair;
    const Bf16* next_x = x + left.parts * kPair;
    const Bf16* next_y = y + right.parts * kPair;
    // The smallest products first; a left part stays in its tiles for all that it meets.
    for (std::int64_t p = left.parts - 1; p >= 0; --p) {
      unit.left(x + p * kPair, x + p * kPair + kTileNumbers);
      for (std::int64_t q = min(right.parts, products.limit - p) - 1; q >= 0; --q) {
        unit.right(y + q * kPair, y + q * kPair + kTileNumbers);
        for (std::int64_t line = 0; line < ahead; ++line) {
          __builtin_prefetch(next_x);
          __builtin_prefetch(next_y);
          next_x += kTileDepth;
          next_y += kTileDepth;
        }
      }
    }
  }
  alignas(64) float results[kBlockRows * kBlockRows];
  unit.store(results, results + kTileRows, results + kTileRows * kBlockRows,
             results + kTileRows * kBlockRows + kTileRows, kBlockRows * sizeof(float));
  const Vec<float> near = load(right.factors), far = load(right.factors + kTileRows);
  for (std::int64_t r = 0; r < kBlockRows; ++r) {
    float* const to = c + r * ldc;
    const float* const from = results + r * kBlockRows;
    const Vec<float> x = load(from) * left.factors[r] * near;
    const Vec<float> y = load(from + kTileRows) * left.factors[r] * far;
    store(to, first ? x : load(to) + x);
    store(to + kTileRows, first ? y : load(to + kTileRows) + y);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
