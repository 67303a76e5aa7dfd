// Operations on one channel: a contiguous row of `length` steps.
#pragma once
#include "augment/math.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Standard deviation (divided by the length) in float64: 32 strided partial sums, then a tree, so
// that the order of additions is the same everywhere.
constexpr int kPartials = 32;

inline double sum_partials(double* part) {
  for (int width = kPartials / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) part[i] = part[i] + part[i + width];
  }
  return part[0];
}

template <class T>
inline double row_std(const T* x, std::int64_t length) {
  double part[kPartials] = {};
  const std::int64_t whole = length / kPartials * kPartials;
  for (std::int64_t t = 0; t < whole; t += kPartials) {
    for (int i = 0; i < kPartials; ++i) part[i] += static_cast<double>(x[t + i]);
  }
  for (std::int64_t t = whole; t < length; ++t) part[t - whole] += static_cast<double>(x[t]);
  const double mean = sum_partials(part) / static_cast<double>(length);
  for (int i = 0; i < kPartials; ++i) part[i] = 0;
  for (std::int64_t t = 0; t < whole; t += kPartials) {
    for (int i = 0; i < kPartials; ++i) {
      const double d = static_cast<double>(x[t + i]) - mean;
      part[i] += d * d;
    }
  }
  for (std::int64_t t = whole; t < length; ++t) {
    const double d = static_cast<double>(x[t]) - mean;
    part[t - whole] += d * d;
  }
  return root(sum_partials(part) / static_cast<double>(length));
}

// One Philox block feeds 4 consecutive steps of a channel; the block index leaves 2^17 blocks to a
// channel, so that neither the number of steps nor of channels moves the others' words.
constexpr int kChannelShift = 17;
constexpr int kChunk = 256;  // steps whose words are drawn at a time: 1 KiB

struct ElementStream {
  Key key;
  std::uint32_t stream, id_lo, id_hi;
};

inline void element_words(const ElementStream& s, std::uint32_t first, int blocks,
                          std::uint32_t* words) {
  for (int q = 0; q < blocks; ++q) {
    const Block b =
        philox(Block{first + static_cast<std::uint32_t>(q), s.stream, s.id_lo, s.id_hi}, s.key);
    words[4 * q] = b.w0;
    words[4 * q + 1] = b.w1;
    words[4 * q + 2] = b.w2;
    words[4 * q + 3] = b.w3;
  }
}

// x += amplitude r, r uniform on [-1, 1) or standard normal.
template <class T>
inline void add_noise(T* x, std::int64_t length, std::int64_t channel, T amplitude, bool normal,
                      const ElementStream& stream) {
  std::uint32_t words[kChunk];
  T r[kChunk];
  for (std::int64_t t = 0; t < length; t += kChunk) {
    const int count = static_cast<int>(length - t < kChunk ? length - t : kChunk);
    const int blocks = (count + 3) / 4;
    const std::uint32_t first = static_cast<std::uint32_t>((channel << kChannelShift) + t / 4);
    element_words(stream, first, blocks, words);
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

// offset + amplitude sin(2 pi (theta + periods t / length)); phases in 2^-32 turns.
template <class T>
TSSSL_DEVICE T wave(std::uint32_t theta, std::uint32_t step, std::int64_t t, T offset,
                    T amplitude) {
  return offset + amplitude * sincos_turns<T>(theta + step * static_cast<std::uint32_t>(t)).sin;
}

TSSSL_DEVICE std::uint32_t phase_step(double periods, std::int64_t length) {
  const double turns = periods / static_cast<double>(length);
  const double rest = turns - static_cast<double>(static_cast<std::int64_t>(turns));
  return static_cast<std::uint32_t>(static_cast<std::int64_t>(rest * 4294967296.0 + 0.5));
}

template <class T>
inline void multiply_wave(T* x, std::int64_t length, std::uint32_t theta, std::uint32_t step,
                          T offset, T amplitude) {
  for (std::int64_t t = 0; t < length; ++t) {
    x[t] = x[t] * wave<T>(theta, step, t, offset, amplitude);
  }
}

template <class T>
inline void interpolate(const T* x, T* y, std::int64_t length, const std::int32_t* left,
                        const T* weight) {
  for (std::int64_t t = 0; t < length; ++t) {
    const T a = x[left[t]], b = x[left[t] + 1];
    y[t] = a + weight[t] * (b - a);
  }
}

// The adjoint: every output step gives its gradient to its two neighbours, in ascending order.
template <class T>
inline void interpolate_adjoint(const T* grad, T* out, std::int64_t length,
                                const std::int32_t* left, const T* weight) {
  for (std::int64_t t = 0; t < length; ++t) out[t] = 0;
  for (std::int64_t t = 0; t < length; ++t) {
    const T right = weight[t] * grad[t];
    out[left[t]] += grad[t] - right;
    out[left[t] + 1] += right;
  }
}

template <class T>
inline void reverse(const T* x, T* y, std::int64_t length) {
  for (std::int64_t t = 0; t < length; ++t) y[t] = x[length - 1 - t];
}

// (1 - s) x[t] + (s / 2) (x[t-1] + x[t+1]), the ends repeated.
template <class T>
inline void smooth(const T* x, T* y, std::int64_t length, T centre, T side) {
  const std::int64_t last = length - 1;
  y[0] = centre * x[0] + side * (x[0] + x[last < 1 ? last : 1]);
  for (std::int64_t t = 1; t < last; ++t) y[t] = centre * x[t] + side * (x[t - 1] + x[t + 1]);
  if (last > 0) y[last] = centre * x[last] + side * (x[last - 1] + x[last]);
}

template <class T>
inline void smooth_adjoint(const T* grad, T* out, std::int64_t length, T centre, T side) {
  for (std::int64_t t = 0; t < length; ++t) out[t] = centre * grad[t];
  for (std::int64_t t = 0; t < length; ++t) {
    out[t > 0 ? t - 1 : 0] += side * grad[t];
    out[t < length - 1 ? t + 1 : t] += side * grad[t];
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
