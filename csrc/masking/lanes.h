// The bytes of a mask, row by row and as lanes of a vector.
#pragma once
#include "simd/vec.h"
#include "tsssl/masking.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// The mask of one row as contiguous bytes: in place where it is, else in `spare`.
inline const std::uint8_t* mask_row(const MaskView& mask, std::int64_t n, std::int64_t c,
                                    std::int64_t t, std::uint8_t* spare) {
  const std::uint8_t* m = mask.data + n * mask.stride_n + c * mask.stride_c;
  if (mask.stride_t == 1) return m;
  if (mask.stride_t == 0) {
    __builtin_memset(spare, *m, static_cast<std::size_t>(t));
  } else {
    for (std::int64_t i = 0; i < t; ++i) spare[i] = m[i * mask.stride_t];
  }
  return spare;
}

// Lanes of all ones where the byte is 1, of zeros where it is 0. The compiler's own widening of a
// byte vector takes it apart: 140 microseconds for a loss over 256 x 9 x 128 instead of 53.
TSSSL_INLINE IntVec<float> hidden_lanes(const std::uint8_t* m, float) {
  IntVec<float> wide;
#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__)
  wide = (IntVec<float>)_mm512_maskz_cvtepi8_epi32(0xFFFF, _mm_loadu_si128((const __m128i*)m));
#elif TSSSL_VECTOR_BYTES == 32 && defined(__AVX2__)
  wide = (IntVec<float>)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)m));
#elif TSSSL_VECTOR_BYTES == 16 && defined(__SSE2__)
  std::int32_t four;
  __builtin_memcpy(&four, m, sizeof four);
  const __m128i zero = _mm_setzero_si128();
  wide = (IntVec<float>)_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero), zero);
#else
  for (int i = 0; i < Simd<float>::kLanes; ++i) wide[i] = m[i];
#endif
  return IntVec<float>{} - wide;
}
TSSSL_INLINE IntVec<double> hidden_lanes(const std::uint8_t* m, double) {
  IntVec<double> wide;
#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__)
  wide = (IntVec<double>)_mm512_maskz_cvtepi8_epi64(0xFF, _mm_loadl_epi64((const __m128i*)m));
#else
  for (int i = 0; i < Simd<double>::kLanes; ++i) wide[i] = m[i];
#endif
  return IntVec<double>{} - wide;
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
