// Operations that leave every value where it is: they scale, cut, mix channels, or add. Steps from
// s.length on are padding and stay out of everything.
#pragma once
#include "augment/draws.h"
#include "augment/waves.h"
#include "series/noise.h"
#include "series/rows.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// A block and where its next version goes; t is the distance between channels.
template <class T>
struct DoubleBuffer {
  T* x;
  T* other;
  std::int64_t t;

  TSSSL_DEVICE void swap() {
    T* const old = x;
    x = other;
    other = old;
  }
  template <class F>
  TSSSL_DEVICE void each_channel(std::int64_t channels, const F& f) const {
    for (std::int64_t c = 0; c < channels; ++c) f(x + c * t, other + c * t);
  }
};

// Short pieces too by stores of several values, the last over what is written: one by one, the 13
// steps of a block took a quarter of a copy of the row.
template <int kCount, class T>
TSSSL_INLINE bool fill_by(T* x, std::int64_t count, T value) {
  if (count < kCount) return false;
  T values[kCount];
  for (int i = 0; i < kCount; ++i) values[i] = value;
  for (std::int64_t t = 0; t + kCount <= count; t += kCount) {
    __builtin_memcpy(x + t, values, sizeof values);
  }
  __builtin_memcpy(x + count - kCount, values, sizeof values);
  return true;
}

template <class T>
inline void fill(T* x, std::int64_t begin, std::int64_t end, T value) {
  if (fill_by<16>(x + begin, end - begin, value)) return;
  if (fill_by<4>(x + begin, end - begin, value)) return;
  for (std::int64_t t = begin; t < end; ++t) x[t] = value;
}

template <class T>
inline void scale_row(T* x, std::int64_t length, T factor) {
  for (std::int64_t t = 0; t < length; ++t) x[t] = x[t] * factor;
}

// Masked steps of a row, every step on its own or in spans of geometric length.
template <class T>
inline void drop_steps(const Row& row, const Subject& s, std::int64_t channel, T value, T* x) {
  using namespace time_dropout;
  const double* a = row.arguments;
  const WordStream stream{s.keys, row.stream | kElementPurpose | s.view, s.id_lo, s.id_hi};
  std::uint32_t words[kChunk];
  bool masked = false;
  for (std::int64_t t = 0; t < s.length; t += kChunk) {
    const int count = static_cast<int>(s.length - t < kChunk ? s.length - t : kChunk);
    stream_words(stream, static_cast<std::uint32_t>((channel << kChannelShift) + t / 4),
                 (count + 63) / 64 * 16, words);
    for (int i = 0; i < count; ++i) {
      const double word = static_cast<double>(words[i]);
      if (a[kSpans] == 0 || t + i == 0) {
        masked = word < a[kThreshold];
      } else {
        masked = masked ? word >= a[kLeave] : word < a[kEnter];
      }
      if (masked) x[t + i] = value;
    }
  }
}

template <class T>
inline void blockout(const Row& row, const double* slot, const Subject& s, bool adjoint,
                     const DoubleBuffer<T>& b) {
  using namespace blockout;
  const std::int64_t begin = static_cast<std::int64_t>(slot[kStart]);
  const std::int64_t end = begin + static_cast<std::int64_t>(slot[kLength]);
  const std::int64_t first = static_cast<std::int64_t>(slot[kFirstChannel]);
  for (std::int64_t c = first; c < first + static_cast<std::int64_t>(slot[kChannels]); ++c) {
    T* x = b.x + c * b.t;
    T value = static_cast<T>(row.arguments[kFill]);
    if (row.arguments[kFillMean] != 0) value = static_cast<T>(row_mean(x, s.length));
    fill(x, begin, end, adjoint ? T(0) : value);
  }
}

template <class T>
inline void keep_window(const double* slot, std::int64_t length, T value, T* x) {
  using namespace random_crop;
  fill(x, 0, static_cast<std::int64_t>(slot[kStart]), value);
  fill(x, static_cast<std::int64_t>(slot[kStart] + slot[kLength]), length, value);
}

template <class T>
inline void magnitude_warp(const Row& row, const double* slot, const Subject& s,
                           const DoubleBuffer<T>& b) {
  using namespace magnitude_warp;
  const T amplitude = static_cast<T>(slot[kMagnitude]);
  const T offset = row.arguments[kLiteral] == 0 ? T(1) : amplitude;
  const std::uint32_t step = phase_step(slot[kPeriods], s.length);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::uint32_t theta =
        static_cast<std::uint32_t>(static_cast<std::int64_t>(slot[kTheta + c] * 4294967296.0));
    multiply_wave(b.x + c * b.t, s.length, theta, step, offset, amplitude);
  }
}

