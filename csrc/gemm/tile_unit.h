// The tensor unit of a processor (Intel AMX): products of 16 x 16 tiles of bfloat16 pairs, summed
// in float32. The same in plain C++ with the same order of sums, so that what is written on it runs
// on every machine: both have the same bits. And on vectors of AVX512_BF16, in another order, for
// processors on which a product of pairs takes less time than two of float32 (runtime/isa.h).
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

#if !defined(TSSSL_TILE_EMULATION) && !defined(TSSSL_BF16_PAIRS)

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

#elif defined(TSSSL_BF16_PAIRS)

// The four results are one of 32 x 32 in the L1 cache, of which 8 rows at a time are in registers.
class TileUnit {
 public:
  TSSSL_INLINE void zero() { __builtin_memset(c_, 0, sizeof c_); }
  TSSSL_INLINE void load(const float* c0, const float* c1, const float* c2, const float* c3,
                         std::int64_t stride) {
    for (int r = 0; r < kTileRows; ++r) {
      __builtin_memcpy(c_[r], row(c0, r, stride), kResultBytes);
      __builtin_memcpy(c_[r] + kTileRows, row(c1, r, stride), kResultBytes);
      __builtin_memcpy(c_[kTileRows + r], row(c2, r, stride), kResultBytes);
      __builtin_memcpy(c_[kTileRows + r] + kTileRows, row(c3, r, stride), kResultBytes);
    }
  }
  TSSSL_INLINE void store(float* c0, float* c1, float* c2, float* c3, std::int64_t stride) const {
    for (int r = 0; r < kTileRows; ++r) {
      __builtin_memcpy(row(c0, r, stride), c_[r], kResultBytes);
      __builtin_memcpy(row(c1, r, stride), c_[r] + kTileRows, kResultBytes);
      __builtin_memcpy(row(c2, r, stride), c_[kTileRows + r], kResultBytes);
      __builtin_memcpy(row(c3, r, stride), c_[kTileRows + r] + kTileRows, kResultBytes);
    }
  }
  void multiply(const Bf16* a0, const Bf16* a1, const Bf16* b0, const Bf16* b1) {
    for (std::int64_t r = 0; r < kTileRows; r += kRows) {
      multiply_rows(a0 + r * kTileDepth, b0, b1, c_[r]);
      multiply_rows(a1 + r * kTileDepth, b0, b1, c_[kTileRows + r]);
    }
  }
  void left(const Bf16* a0, const Bf16* a1) {
    left_[0] = a0;
    left_[1] = a1;
  }
  void right(const Bf16* b0, const Bf16* b1) { multiply(left_[0], left_[1], b0, b1); }

 private:
  static constexpr int kRows = 8;

  template <class T>
  static T* row(T* c, int r, std::int64_t stride) {
    return c + r * (stride / std::int64_t(sizeof(float)));
  }
  // 8 rows of a left operand times two right ones.
  static __attribute__((noinline)) void multiply_rows(const Bf16* a, const Bf16* b0, const Bf16* b1,
                                                      float* c) {
    __m512 near[kRows], far[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      near[r] = _mm512_load_ps(c + r * 2 * kTileRows);
      far[r] = _mm512_load_ps(c + r * 2 * kTileRows + kTileRows);
    }
    for (std::int64_t k = 0; k < kTileDepth; k += 2) {
      __m512bh right[2];
      __builtin_memcpy(&right[0], b0 + k * kTileRows, sizeof right[0]);
      __builtin_memcpy(&right[1], b1 + k * kTileRows, sizeof right[1]);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        std::int32_t pair;
        __builtin_memcpy(&pair, a + r * kTileDepth + k, sizeof pair);
        const __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
        near[r] = _mm512_dpbf16_ps(near[r], left, right[0]);
        far[r] = _mm512_dpbf16_ps(far[r], left, right[1]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      _mm512_store_ps(c + r * 2 * kTileRows, near[r]);
      _mm512_store_ps(c + r * 2 * kTileRows + kTileRows, far[r]);
    }
  }

  const Bf16* left_[2];
  alignas(64) float c_[2 * kTileRows][2 * kTileRows];
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
