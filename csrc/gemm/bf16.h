// float32 numbers as bfloat16: rounded, or split into parts whose sum they are.
#pragma once
#include "simd/vec.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

typedef std::uint16_t Bf16s __attribute__((vector_size(TSSSL_VECTOR_BYTES / 2)));
typedef typename Simd<float>::Word Words;

// To nearest, halfway to even; subnormal numbers become zero.
TSSSL_INLINE Bf16s round_to_bf16(Vec<float> x) {
#ifdef __AVX512BF16__
  return (Bf16s)_mm512_cvtneps_pbh((__m512)x);
#else
  const Words word = (Words)x, magnitude = word & 0x7fffffffu;
  const Words nearest = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
  const Words flushed = magnitude < 0x00800000u ? word >> 16 & 0x8000u : nearest;
  return __builtin_convertvector(magnitude > 0x7f800000u ? word >> 16 | 0x40u : flushed, Bf16s);
#endif
}

TSSSL_INLINE Words widen(Bf16s x) { return __builtin_convertvector(x, Words); }

// The part of x that its largest bfloat16 part leaves: exact.
TSSSL_INLINE Vec<float> rest(Vec<float> x, Bf16s part) {
  return x - (Vec<float>)(widen(part) << 16);
}

// Neighbours of one column: 16 pairs (even, odd).
TSSSL_INLINE Words pairs_of(Bf16s even, Bf16s odd) { return widen(even) | widen(odd) << 16; }

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
