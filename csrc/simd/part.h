// The ends of rows: the first `count` lanes of a vector, from memory and to it.
#pragma once
#include "simd/vec.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Lanes from `count` on are `pad`; nothing behind p + count is read.
template <class T>
TSSSL_INLINE Vec<T> load_part(const T* p, std::int64_t count, T pad) {
  T lanes[Simd<T>::kLanes];
  for (int i = 0; i < Simd<T>::kLanes; ++i) lanes[i] = i < count ? p[i] : pad;
  return load(lanes);
}

template <class T>
TSSSL_INLINE void store_part(T* p, Vec<T> v, std::int64_t count) {
  T lanes[Simd<T>::kLanes];
  store(lanes, v);
  for (int i = 0; i < Simd<T>::kLanes && i < count; ++i) p[i] = lanes[i];
}

#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__)
template <>
TSSSL_INLINE Vec<float> load_part(const float* p, std::int64_t count, float pad) {
  const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1u);
  return (Vec<float>)_mm512_mask_loadu_ps(_mm512_set1_ps(pad), mask, p);
}
template <>
TSSSL_INLINE void store_part(float* p, Vec<float> v, std::int64_t count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), (__m512)v);
}
#endif

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
