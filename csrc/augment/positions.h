// Time maps: for every output step the position that it reads, in double arithmetic, split into a
// left neighbour and a weight in the dtype of the series.
#pragma once
#include "augment/program.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr int kMaxKnots = 64;

TSSSL_DEVICE double step_number(std::int64_t t) {
  return static_cast<double>(static_cast<std::int32_t>(t));
}

// The first step at or after `t` whose `step_number * step` reaches k + 1: where segment k ends.
TSSSL_DEVICE std::int64_t segment_end(int k, double step, std::int64_t t, std::int64_t length) {
  const double border = static_cast<double>(k + 1);
  std::int64_t end = static_cast<std::int64_t>(border / step);
  end = end > length ? length : end;
  while (end > t && step_number(end - 1) * step >= border) --end;
  while (end < length && step_number(end) * step < border) ++end;
  return end < t ? t : end;
}

// For 2 steps or more.
template <class T>
TSSSL_DEVICE void split(double position, std::int64_t length, std::int32_t* left, T* weight) {
  const double last = static_cast<double>(length - 1);
  position = position < 0.0 ? 0.0 : position;
  position = position > last ? last : position;
  const std::int32_t limit = static_cast<std::int32_t>(length - 2);
  std::int32_t i = static_cast<std::int32_t>(position);
  i = i > limit ? limit : i;
  *left = i;
  *weight = static_cast<T>(position - static_cast<double>(i));
}

// start + t step
template <class T>
inline void line_positions(double start, double step, std::int64_t length, std::int32_t* left,
                           T* weight) {
  for (std::int64_t t = 0; t < length; ++t) {
    split(start + step_number(t) * step, length, left + t, weight + t);
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
  double before = 0;
  std::int64_t t = 0;
  for (int k = 0; k < segments; ++k) {
    const double begin = before * scale, slope = speed[k] * scale;
    const double bend = ((speed[k + 1] - speed[k]) * 0.5) * scale;
    const double first = static_cast<double>(k);
    before = before + (speed[k] + speed[k + 1]) * 0.5;
    const std::int64_t end = k < segments - 1 ? segment_end(k, step, t, length) : length;
    for (; t < end; ++t) {
      const double f = step_number(t) * step - first;
      split(begin + f * (slope + f * bend), length, left + t, weight + t);
    }
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
  for (std::int64_t t = 0; t < length; ++t) {
    const double u = step_number(t) * step;
    const double inside = start + (u - start) / factor;
    const double after = (u - stretched) + width;
    split(u < start ? u : (u < start + stretched ? inside : after), length, left + t, weight + t);
  }
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
