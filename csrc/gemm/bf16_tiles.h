// Pairs of bfloat16 numbers as elements of matrix products: AVX512_BF16 multiplies two pairs and
// adds both products to a float32 accumulator in one instruction, twice the arithmetic of a fused
// multiply-add. Subnormal operands count as zero there.
#pragma once
#include <immintrin.h>

#include "gemm/bf16.h"
#include "gemm/tiles.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

enum class Bf16Pair : std::uint32_t {};  // the first number in the low half

template <>
struct Simd<Bf16Pair> {
  typedef std::uint32_t Vec __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  typedef std::int32_t Int __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  static constexpr int kLanes = TSSSL_VECTOR_BYTES / 4;
};

template <>
struct Accumulator<Bf16Pair> {
  typedef float Type;
};

TSSSL_INLINE void multiply_add(Bf16Pair left, Vec<Bf16Pair> right, Vec<float>& acc) {
  const __m512i both = _mm512_set1_epi32(static_cast<int>(left));
  acc = (Vec<float>)_mm512_dpbf16_ps((__m512)acc, (__m512bh)both, (__m512bh)right);
}

// Neighbours of one row: 16 numbers as 8 pairs.
TSSSL_INLINE void store_row(Bf16Pair* p, Bf16s x) { __builtin_memcpy(p, &x, sizeof x); }

// Neighbours of one column: 16 pairs (even, odd).
TSSSL_INLINE void store_columns(Bf16Pair* p, Words pairs) {
  __builtin_memcpy(p, &pairs, sizeof pairs);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
