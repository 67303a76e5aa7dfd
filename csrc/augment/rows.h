// Operations on one channel, a contiguous row of `length` steps, that leave its values in place.
#pragma once
#include "augment/positions.h"
#include "rng/philox_blocks.h"
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

// Lanes from `count` on, which may be negative, are `pad`.
template <class T>
TSSSL_INLINE Vec<double> load_wide_part(const T* x, std::int64_t count, double pad) {
  double lanes[kSumLanes];
  for (int k = 0; k < kSumLanes; ++k) lanes[k] = k < count ? static_cast<double>(x[k]) : pad;
  return load(lanes);
}
#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512VL__)
template <>
TSSSL_INLINE Vec<double> load_wide_part(const float* x, std::int64_t count, double pad) {
  const __mmask8 mask = count > 0 ? static_cast<__mmask8>((1u << count) - 1u) : __mmask8(0);
  return (Vec<double>)_mm512_mask_cvtps_pd(_mm512_set1_pd(pad), mask,
                                           _mm256_maskz_loadu_ps(mask, x));
}
#endif

// f, of a vector of steps, summed over the row; f(pad) is 0.
template <class T, class F>
TSSSL_INLINE double row_sum(const T* x, std::int64_t length, double pad, const F& f) {
  constexpr int kParts = kPartials / kSumLanes;
  Vec<double> part[kParts] = {};
  std::int64_t t = 0;
  for (; t + kPartials <= length; t += kPartials) {
    for (int i = 0; i < kParts; ++i) part[i] = part[i] + f(load_wide(x + t + i * kSumLanes));
  }
  if (t < length) {
    // Whole vectors here too: up to 31 steps one by one took half as long as 315 together.
    for (int i = 0; i < kParts; ++i, t += kSumLanes) {
      if (t + kSumLanes <= length) {
        part[i] = part[i] + f(load_wide(x + t));
      } else {
        part[i] = part[i] + f(load_wide_part(x + t, length - t, pad));
      }
    }
  }
  for (int width = kParts / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) part[i] = part[i] + part[i + width];
  }
  return sum<double>(part[0]);
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

// One Philox block feeds 4 consecutive steps of a channel; the block index leaves 2^17 blocks to a
// channel, so that neither the number of steps nor of channels moves the others' words.
constexpr int kChannelShift = 17;
constexpr int kChunk = 256;  // steps at a time where values wait in a buffer

typedef Simd<float>::Word FloatWords;

// x += amplitude r, r uniform on [-1, 1); the words go from the generator's registers into the
// steps.
TSSSL_INLINE bool add_uniform(float* x, std::int64_t length, std::int64_t channel, float amplitude,
                              const StreamBlocks& stream) {
  constexpr int kLanes = Simd<float>::kLanes;
  const auto noise = [=](WideWords words) {
    const auto u = __builtin_convertvector((IntVec<float>)words & 0xFFFFFF, Vec<float>);
    return (u * (1.f / 8388608.f) - 1.f) * amplitude;  // the first product is exact
  };
  WideWords number = StreamBlocks::numbers(static_cast<std::uint32_t>(channel << kChannelShift));
  const auto add = [=](const WideWords* words, std::int64_t t, int count) {
    for (int k = 0; k < count && t < length; ++k, t += kLanes) {
      if (t + kLanes <= length) {
        store(x + t, load(x + t) + noise(words[k]));
      } else {
        store_part(x + t, load_part(x + t, length - t, 0.f) + noise(words[k]), length - t);
      }
    }
  };
  constexpr int kWide = kMostSides * kWideLanes;
  std::int64_t t = 0;
  for (; t + 4 * kWide <= length; t += 4 * kWide, number += kWide) {
    const auto w = stream.template group<kMostSides>(number);
    for (int k = 0; k < 2 * kMostSides; ++k) {
      store(x + t + k * kLanes, load(x + t + k * kLanes) + noise(w.part[k]));
    }
  }
  for (; t < length; t += 4 * kBlockGroup, number += kBlockGroup) {
    add(stream.template group<kSides>(number).part, t, 2 * kSides);
  }
  return true;
}
TSSSL_INLINE bool add_uniform(double*, std::int64_t, std::int64_t, double, const StreamBlocks&) {
  return false;
}

// x += amplitude r, r uniform on [-1, 1) or standard normal.
template <class T>
TSSSL_INLINE void add_noise(T* x, std::int64_t length, std::int64_t channel, T amplitude,
                            bool normal, const StreamBlocks& stream) {
  if (!normal && add_uniform(x, length, channel, amplitude, stream)) return;
  std::uint32_t words[kChunk];
  T r[kChunk];
  for (std::int64_t t = 0; t < length; t += kChunk) {
    const int count = static_cast<int>(length - t < kChunk ? length - t : kChunk);
    // Whole groups of 16 blocks: the tail of a vector loop costs more than words that nobody reads.
    const int blocks = (count + 63) / 64 * 16;
    stream.words(static_cast<std::uint32_t>((channel << kChannelShift) + t / 4), blocks, words);
    if (normal) {
      for (int i = 0; i < 2 * blocks; ++i) {
        const Normals<T> z = normals<T>(words[2 * i], words[2 * i + 1]);
        r[2 * i] = z.first;
        r[2 * i + 1] = z.second;
      }
    } else {
      for (int i = 0; i < 4 * blocks; ++i) r[i] = uniform<T>(words[i]) * T(2) - T(1);
    }
    for (int i = 0; i < count; ++i) x[t + i] = x[t + i] + r[i] * amplitude;
  }
}

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

// sin_turns of every lane. The coefficients are chosen, where the compiler's own vectors of it
// compute both polynomials and wait for the multipliers.
TSSSL_INLINE Vec<float> sin_turns(FloatWords phase) {
  const FloatWords shifted = phase + 0x20000000u;
  const auto odd = (shifted & 0x40000000u) != 0u;
  const Vec<float> a = __builtin_convertvector((IntVec<float>)(phase << 2), Vec<float>) *
                       (1.4629180792671596e-9f / 4);
  const Vec<float> z = a * a;
  Vec<float> p = odd ? broadcast(2.4801587e-5f) : broadcast(2.7557319e-6f);
  p = p * z + (odd ? broadcast(-1.3888889e-3f) : broadcast(-1.9841270e-4f));
  p = p * z + (odd ? broadcast(4.1666667e-2f) : broadcast(8.3333333e-3f));
  p = p * z + (odd ? broadcast(-0.5f) : broadcast(-1.6666667e-1f));
  const Vec<float> m = odd ? broadcast(1.f) : a;
  const Vec<float> s = m + m * (z * p);
  return (Vec<float>)((FloatWords)s ^ (shifted & 0x80000000u));
}

template <>
TSSSL_INLINE void multiply_wave(float* x, std::int64_t length, std::uint32_t theta,
                                std::uint32_t step, float offset, float amplitude) {
  constexpr int kLanes = Simd<float>::kLanes;
  FloatWords phase = (FloatWords)iota<float>() * step + theta;
  std::int64_t t = 0;
  for (; t + kLanes <= length; t += kLanes, phase += step * kLanes) {
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