template <class T>
inline void rotate(const Row& row, const double* slot, const Subject& s, bool adjoint,
                   const DoubleBuffer<T>& b) {
  using namespace rotation;
  const double w = slot[kW], i = slot[kX], j = slot[kY], k = slot[kZ];
  double m[9] = {
      1.0 - 2.0 * (j * j + k * k), 2.0 * (i * j - k * w),       2.0 * (i * k + j * w),
      2.0 * (i * j + k * w),       1.0 - 2.0 * (i * i + k * k), 2.0 * (j * k - i * w),
      2.0 * (i * k - j * w),       2.0 * (j * k + i * w),       1.0 - 2.0 * (i * i + j * j)};
  T r[9];
  for (int p = 0; p < 3; ++p) {
    for (int q = 0; q < 3; ++q)
      r[3 * p + q] = static_cast<T>(adjoint ? m[3 * q + p] : m[3 * p + q]);
  }
  for (int n = 0; n < static_cast<int>(row.arguments[kTriples]); ++n) {
    const double* triple = row.arguments + kChannels + 3 * n;
    T* x0 = b.x + static_cast<std::int64_t>(triple[0]) * b.t;
    T* x1 = b.x + static_cast<std::int64_t>(triple[1]) * b.t;
    T* x2 = b.x + static_cast<std::int64_t>(triple[2]) * b.t;
    for (std::int64_t t = 0; t < s.length; ++t) {
      const T a0 = x0[t], a1 = x1[t], a2 = x2[t];
      x0[t] = (r[0] * a0 + r[1] * a1) + r[2] * a2;
      x1[t] = (r[3] * a0 + r[4] * a1) + r[5] * a2;
      x2[t] = (r[6] * a0 + r[7] * a1) + r[8] * a2;
    }
  }
}

// Operations that scale, cut or mix what stands at a step; the adjoint cuts with zeros.
template <class T>
inline void in_place(const Row& row, const double* slot, const Subject& s, bool adjoint,
                     const DoubleBuffer<T>& b) {
  const std::int64_t length = s.length;
  const auto fill_value = [&](int argument) {
    return adjoint ? T(0) : static_cast<T>(row.arguments[argument]);
  };
  switch (row.code) {
    case kBlockout:
      blockout(row, slot, s, adjoint, b);
      return;
    case kMagnitudeWarp:
      magnitude_warp(row, slot, s, b);
      return;
    case kRotation:
      rotate(row, slot, s, adjoint, b);
      return;
    case kMagnitudeSpline: {
      const T magnitude = static_cast<T>(slot[magnitude_spline::kMagnitude]);
      along_curves<T>(slot + magnitude_spline::kKnots, row.channel_slots, s.channels, length,
                      [&](std::int64_t c, std::int64_t t, T v) {
                        T* x = b.x + c * b.t;
                        x[t] = x[t] * (T(1) + magnitude * v);
                      });
      return;
    }
    default:
      break;
  }
  for (std::int64_t c = 0; c < s.channels; ++c) {
    T* x = b.x + c * b.t;
    switch (row.code) {
      case kSignFlip:
        if (row.channel_slots == 0 || slot[sign_flip::kFlips + c] != 0) {
          for (std::int64_t t = 0; t < length; ++t) x[t] = -x[t];
        }
        break;
      case kRandomCrop:
        keep_window(slot, length, fill_value(random_crop::kFill), x);
        break;
      case kScale:
        scale_row(x, length, static_cast<T>(slot[scale::kFactors + c]));
        break;
      case kChannelDropout:
        if (slot[channel_dropout::kDropped + c] != 0) {
          fill(x, 0, length, fill_value(channel_dropout::kFill));
        }
        break;
      case kTimeDropout:
        drop_steps(row, s, row.arguments[time_dropout::kPerChannel] == 0 ? 0 : c,
                   fill_value(time_dropout::kFill), x);
        break;
      default:
        break;
    }
  }
}

TSSSL_DEVICE bool adds(int code) {
  return code == kRandomNoise || code == kJitter || code == kDrift || code == kQuantize ||
         code == kOffset;
}

// Operations whose derivative is the identity: they add what counts as a constant, or round.
template <class T>
inline void add(const Row& row, const double* slot, const Subject& s, const DoubleBuffer<T>& b) {
  if (!adds(row.code)) return;
  const WordStream stream{s.keys, row.stream | kElementPurpose | s.view, s.id_lo, s.id_hi};
  const StreamBlocks blocks(stream);
  const T amplitude = static_cast<T>(slot[random_noise::kMagnitude]);
  const bool relative =
      row.code == kRandomNoise || (row.code == kDrift && row.arguments[drift::kRelative] != 0);
  const std::int64_t group = relative ? kRowGroup : s.channels;
  double std[kRowGroup];
  for (std::int64_t first = 0; first < s.channels; first += group) {
    const std::int64_t left = s.channels - first, count = left < group ? left : group;
    T* rows = b.x + first * b.t;
    if (relative) row_stds(rows, b.t, static_cast<int>(count), s.length, std);
    const auto size = [&](std::int64_t c) {
      return relative ? amplitude * static_cast<T>(std[c]) : amplitude;
    };
    if (row.code == kDrift) {
      along_curves<T>(slot + drift::kKnots + first * row.channel_slots, row.channel_slots, count,
                      s.length, [&](std::int64_t c, std::int64_t t, T v) {
                        T* x = rows + c * b.t;
                        x[t] = x[t] + size(c) * v;
                      });
      continue;
    }
    for (std::int64_t c = 0; c < count; ++c) {
      T* x = rows + c * b.t;
      if (row.code == kOffset) {
        const std::int64_t own = row.channel_slots == 0 ? 0 : first + c;
        const T value = static_cast<T>(slot[offset::kOffsets + own]);
        for (std::int64_t t = 0; t < s.length; ++t) x[t] = x[t] + value;
      } else if (row.code == kQuantize) {
        quantize(x, s.length, slot[quantize::kLevels]);
      } else if (row.code == kRandomNoise || row.code == kJitter) {
        add_noise(x, s.length, first + c, size(c), row.arguments[random_noise::kNormal] != 0,
                  blocks);
      }
    }
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
