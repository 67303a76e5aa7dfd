// log(1 + exp(x)) and its slope for x of any size, without overflow and with relative accuracy
// where they are tiny: both come from e = exp(-|x|) <= 1.
#pragma once
#include "simd/vec.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// log(1 + e) for e in [0, 1]: with w = e / (2 + e) <= 1/3 it is 2 atanh(w), whose series in w^2 has
// a relative remainder of 1.4e-8 after 7 terms and of 1.6e-17 after 16.
TSSSL_INLINE Vec<float> log_one_plus(Vec<float> e) {
  const Vec<float> w = e / (e + 2.f), z = w * w;
  Vec<float> p = broadcast(1.f / 13);
#pragma GCC unroll 8
  for (int k = 11; k > 0; k -= 2) p = p * z + 1.f / static_cast<float>(k);
  return (w + w) * p;
}

TSSSL_INLINE Vec<double> log_one_plus(Vec<double> e) {
  const Vec<double> w = e / (e + 2.0), z = w * w;
  Vec<double> p = broadcast(1.0 / 31);
#pragma GCC unroll 16
  for (int k = 29; k > 0; k -= 2) p = p * z + 1.0 / k;
  return (w + w) * p;
}

// NaN stays NaN in both.
template <class T>
TSSSL_INLINE Vec<T> softplus(Vec<T> x) {
  const Vec<T> above = x > T(0) ? x : Vec<T>{};
  return above + log_one_plus(exp(x > T(0) ? -x : x));
}

// 1 / (1 + exp(-x)).
template <class T>
TSSSL_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> e = exp(x > T(0) ? -x : x);
  return (x > T(0) ? broadcast(T(1)) : e) / (e + T(1));
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
