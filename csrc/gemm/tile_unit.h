// The tensor unit of a processor (Intel AMX): products of 16 x 16 tiles of bfloat16 pairs, summed
// in float32, and the same in plain C++ with the same order of sums, so that what is written on it
// runs on every machine: both have the same bits.
//
// An operand tile is 1 KB, 16 rows of 32 numbers. Left: 16 rows of A, 32 numbers of depth each.
// Right: 16 pairs of depth, each with 16 columns of B beside each other: (k, 2 n) and (k, 2 n + 1)
// of row k are the numbers 2 k and 2 k + 1 of depth of column n. A result tile has 16 rows of 16
// float32.
#pragma once
#include "simd/vec.h"

#ifndef TSSSL_TILE_EMULATION
#include <immintrin.h>
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

enum class Bf16 : std::uint16_t {};

constexpr std::int64_t kTileRows = 16, kTileDepth = 32;
constexpr std::int64_t kTileNumbers = kTileRows * kTileDepth;  // of an operand
constexpr std::int64_t kResultNumbers = kTileRows * kTileRows;
constexpr std::int64_t kResultBytes = kTileRows * sizeof(float);

#ifndef TSSSL_TILE_EMULATION

// While it lives, the thread's tiles are ours: their shapes belong to the thread, and other
// libraries set their own between two calls. One for a task, never in an inner loop.
//
// Four results of 2 x 2 tiles: two left and two right operands serve four products.
class TileUnit {
 public:
  TileUnit() {
    struct {
      std::uint8_t palette = 1, start = 0, reserved[14] = {};
      std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shapes;
    static_assert(sizeof shapes == 64);
    _tile_loadconfig(&shapes);
  }
  ~TileUnit() { _tile_release(); }
  TileUnit(const TileUnit&) = delete;
  TileUnit& operator=(const TileUnit&) = delete;

  TSSSL_INLINE void zero() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  // The results at c (upper left), then right of it, below, and below right.
  TSSSL_INLINE void load(const float* c0, const float* c1, const float* c2, const float* c3,
                         std::int64_t stride) {
    _tile_loadd(0, c0, stride);
    _tile_loadd(1, c1, stride);
    _tile_loadd(2, c2, stride);
    _tile_loadd(3, c3, stride);
  }
  TSSSL_INLINE void store(float* c0, float* c1, float* c2, float* c3, std::int64_t stride) const {
    _tile_stored(0, c0, stride);
    _tile_stored(1, c1, stride);
    _tile_stored(2, c2, stride);
    _tile_stored(3, c3, stride);
  }
  TSSSL_INLINE void multiply(const Bf16* a0, const Bf16* a1, const Bf16* b0, const Bf16* b1) {
    _tile_loadd(4, a0, 64);
    _tile_loadd(6, b0, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b1, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a1, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  // The same in two steps: a left operand, and any number of right ones that it meets.
  TSSSL_INLINE void left(const Bf16* a0, const Bf16* a1) {
    _tile_loadd(4, a0, 64);
    _tile_loadd(5, a1, 64);
  }
  TSSSL_INLINE void right(const Bf16* b0, const Bf16* b1) {
    _tile_loadd(6, b0, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(2, 5, 6);
    _tile_loadd(7, b1, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
};

#else

class TileUnit {
 public:
  void zero() { __builtin_memset(c_, 0, sizeof c_); }
  void load(const float* c0, const float* c1, const float* c2, const float* c3,
            std::int64_t stride) {
    const float* from[] = {c0, c1, c2, c3};
    for (int t = 0; t < 4; ++t) {
      for (int r = 0; r < kTileRows; ++r) {
        __builtin_memcpy(c_[t][r], bytes(from[t]) + r * stride, sizeof c_[t][r]);
      }
    }
  }
  void store(float* c0, float* c1, float* c2, float* c3, std::int64_t stride) const {
    float* to[] = {c0, c1, c2, c3};
    for (int t = 0; t < 4; ++t) {
      for (int r = 0; r < kTileRows; ++r) {
        __builtin_memcpy(const_cast<char*>(bytes(to[t])) + r * stride, c_[t][r], sizeof c_[t][r]);
      }
    }
  }
  void multiply(const Bf16* a0, const Bf16* a1, const Bf16* b0, const Bf16* b1) {
    product(a0, b0, c_[0]);
    product(a0, b1, c_[1]);
    product(a1, b0, c_[2]);
    product(a1, b1, c_[3]);
  }
  void left(const Bf16* a0, const Bf16* a1) {
    left_[0] = a0;
    left_[1] = a1;
  }
  void right(const Bf16* b0, const Bf16* b1) { multiply(left_[0], left_[1], b0, b1); }

 private:
  static const char* bytes(const float* p) { return reinterpret_cast<const char*>(p); }

  // As the instruction does it: even and odd numbers of depth in a sum of their own, then both and
  // the result before; every operation rounds to nearest, subnormal numbers count as zero.
  static void product(const Bf16* a, const Bf16* b, float (&c)[kTileRows][kTileRows]) {
    for (int m = 0; m < kTileRows; ++m) {
      for (int n = 0; n < kTileRows; ++n) {
        float sums[2] = {};
        for (int k = 0; k < kTileRows; ++k) {
          for (int odd = 0; odd < 2; ++odd) {
            const float x = number(a[m * kTileDepth + 2 * k + odd]);
            const float y = number(b[k * kTileDepth + 2 * n + odd]);
            sums[odd] = flushed(__builtin_fmaf(x, y, sums[odd]));
          }
        }
        c[m][n] = flushed(c[m][n] + flushed(sums[0] + sums[1]));
      }
    }
  }
  static float flushed(float x) { return __builtin_fabsf(x) < 0x1p-126f ? 0.0f : x; }
  static float number(Bf16 x) {
    const std::uint32_t word = static_cast<std::uint32_t>(x) << 16;
    float value;
    __builtin_memcpy(&value, &word, sizeof value);
    return flushed(value);
  }

  const Bf16* left_[2];
  float c_[4][kTileRows][kTileRows];
};

#endif

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
