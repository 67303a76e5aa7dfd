// Time maps: for every output step the position that it reads, in double arithmetic, split into a
// left neighbour and a weight in the dtype of the series.
#pragma once
#include "augment/program.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr int kMaxKnots = 64;

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

// start + t (crop - 1) / (length - 1): the ends of the crop meet the ends of the row.
template <class T>
inline void crop_positions(const double* slot, std::int64_t length, std::int32_t* left, T* weight) {
  const double step = (slot[1] - 1.0) / static_cast<double>(length - 1);
  for (std::int64_t t = 0; t < length; ++t) {
    split(slot[2] + static_cast<double>(static_cast<std::int32_t>(t)) * step, length, left + t,
          weight + t);
  }
}

// The integral of a speed that is linear between `count` equidistant values: increasing, smooth,
// with both ends fixed.
template <class T>
inline void warp_positions(const double* speed, int count, std::int64_t length, std::int32_t* left,
                           T* weight) {
  double begin[kMaxKnots], slope[kMaxKnots], bend[kMaxKnots];
  const int segments = count - 1;
  double total = 0;
  for (int k = 0; k < segments; ++k) {
    begin[k] = total;
    total = total + (speed[k] + speed[k + 1]) * 0.5;
  }
  const double scale = static_cast<double>(length - 1) / total;
  for (int k = 0; k < segments; ++k) {
    begin[k] = begin[k] * scale;
    slope[k] = speed[k] * scale;
    bend[k] = ((speed[k + 1] - speed[k]) * 0.5) * scale;
  }
  const double step = static_cast<double>(segments) / static_cast<double>(length - 1);
  for (std::int64_t t = 0; t < length; ++t) {
    const double w = static_cast<double>(static_cast<std::int32_t>(t)) * step;
    std::int32_t k = static_cast<std::int32_t>(w);
    k = k > segments - 1 ? segments - 1 : k;
    const double f = w - static_cast<double>(k);
    split(begin[k] + f * (slope[k] + f * bend[k]), length, left + t, weight + t);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
