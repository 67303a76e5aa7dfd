// The elementary functions of the augmentation arithmetic: fixed polynomials of +, -, *, / and
// sqrt, which IEEE 754 rounds alike everywhere, where libm's log, sin and cos differ from one
// library to the next. Compile without contraction: a fused multiply-add changes 1.3 % of the
// normals. The reference is tsssl_fast/ops/augment/arithmetic.py, operation by operation.
#pragma once
#include "rng/philox.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// sin and cos of a phase in units of 2^-32 turns. The nearest quarter turn comes from the integer;
// the rest, in [-pi/4, pi/4], goes through Taylor polynomials. Absolute error: float 1.2e-7,
// double 2e-16.
template <class T>
struct SinCos {
  T sin, cos;
};

TSSSL_DEVICE SinCos<float> sincos_quarter(float a) {
  const float z = a * a;
  const float s = ((2.7557319e-6f * z - 1.9841270e-4f) * z + 8.3333333e-3f) * z - 1.6666667e-1f;
  const float c = ((2.4801587e-5f * z - 1.3888889e-3f) * z + 4.1666667e-2f) * z - 0.5f;
  return {a + a * (z * s), 1.f + z * c};
}

TSSSL_DEVICE SinCos<double> sincos_quarter(double a) {
  const double z = a * a;
  double s = 1.0 / 355687428096000.0;
  s = s * z - 1.0 / 1307674368000.0;
  s = s * z + 1.0 / 6227020800.0;
  s = s * z - 1.0 / 39916800.0;
  s = s * z + 1.0 / 362880.0;
  s = s * z - 1.0 / 5040.0;
  s = s * z + 1.0 / 120.0;
  s = s * z - 1.0 / 6.0;
  double c = 1.0 / 20922789888000.0;
  c = c * z - 1.0 / 87178291200.0;
  c = c * z + 1.0 / 479001600.0;
  c = c * z - 1.0 / 3628800.0;
  c = c * z + 1.0 / 40320.0;
  c = c * z - 1.0 / 720.0;
  c = c * z + 1.0 / 24.0;
  c = c * z - 0.5;
  return {a + a * (z * s), 1.0 + z * c};
}

template <class T>
TSSSL_DEVICE SinCos<T> sincos_turns(std::uint32_t phase) {
  const std::uint32_t shifted = phase + 0x20000000u;
  const std::uint32_t quarter = shifted >> 30;
  const std::int32_t rest = static_cast<std::int32_t>(shifted & 0x3FFFFFFFu) - 0x20000000;
  const T radians_per_unit = T(1.4629180792671596e-9);  // 2 pi / 2^32
  const SinCos<T> q = sincos_quarter(static_cast<T>(rest) * radians_per_unit);
  const T s = (quarter & 1u) ? q.cos : q.sin;
  const T c = (quarter & 1u) ? q.sin : q.cos;
  return {(quarter & 2u) ? -s : s, ((quarter + 1u) & 2u) ? -c : c};
}

// The same sine alone: one polynomial, its coefficients chosen by the quarter, where the vectors of
// sincos_turns compute both.
template <class T>
TSSSL_DEVICE T sin_turns(std::uint32_t phase) {
  return sincos_turns<T>(phase).sin;
}

template <>
TSSSL_DEVICE float sin_turns(std::uint32_t phase) {
  const std::uint32_t shifted = phase + 0x20000000u;
  const bool odd = (shifted >> 30) & 1u;
  // The rest in units of 2^-34 turns: its two upper bits drop out by themselves.
  const float a =
      static_cast<float>(static_cast<std::int32_t>(phase << 2)) * (1.4629180792671596e-9f / 4);
  const float z = a * a;
  float p = odd ? 2.4801587e-5f : 2.7557319e-6f;
  p = p * z + (odd ? -1.3888889e-3f : -1.9841270e-4f);
  p = p * z + (odd ? 4.1666667e-2f : 8.3333333e-3f);
  p = p * z + (odd ? -0.5f : -1.6666667e-1f);
  const float m = odd ? 1.f : a;
  const float s = m + m * (z * p);
  std::uint32_t bits;
  __builtin_memcpy(&bits, &s, sizeof bits);
  bits ^= shifted & 0x80000000u;
  float signed_s;
  __builtin_memcpy(&signed_s, &bits, sizeof bits);
  return signed_s;
}

// Natural logarithm of k / 2^24, 1 <= k <= 2^24: k = 2^e m with m in [sqrt(1/2), sqrt(2)), and
// log m = 2 artanh(s), s = (m - 1) / (m + 1). Relative error: float 2e-7, double 3e-16.
TSSSL_DEVICE float log_fraction(std::uint32_t k, float) {
  const float x = static_cast<float>(static_cast<std::int32_t>(k));
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const std::uint32_t offset = bits - 0x3F3504F3u;  // the bits of sqrt(1/2)
  const std::int32_t e = static_cast<std::int32_t>(offset) >> 23;
  const std::uint32_t mantissa = (offset & 0x007FFFFFu) + 0x3F3504F3u;
  float m;
  __builtin_memcpy(&m, &mantissa, sizeof m);
  const float s = (m - 1.f) / (m + 1.f);
  const float z = s * s;
  const float p = ((0.22222222f * z + 0.28571429f) * z + 0.4f) * z + 0.66666667f;
  return static_cast<float>(e - 24) * 0.69314718f + (s * 2.f + s * (z * p));
}

TSSSL_DEVICE double log_fraction(std::uint32_t k, double) {
  const double x = static_cast<double>(static_cast<std::int32_t>(k));
  std::uint64_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const std::uint64_t offset = bits - 0x3FE6A09E667F3BCDu;  // the bits of sqrt(1/2)
  // The upper half alone: a 64-bit arithmetic shift has no vector instruction before AVX-512.
  const std::int32_t e = static_cast<std::int32_t>(offset >> 32) >> 20;
  const std::uint64_t mantissa = (offset & 0x000FFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu;
  double m;
  __builtin_memcpy(&m, &mantissa, sizeof m);
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 2.0 / 23.0;
  p = p * z + 2.0 / 21.0;
  p = p * z + 2.0 / 19.0;
  p = p * z + 2.0 / 17.0;
  p = p * z + 2.0 / 15.0;
  p = p * z + 2.0 / 13.0;
  p = p * z + 2.0 / 11.0;
  p = p * z + 2.0 / 9.0;
  p = p * z + 2.0 / 7.0;
  p = p * z + 2.0 / 5.0;
  p = p * z + 2.0 / 3.0;
  return static_cast<double>(e - 24) * 0.6931471805599453 + (s * 2.0 + s * (z * p));
}

TSSSL_DEVICE float root(float x) { return __builtin_sqrtf(x); }
TSSSL_DEVICE double root(double x) { return __builtin_sqrt(x); }

TSSSL_DEVICE float floor_whole(float x) { return __builtin_floorf(x); }
TSSSL_DEVICE double floor_whole(double x) { return __builtin_floor(x); }

// Box-Muller: two words give two independent normals; |z| <= 5.77.
template <class T>
struct Normals {
  T first, second;
};

template <class T>
TSSSL_DEVICE Normals<T> normals(std::uint32_t radius, std::uint32_t angle) {
  const T r = root(T(-2) * log_fraction((radius >> 8) + 1u, T()));
  const SinCos<T> q = sincos_turns<T>(angle);
  return {r * q.cos, r * q.sin};
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
