// One vector type for every instruction set, on the compilers' vector extensions: arithmetic and
// comparison come from the language, so only loads, selects, reductions and exp are written here.
// TSSSL_VECTOR_BYTES is 16 (SSE2, NEON), 32 (AVX2) or 64 (AVX-512).
#pragma once
#include <cstdint>

#if !defined(TSSSL_ISA) || !defined(TSSSL_VECTOR_BYTES)
#error "compile through CMakeLists.txt, which defines TSSSL_ISA and TSSSL_VECTOR_BYTES"
#endif

#define TSSSL_INLINE inline __attribute__((always_inline))

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vec __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  typedef std::int32_t Int __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  typedef std::int32_t Lane;
  typedef std::uint32_t Word __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  typedef std::int32_t Int32 __attribute__((vector_size(TSSSL_VECTOR_BYTES)));  // one per lane
  typedef std::int8_t Int8 __attribute__((vector_size(TSSSL_VECTOR_BYTES / 4)));
  static constexpr int kLanes = TSSSL_VECTOR_BYTES / 4;
};

template <>
struct Simd<double> {
  typedef double Vec __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  typedef std::int64_t Int __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  typedef std::int64_t Lane;
  typedef std::int32_t Int32 __attribute__((vector_size(TSSSL_VECTOR_BYTES / 2)));
  typedef std::int8_t Int8 __attribute__((vector_size(TSSSL_VECTOR_BYTES / 8)));
  static constexpr int kLanes = TSSSL_VECTOR_BYTES / 8;
};

template <class T>
using Vec = typename Simd<T>::Vec;
template <class T>
using IntVec = typename Simd<T>::Int;

template <class T>
TSSSL_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
TSSSL_INLINE void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

template <class T>
TSSSL_INLINE Vec<T> broadcast(T x) {
  return x - Vec<T>{};  // x itself, where 0 + x would be an addition: -0 becomes 0 there
}

constexpr double kLn2 = 0.6931471805599453;

// 0, 1, 2, ...
template <class T>
TSSSL_INLINE IntVec<T> iota() {
  IntVec<T> v;
  for (int i = 0; i < Simd<T>::kLanes; ++i) v[i] = i;
  return v;
}

template <class T>
TSSSL_INLINE T sum(Vec<T> v) {
  T lanes[Simd<T>::kLanes];
  store(lanes, v);
  for (int width = Simd<T>::kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

// x, rounded to T here: the compiler may not carry a product's extra bits into a fused operation.
// What is both compared and subtracted (a row's maximum) has to be one number.
template <class V>
TSSSL_INLINE V rounded(V x) {
#if TSSSL_VECTOR_BYTES == 64 && !defined(__AVX512F__)
  asm("" : "+m"(x));  // no register holds it
#elif defined(__x86_64__)
  asm("" : "+v"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#endif
  return x;
}

// exp(x) 2^-power: n = round(x / ln 2), r = x - n ln 2, result = 2^(n - power) p(r). The shift by a
// power of two costs no rounding. The caller sees to it that the result is a normal number; NaN
// stays.
//   float: p interpolates exp at 7 Chebyshev nodes (relative error 3e-9), result within 1.5 ulp;
//   double: Taylor of degree 13 (4e-18), result within 1.5 ulp.
TSSSL_INLINE Vec<float> exp_scaled(Vec<float> x, std::int32_t power) {
  const Vec<float> magic = broadcast(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec<float> t = x * 1.44269504f + magic;
  const Vec<float> k = t - magic;
  const Vec<float> r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  Vec<float> p = broadcast(0.00139411608f);
  p = p * r + 0.00837516829f;
  p = p * r + 0.0416663523f;
  p = p * r + 0.166664150f;
  p = p * r + 0.5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  // n is the low bits of t over those of magic, 0x4b400000, whose own are shifted out.
  const Simd<float>::Word exponent = (Simd<float>::Word)t << 23;
  return p * (Vec<float>)(exponent + (static_cast<std::uint32_t>(127 - power) << 23));
}

TSSSL_INLINE Vec<double> exp_scaled(Vec<double> x, std::int32_t power) {
  const Vec<double> magic = broadcast(6755399441055744.0);  // 1.5 * 2^52
  const Vec<double> t = x * 1.4426950408889634 + magic;
  const IntVec<double> n = (IntVec<double>)t - (IntVec<double>)magic;
  const Vec<double> k = t - magic;
  const Vec<double> r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
  Vec<double> p = broadcast(1.0 / 6227020800.0);
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * (Vec<double>)((n + (1023 - power)) << 52);
}

// exp for x <= 0 (the kernels shift by a maximum); below the smallest normal number: 0.
TSSSL_INLINE Vec<float> exp(Vec<float> x) { return x < -87.33f ? Vec<float>{} : exp_scaled(x, 0); }
TSSSL_INLINE Vec<double> exp(Vec<double> x) {
  return x < -708.3 ? Vec<double>{} : exp_scaled(x, 0);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
