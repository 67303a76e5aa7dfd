// One channel, a contiguous row of `length` steps, read from other places: interpolated, reversed,
// gathered, smoothed; and the adjoints.
#pragma once
#include "augment/positions.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
// Steps that a loop over single loads need not do: 16 outputs whose sources lie within 32
// neighbours are two permutations of two registers (0.2 against 0.6 ns a step).
inline std::int64_t interpolate_windows(const float* x, float* y, std::int64_t length,
                                        const std::int32_t* left, const float* weight) {
  constexpr int kLanes = 16;
  if (length < 2 * kLanes) return 0;
  const std::int64_t end = length - 2 * kLanes;
  const __m512i most = _mm512_set1_epi32(2 * kLanes - 2);
  for (std::int64_t next = 0; next < length; next += kLanes) {
    // The last 16 begin where they fit, once more over what is done.
    const std::int64_t t = next + kLanes <= length ? next : length - kLanes;
    const std::int64_t base = left[t] < end ? left[t] : end;
    IntVec<float> index;
    __builtin_memcpy(&index, left + t, sizeof index);
    index -= static_cast<std::int32_t>(base);
    // A map that goes back, or on in leaps, reads outside of the window.
    if (_mm512_cmpgt_epu32_mask((__m512i)index, most) != 0) {
      for (std::int64_t i = t; i < t + kLanes; ++i) {
        const float a = x[left[i]], b = x[left[i] + 1];
        y[i] = a + weight[i] * (b - a);
      }
      continue;
    }
    const Vec<float> low = load(x + base), high = load(x + base + kLanes);
    const Vec<float> a = __builtin_shuffle(low, high, index);
    const Vec<float> b = __builtin_shuffle(low, high, index + 1);
    store(y + t, a + load(weight + t) * (b - a));
  }
  return length;
}
#else
inline std::int64_t interpolate_windows(const float*, float*, std::int64_t, const std::int32_t*,
                                        const float*) {
  return 0;
}
#endif

inline std::int64_t interpolate_windows(const double*, double*, std::int64_t, const std::int32_t*,
                                        const double*) {
  return 0;
}

template <class T>
inline void interpolate(const T* x, T* y, std::int64_t length, const std::int32_t* left,
                        const T* weight) {
  std::int64_t t = interpolate_windows(x, y, length, left, weight);
  for (; t < length; ++t) {
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
TSSSL_INLINE void reverse(const T* x, T* y, std::int64_t length) {
  constexpr int kLanes = Simd<T>::kLanes;
  const auto at = [=](std::int64_t t) {
    for (int i = 0; i < kLanes; ++i) y[t + i] = x[length - 1 - t - i];
  };
  std::int64_t t = 0;
  for (; t + kLanes <= length; t += kLanes) at(t);
  if (t < length && length >= kLanes) {
    at(length - kLanes);  // once more over what is done
  } else {
    for (; t < length; ++t) y[t] = x[length - 1 - t];
  }
}

template <class T>
inline void gather(const T* x, T* y, std::int64_t length, const std::int32_t* source) {
  for (std::int64_t t = 0; t < length; ++t) y[t] = source[t] < 0 ? T(0) : x[source[t]];
}

template <class T>
inline void gather_adjoint(const T* grad, T* out, std::int64_t length, const std::int32_t* source) {
  for (std::int64_t t = 0; t < length; ++t) out[t] = 0;
  for (std::int64_t t = 0; t < length; ++t) {
    if (source[t] >= 0) out[source[t]] += grad[t];
  }
}

// The step that stands before the first; the one after the last is its mirror image.
enum class Edge { repeat = 0, zero = 1, reflect = 2 };

inline std::int64_t edge_step(Edge edge, std::int64_t length) {
  return edge == Edge::zero ? -1 : (edge == Edge::reflect && length > 1 ? 1 : 0);
}

// (1 - s) x[t] + (s / 2) (x[t-1] + x[t+1])
template <class T>
TSSSL_INLINE void smooth(const T* x, T* y, std::int64_t length, T centre, T side, Edge edge) {
  const std::int64_t last = length - 1, beyond = edge_step(edge, length);
  const T before = beyond < 0 ? T(0) : x[beyond];
  const T after = beyond < 0 ? T(0) : x[last - beyond];
  y[0] = centre * x[0] + side * (before + (last > 0 ? x[1] : after));
  const auto at = [=](std::int64_t t) {
    store(y + t, load(x + t) * centre + (load(x + t - 1) + load(x + t + 1)) * side);
  };
  constexpr int kLanes = Simd<T>::kLanes;
  std::int64_t t = 1;
  for (; t + kLanes <= last; t += kLanes) at(t);
  if (t < last && last > kLanes) {
    at(last - kLanes);  // once more over what is done: y is no input
  } else {
    for (; t < last; ++t) y[t] = centre * x[t] + side * (x[t - 1] + x[t + 1]);
  }
  if (last > 0) y[last] = centre * x[last] + side * (x[last - 1] + after);
}

template <class T>
inline void smooth_adjoint(const T* grad, T* out, std::int64_t length, T centre, T side,
                           Edge edge) {
  const std::int64_t last = length - 1, beyond = edge_step(edge, length);
  for (std::int64_t t = 0; t < length; ++t) out[t] = centre * grad[t];
  for (std::int64_t t = 1; t < length; ++t) out[t - 1] += side * grad[t];
  for (std::int64_t t = 0; t < last; ++t) out[t + 1] += side * grad[t];
  if (beyond >= 0) {
    out[beyond] += side * grad[0];
    out[last - beyond] += side * grad[last];
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
