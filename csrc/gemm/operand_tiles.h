// Operand tiles of the tensor unit from float32 rows.
#pragma once
#include "gemm/bf16.h"
#include "gemm/tile_unit.h"
#include "gemm/tiles.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// A sum of bfloat16 parts on each side. Of their products those are formed whose places add up to
// less than `limit`: a part is 2^-8 of the one before it.
struct PartProducts {
  std::int64_t left, right, limit;

  // f(part of the left side, part of the right side), the smallest products first.
  template <class F>
  TSSSL_INLINE void each(const F& f) const {
    for (std::int64_t place = min(limit, left + right - 1) - 1; place >= 0; --place) {
      for (std::int64_t a = max(0, place - right + 1); a <= min(place, left - 1); ++a) {
        f(a, place - a);
      }
    }
  }
};

// 16 x 16 words in place: what lies in rows of pairs lies in columns of pairs then, so that a left
// operand becomes a right one and the other way round.
TSSSL_INLINE void transpose(Bf16* tile) {
  Words rows[kTileRows];
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) __builtin_memcpy(&rows[r], tile + r * kTileDepth, 64);
#pragma GCC unroll 4
  for (unsigned step = 1; step < kTileRows; step *= 2) {
    Words upper, lower;
    for (unsigned c = 0; c < kTileRows; ++c) {
      upper[c] = (c & step) == 0 ? c : c - step + 16;
      lower[c] = (c & step) == 0 ? c + step : c + 16;
    }
#pragma GCC unroll 16
    for (unsigned r = 0; r < kTileRows; ++r) {
      if ((r & step) != 0) continue;
      const Words a = rows[r], b = rows[r + step];
      rows[r] = __builtin_shuffle(a, b, upper);
      rows[r + step] = __builtin_shuffle(a, b, lower);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) __builtin_memcpy(tile + r * kTileDepth, &rows[r], 64);
}

// 16 numbers of a row of a left operand, `parts` tiles that lie `step` numbers apart.
TSSSL_INLINE void store_row(Bf16* to, std::int64_t parts, std::int64_t step, Vec<float> x) {
  for (std::int64_t p = 0; p < parts; ++p) {
    const Bf16s part = round_to_bf16(x);
    __builtin_memcpy(to + p * step, &part, sizeof part);
    x = rest(x, part);
  }
}

// A pair of rows of a right operand: neighbours in depth, 16 columns.
TSSSL_INLINE void store_pair(Bf16* to, std::int64_t parts, std::int64_t step, Vec<float> even,
                             Vec<float> odd) {
  for (std::int64_t p = 0; p < parts; ++p) {
    const RoundedPair part = take_part(even, odd);
    __builtin_memcpy(to + p * step, &part.pairs, sizeof part.pairs);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
