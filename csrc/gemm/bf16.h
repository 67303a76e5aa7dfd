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

// The compiler's conversion is four instructions. Intrinsics with a mask of ones, which costs
// nothing: GCC 12 takes what the plain ones leave undefined for uninitialised.
TSSSL_INLINE Words widen(Bf16s x) {
#ifdef __AVX512BF16__
  return (Words)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)x);
#else
  return __builtin_convertvector(x, Words);
#endif
}

// The part of x that its largest bfloat16 part leaves: exact.
TSSSL_INLINE Vec<float> rest(Vec<float> x, Bf16s part) {
  return x - (Vec<float>)(widen(part) << 16);
}

// Two rows as bfloat16 parts: by rows, and the neighbours of one column as 16 pairs (even, odd).
// What the parts leave of the rows stays in them.
struct RoundedPair {
  Bf16s even, odd;
  Words pairs;
};

TSSSL_INLINE RoundedPair take_part(Vec<float>& even, Vec<float>& odd) {
  RoundedPair part;
#ifdef __AVX512BF16__
  typedef std::uint16_t All __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  const __m512i all = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
  constexpr All kInterleaved = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  __builtin_memcpy(&part.even, &all, sizeof part.even);
  part.odd = (Bf16s)_mm512_maskz_extracti64x4_epi64(0xf, all, 1);
  part.pairs = (Words)_mm512_maskz_permutexvar_epi16(0xffffffffu, (__m512i)kInterleaved, all);
#else
  part.even = round_to_bf16(even);
  part.odd = round_to_bf16(odd);
  part.pairs = widen(part.even) | widen(part.odd) << 16;
#endif
  even -= (Vec<float>)(part.pairs << 16);
  odd -= (Vec<float>)(part.pairs & 0xffff0000u);
  return part;
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
