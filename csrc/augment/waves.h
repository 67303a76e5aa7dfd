// Smooth functions of time along a channel: sines and cubics.
#pragma once
#include "series/math.h"
#include "series/positions.h"
#include "simd/part.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

typedef Simd<float>::Word FloatWords;

// offset + amplitude sin(2 pi phase / 2^32)
template <class T>
TSSSL_DEVICE T wave(std::uint32_t phase, T offset, T amplitude) {
  return offset + amplitude * sin_turns<T>(phase);
}

TSSSL_DEVICE std::uint32_t phase_step(double periods, std::int64_t length) {
  const double turns = periods / static_cast<double>(length);
  const double rest = turns - static_cast<double>(static_cast<std::int64_t>(turns));
  return static_cast<std::uint32_t>(static_cast<std::int64_t>(rest * 4294967296.0 + 0.5));
}

// Times offset + amplitude sin(2 pi (theta + periods t / length)); phases in 2^-32 turns.
template <class T>
TSSSL_INLINE void multiply_wave(T* x, std::int64_t length, std::uint32_t theta, std::uint32_t step,
                                T offset, T amplitude) {
  for (std::int64_t t = 0; t < length; ++t) {
    x[t] = x[t] * wave(theta + step * static_cast<std::uint32_t>(t), offset, amplitude);
  }
}

#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__)
typedef __mmask16 Lanes;
TSSSL_INLINE Lanes has_bit(FloatWords words, std::uint32_t bit) {
  return _mm512_test_epi32_mask((__m512i)words, _mm512_set1_epi32(static_cast<int>(bit)));
}
TSSSL_INLINE Vec<float> chosen(Lanes lanes, Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm512_mask_blend_ps(lanes, (__m512)b, (__m512)a);
}
#else
typedef IntVec<float> Lanes;
TSSSL_INLINE Lanes has_bit(FloatWords words, std::uint32_t bit) { return (words & bit) != 0u; }
TSSSL_INLINE Vec<float> chosen(Lanes lanes, Vec<float> a, Vec<float> b) { return lanes ? a : b; }
#endif

// A phase as sin_turns takes it: plus an eighth of a turn, and times four.
struct Phases {
  FloatWords shifted, quadruple;

  TSSSL_INLINE Phases(FloatWords phase) : shifted(phase + 0x20000000u), quadruple(phase << 2) {}
  TSSSL_INLINE void advance(std::uint32_t by) {
    shifted += by;
    quadruple += by << 2;
  }
};

// sin_turns of every lane. The coefficients are chosen, where the compiler's own vectors of it
// compute both polynomials and wait for the multipliers.
TSSSL_INLINE Vec<float> sin_turns(const Phases& phase) {
  const Lanes odd = has_bit(phase.shifted, 0x40000000u);
  const auto coefficient = [odd](float a, float b) {
    return chosen(odd, broadcast(a), broadcast(b));
  };
  const Vec<float> a = __builtin_convertvector((IntVec<float>)phase.quadruple, Vec<float>) *
                       (1.4629180792671596e-9f / 4);
  const Vec<float> z = a * a;
  Vec<float> p = coefficient(2.4801587e-5f, 2.7557319e-6f);
  p = p * z + coefficient(-1.3888889e-3f, -1.9841270e-4f);
  p = p * z + coefficient(4.1666667e-2f, 8.3333333e-3f);
  p = p * z + coefficient(-0.5f, -1.6666667e-1f);
  const Vec<float> m = chosen(odd, broadcast(1.f), a);
  const Vec<float> s = m + m * (z * p);
  return (Vec<float>)((FloatWords)s ^ (phase.shifted & 0x80000000u));
}

template <>
TSSSL_INLINE void multiply_wave(float* x, std::int64_t length, std::uint32_t theta,
                                std::uint32_t step, float offset, float amplitude) {
  constexpr int kLanes = Simd<float>::kLanes;
  Phases phase((FloatWords)iota<float>() * step + theta);
  std::int64_t t = 0;
  for (; t + kLanes <= length; t += kLanes, phase.advance(step * kLanes)) {
    store(x + t, load(x + t) * (offset + amplitude * sin_turns(phase)));
  }
  if (t == length) return;
  const Vec<float> rest = load_part(x + t, length - t, 0.f);
  store_part(x + t, rest * (offset + amplitude * sin_turns(phase)), length - t);
}

// Cubics through `count` equidistant knots, the ends repeated (Catmull-Rom), one for each channel:
// knots (channels, count); act(channel, t, value). Where a step lies between its knots is the same
// for all channels. Whole blocks: what a segment writes beyond its end is the next one's.
template <class T, class F>
TSSSL_DEVICE void along_curves(const double* knots, int count, std::int64_t channels,
                               std::int64_t length, const F& act) {
  constexpr std::int64_t kWindow = 256, kBlock = 16;
  T place[kWindow + kBlock], curve[kWindow + kBlock];
  struct Piece {
    int segment;
    std::int64_t end;  // within the window
  } pieces[kWindow];
  const int segments = count - 1;
  const double step =
      static_cast<double>(segments) / static_cast<double>(length > 1 ? length - 1 : 1);
  int k = 0;
  std::int64_t end = -1;  // of segment k
  for (std::int64_t start = 0; start < length; start += kWindow) {
    const std::int64_t stop = start + kWindow < length ? start + kWindow : length;
    int used = 0;
    for (std::int64_t t = start; t < stop;) {
      if (end < 0 || (end <= t && k < segments - 1)) {
        k += end < 0 ? 0 : 1;
        const double guess = (static_cast<double>(k) + 1.0) / step;
        end = k < segments - 1 ? segment_end(k, step, guess, t, length) : length;
        continue;
      }
      const double first = static_cast<double>(k);
      const std::int64_t last = end < stop ? end : stop;
      for (; t < last; t += kBlock) {
        for (std::int64_t i = 0; i < kBlock; ++i) {
          place[t - start + i] = static_cast<T>(step_number(t + i) * step - first);
        }
      }
      t = last;
      pieces[used++] = {k, last - start};
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      const double* knot = knots + c * count;
      std::int64_t t = 0;
      for (int n = 0; n < used; ++n) {
        const int j = pieces[n].segment;
        const double p0 = knot[j > 0 ? j - 1 : 0], p1 = knot[j], p2 = knot[j + 1];
        const double p3 = knot[j + 2 < count ? j + 2 : count - 1];
        const T c0 = static_cast<T>(p1), c1 = static_cast<T>((p2 - p0) * 0.5);
        const T c2 = static_cast<T>((p0 - p1 * 2.5) + (p2 * 2.0 - p3 * 0.5));
        const T c3 = static_cast<T>((p3 - p0) * 0.5 + (p1 - p2) * 1.5);
        for (; t < pieces[n].end; t += kBlock) {
          for (std::int64_t i = 0; i < kBlock; ++i) {
            const T f = place[t + i];
            curve[t + i] = c0 + f * (c1 + f * (c2 + f * c3));
          }
        }
        t = pieces[n].end;
      }
      for (t = start; t < stop; ++t) act(c, t, curve[t - start]);
    }
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
