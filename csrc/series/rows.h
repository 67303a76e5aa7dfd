// Operations on one channel, a contiguous row of `length` steps, that leave its values in place.
#pragma once
#include "series/math.h"
#include "simd/part.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Standard deviation (divided by the length) in float64: 32 strided partial sums, then a tree, so
// that the order of additions is the same everywhere.
constexpr int kPartials = 32;
constexpr int kRowGroup = 16;

constexpr int kSumLanes = Simd<double>::kLanes;

TSSSL_INLINE Vec<double> load_wide(const double* x) { return load(x); }
TSSSL_INLINE Vec<double> load_wide(const float* x) {
  Vec<double> wide;
  for (int i = 0; i < kSumLanes; ++i) wide[i] = static_cast<double>(x[i]);
  return wide;
}

// Lanes from `count` on are `pad`.
template <class T>
TSSSL_INLINE Vec<double> load_wide_part(const T* x, std::int64_t count, double pad) {
  double lanes[kSumLanes];
  for (int k = 0; k < kSumLanes; ++k) lanes[k] = k < count ? static_cast<double>(x[k]) : pad;
  return load(lanes);
}

// The last `count` steps of a row, fewer than kPartials. Whole vectors here too: up to 31 steps one
// by one took half as long as 315 together.
constexpr int kParts = kPartials / kSumLanes;
template <class T, class F>
TSSSL_INLINE void add_rest(const T* x, std::int64_t count, double pad, const F& f,
                           Vec<double>* part) {
  for (int i = 0; i < kParts && count > 0; ++i, x += kSumLanes, count -= kSumLanes) {
    part[i] = part[i] + f(count >= kSumLanes ? load_wide(x) : load_wide_part(x, count, pad));
  }
}
#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512VL__)
// Masks instead of branches.
template <class F>
TSSSL_INLINE void add_rest(const float* x, std::int64_t count, double pad, const F& f,
                           Vec<double>* part) {
  const std::uint32_t rest = (1u << count) - 1u;
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) {
    const __mmask8 mask = static_cast<__mmask8>(rest >> (i * kSumLanes));
    const __m256 steps = _mm256_maskz_loadu_ps(mask, x + i * kSumLanes);
    part[i] = part[i] + f((Vec<double>)_mm512_mask_cvtps_pd(_mm512_set1_pd(pad), mask, steps));
  }
}
#endif

// f, of a vector of steps, summed over the row; f(pad) is 0.
template <class T, class F>
TSSSL_INLINE double row_sum(const T* x, std::int64_t length, double pad, const F& f) {
  Vec<double> part[kParts] = {};
  std::int64_t t = 0;
  for (; t + kPartials <= length; t += kPartials) {
#pragma GCC unroll 16
    for (int i = 0; i < kParts; ++i) part[i] = part[i] + f(load_wide(x + t + i * kSumLanes));
  }
  if (t < length) add_rest(x + t, length - t, pad, f, part);
#pragma GCC unroll 4
  for (int width = kParts / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) part[i] = part[i] + part[i + width];
  }
  return sum<double>(part[0]);
}

// The least and the greatest step of a row; NaN is neither. Spelt out: the compiler keeps the order
// of comparisons, for NaN, and minmax of 256 x 9 x 512 took 1.76 ms instead of 0.18 on an AMD EPYC
// with AVX-512.
template <class T>
inline void row_extremes(const T* x, std::int64_t length, double& least, double& greatest) {
  Vec<double> low = Vec<double>{} + __builtin_inf(), high = -low;
  for (std::int64_t t = 0; t < length; t += kSumLanes) {
    const std::int64_t left = length - t;
    const Vec<double> v = left >= kSumLanes
                              ? load_wide(x + t)
                              : load_wide_part(x + t, left, static_cast<double>(x[t]));
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  least = low[0];
  greatest = high[0];
  for (int l = 1; l < kSumLanes; ++l) {
    least = low[l] < least ? low[l] : least;
    greatest = high[l] > greatest ? high[l] : greatest;
  }
}

template <class T>
inline double row_mean(const T* x, std::int64_t length) {
  return row_sum(x, length, 0.0, [](Vec<double> v) { return v; }) / static_cast<double>(length);
}

// Of `count` rows, `stride` apart: all means first, so that one row's divisions and roots do not
// wait for another's sums (100 cycles a row, a tenth of the noise of 128 steps).
template <class T>
inline void row_stds(const T* x, std::int64_t stride, int count, std::int64_t length, double* std) {
  const double size = static_cast<double>(length);
  for (int r = 0; r < count; ++r) {
    std[r] = row_sum(x + r * stride, length, 0.0, [](Vec<double> v) { return v; });
  }
  for (int r = 0; r < count; ++r) std[r] = std[r] / size;
  for (int r = 0; r < count; ++r) {
    const double centre = std[r];
    std[r] = row_sum(x + r * stride, length, centre,
                     [centre](Vec<double> v) { return (v - centre) * (v - centre); });
  }
  for (int r = 0; r < count; ++r) std[r] = root(std[r] / size);
}

// Rounds to `levels` equidistant values from the least to the greatest of the row.
template <class T>
inline void quantize(T* x, std::int64_t length, double levels) {
  T low = x[0], high = x[0];
  bool defined = true;
  for (std::int64_t t = 0; t < length; ++t) {
    low = x[t] < low ? x[t] : low;
    high = x[t] > high ? x[t] : high;
    defined = defined && x[t] == x[t];
  }
  if (!defined || !(high > low)) return;
  const T width = (high - low) / static_cast<T>(levels - 1);
  for (std::int64_t t = 0; t < length; ++t) {
    x[t] = low + floor_whole((x[t] - low) / width + T(0.5)) * width;
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
