// What stands where a row is hidden; a row is one channel of one series.
#pragma once
#include "masking/draw.h"
#include "masking/lanes.h"
#include "series/noise.h"
#include "series/rows.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr int kNoiseCode = 69;

template <class T>
inline void write_where(const std::uint8_t* m, const T* x, T value, std::int64_t t, T* out) {
  std::int64_t i = 0;
  for (; i + Simd<T>::kLanes <= t; i += Simd<T>::kLanes) {
    store(out + i, hidden_lanes(m + i, T()) ? broadcast(value) : load(x + i));
  }
  for (; i < t; ++i) out[i] = m[i] != 0 ? value : x[i];
}

struct RowMoments {
  double mean, deviation;
};

TSSSL_INLINE Vec<double> if_known(Vec<double> v, Vec<double> value) {
  return v == v ? value : Vec<double>{};
}

// Mean and deviation of the visible steps that are no NaN, 0 without any; spare: t numbers.
template <class T>
inline RowMoments visible_moments(const std::uint8_t* m, const T* x, std::int64_t t, T* spare) {
  write_where(m, x, static_cast<T>(__builtin_nan("")), t, spare);
  constexpr double kUnknown = __builtin_nan("");
  double n =
      row_sum(spare, t, kUnknown, [](Vec<double> v) { return if_known(v, Vec<double>{} + 1.0); });
  n = n > 0 ? n : 1;
  const double mean = row_sum(spare, t, kUnknown, [](Vec<double> v) { return if_known(v, v); }) / n;
  const auto square = [mean](Vec<double> v) { return if_known(v, (v - mean) * (v - mean)); };
  return {mean, root(row_sum(spare, t, kUnknown, square) / n)};
}

// out = mean + deviation z where hidden, z standard normal.
template <class T>
inline void write_noise(const std::uint8_t* m, const T* x, std::int64_t t, std::int64_t channel,
                        RowMoments moments, const WordStream& stream, T* out) {
  const T mean = static_cast<T>(moments.mean), deviation = static_cast<T>(moments.deviation);
  std::uint32_t words[kChunk];
  T r[kChunk];
  for (std::int64_t begin = 0; begin < t; begin += kChunk) {
    const int count = static_cast<int>(t - begin < kChunk ? t - begin : kChunk);
    const int blocks = (count + 63) / 64 * 16;
    stream_words(stream, static_cast<std::uint32_t>((channel << kChannelShift) + begin / 4), blocks,
                 words);
    for (int i = 0; i < 2 * blocks; ++i) {
      const Normals<T> z = normals<T>(words[2 * i], words[2 * i + 1]);
      r[2 * i] = z.first;
      r[2 * i + 1] = z.second;
    }
    for (int i = 0; i < count; ++i) {
      out[begin + i] = m[begin + i] != 0 ? mean + deviation * r[i] : x[begin + i];
    }
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
