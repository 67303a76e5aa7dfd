// Time maps: for every output step the position that it reads, in double arithmetic, split into a
// left neighbour and a weight in the dtype of the series.
#pragma once
#include "rng/philox.h"
#include "simd/vec.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

TSSSL_DEVICE double step_number(std::int64_t t) {
  return static_cast<double>(static_cast<std::int32_t>(t));
}

// The first step at or after `t` whose `step_number * step` reaches k + 1: where segment k ends.
// `guess` is within a step of it; the products decide.
TSSSL_DEVICE std::int64_t segment_end(int k, double step, double guess, std::int64_t t,
                                      std::int64_t length) {
  const double border = static_cast<double>(k + 1);
  std::int64_t end = static_cast<std::int64_t>(guess) + 1;
  end = end > length ? length : end;
  while (end > t && step_number(end - 1) * step >= border) --end;
  while (end < length && step_number(end) * step < border) ++end;
  return end < t ? t : end;
}

// Positions are computed by whole vectors of doubles: left and weight have room for this many
// steps more. What comes after the last step is never read.
constexpr int kSteps = Simd<double>::kLanes;
typedef Simd<double>::Int32 StepNumbers;

template <class T>
struct Weights;
template <>
struct Weights<double> {
  typedef Vec<double> Type;
};
template <>
struct Weights<float> {
  typedef float Type __attribute__((vector_size(TSSSL_VECTOR_BYTES / 2)));
};

TSSSL_INLINE Vec<double> within(Vec<double> p, Vec<double> last) {
#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__)
  p = (Vec<double>)_mm512_maskz_max_pd(0xFF, _mm512_setzero_pd(), (__m512d)p);
  return (Vec<double>)_mm512_maskz_min_pd(0xFF, (__m512d)last, (__m512d)p);
#else
  p = p < 0.0 ? Vec<double>{} : p;
  return p > last ? last : p;
#endif
}

TSSSL_INLINE Vec<double> widened(StepNumbers i) {
#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__)
  return (Vec<double>)_mm512_maskz_cvtepi32_pd(0xFF, (__m256i)i);
#else
  return __builtin_convertvector(i, Vec<double>);
#endif
}

// position(numbers of the steps as doubles), clamped to the row unless kInside says that it is
// there, split into the left neighbour and a weight, for the steps from `t` up to `end` (and on to
// a whole vector). For 2 steps or more.
template <bool kInside, class T, class F>
TSSSL_INLINE void split_steps(std::int64_t t, std::int64_t end, std::int64_t length,
                              std::int32_t* left, T* weight, const F& position) {
  const Vec<double> last = broadcast(static_cast<double>(length - 1));
  const StepNumbers limit = StepNumbers{} + static_cast<std::int32_t>(length - 2);
  StepNumbers first;
  for (int i = 0; i < kSteps; ++i) first[i] = i;
  Vec<double> number = widened(first) + step_number(t);
  for (; t < end; t += kSteps, number = number + static_cast<double>(kSteps)) {
    Vec<double> p = position(number);
    if (!kInside) p = within(p, last);
    StepNumbers i = __builtin_convertvector(p, StepNumbers);
    if (!kInside) i = i > limit ? limit : i;
    const auto w = __builtin_convertvector(p - widened(i), typename Weights<T>::Type);
    __builtin_memcpy(left + t, &i, sizeof i);
    __builtin_memcpy(weight + t, &w, sizeof w);
  }
}

// start + t step
template <class T>
inline void line_positions(double start, double step, std::int64_t length, std::int32_t* left,
                           T* weight) {
  const auto position = [=](Vec<double> number) { return start + number * step; };
  // Rounding keeps the order of the steps: the last of all vectors decides for all. Most crops need
  // no clamping then (4 % of one at 3 x 315).
  const double furthest = start + step_number(length + kSteps) * step;
  if (start >= 0 && step >= 0 && furthest < static_cast<double>(length - 1)) {
    split_steps<true>(0, length, length, left, weight, position);
  } else {
    split_steps<false>(0, length, length, left, weight, position);
  }
}

// The integral of a speed that is linear between `count` equidistant values: increasing, smooth,
// with both ends fixed. Segment by segment: its coefficients stay in registers.
template <class T>
inline void warp_positions(const double* speed, int count, std::int64_t length, std::int32_t* left,
                           T* weight) {
  const int segments = count - 1;
  double total = 0;
  for (int k = 0; k < segments; ++k) total = total + (speed[k] + speed[k + 1]) * 0.5;
  const double scale = static_cast<double>(length - 1) / total;
  const double step = static_cast<double>(segments) / static_cast<double>(length - 1);
  const double per_segment = static_cast<double>(length - 1) / static_cast<double>(segments);
  double before = 0;
  std::int64_t t = 0;
  for (int k = 0; k < segments; ++k) {
    const double begin = before * scale, slope = speed[k] * scale;
    const double bend = ((speed[k + 1] - speed[k]) * 0.5) * scale;
    const double first = static_cast<double>(k);
    before = before + (speed[k] + speed[k + 1]) * 0.5;
    const std::int64_t end =
        k < segments - 1 ? segment_end(k, step, per_segment * (first + 1.0), t, length) : length;
    // The surplus of a segment's last vector is the next segment's to overwrite.
    const auto position = [=](Vec<double> number) {
      const Vec<double> f = number * step - first;
      return begin + f * (slope + f * bend);
    };
    // Speeds that are positive lead from one border to the next: a segment that ends a step before
    // the last needs no clamping.
    if (speed[k] >= 0 && speed[k + 1] >= 0 && begin >= 0 &&
        before * scale < static_cast<double>(length - 2)) {
      split_steps<true>(t, end, length, left, weight, position);
    } else {
      split_steps<false>(t, end, length, left, weight, position);
    }
    t = end;
  }
}

// A window of `width` steps from `start`, stretched by `factor`; the whole is brought back to its
// length.
template <class T>
inline void window_positions(double width, double start, double factor, std::int64_t length,
                             std::int32_t* left, T* weight) {
  const double stretched = width * factor;
  const double whole = (static_cast<double>(length) - width) + stretched;
  const double step = (whole - 1.0) / static_cast<double>(length - 1);
  split_steps<false>(0, length, length, left, weight, [=](Vec<double> number) {
    const Vec<double> u = number * step;
    const Vec<double> inside = start + (u - start) / factor;
    const Vec<double> after = (u - stretched) + width;
    return u < start ? u : (u < start + stretched ? inside : after);
  });
}

// Whole steps: left[t] is the source of step t, -1 for a zero.
inline void segment_sources(const double* order, int count, std::int64_t length,
                            std::int32_t* left) {
  std::int64_t t = 0;
  for (int place = 0; place < count; ++place) {
    for (int k = 0; k < count; ++k) {
      if (static_cast<int>(order[k]) != place) continue;
      const std::int64_t end = (k + 1) * length / count;
      for (std::int64_t i = k * length / count; i < end; ++i) {
        left[t++] = static_cast<std::int32_t>(i);
      }
    }
  }
}

// mode 0 circular, 1 the ends repeated, 2 zeros.
inline void shift_sources(double shift, int mode, std::int64_t length, std::int32_t* left) {
  const std::int64_t by = static_cast<std::int64_t>(shift);
  for (std::int64_t t = 0; t < length; ++t) {
    std::int64_t i = t - by;
    if (mode == 0) {
      i = (i % length + length) % length;
    } else if (i < 0 || i >= length) {
      i = mode == 2 ? -1 : (i < 0 ? 0 : length - 1);
    }
    left[t] = static_cast<std::int32_t>(i);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
