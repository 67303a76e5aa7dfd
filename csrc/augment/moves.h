// One channel, a contiguous row of `length` steps, read from other places: interpolated, reversed,
// gathered, smoothed; and the adjoints.
#pragma once
#include "series/positions.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// From kRows rows at once, `stride` apart: what a time map says is the same for all of them (0.15
// to 0.10 ns a step and row).
constexpr int kMostRows = 3;

#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
// Steps that a loop over single loads need not do: 16 outputs whose sources lie within 32
// neighbours are two permutations of two registers (0.2 against 0.6 ns a step).
template <int kRows>
inline std::int64_t interpolate_windows(const float* x, float* y, std::int64_t stride,
                                        std::int64_t length, const std::int32_t* left,
                                        const float* weight) {
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
    const bool leaps = _mm512_cmpgt_epu32_mask((__m512i)index, most) != 0;
    if (leaps) {
      for (int r = 0; r < kRows; ++r) {
        for (std::int64_t i = t; i < t + kLanes; ++i) {
          const float a = x[r * stride + left[i]], b = x[r * stride + left[i] + 1];
          y[r * stride + i] = a + weight[i] * (b - a);
        }
      }
      continue;
    }
    const Vec<float> fraction = load(weight + t);
    const IntVec<float> index_after = index + 1;
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) {
      const float* from = x + r * stride + base;
      const Vec<float> low = load(from), high = load(from + kLanes);
      const Vec<float> a = __builtin_shuffle(low, high, index);
      const Vec<float> b = __builtin_shuffle(low, high, index_after);
      store(y + r * stride + t, a + fraction * (b - a));
    }
  }
  return length;
}
#else
template <int kRows>
inline std::int64_t interpolate_windows(const float*, float*, std::int64_t, std::int64_t,
                                        const std::int32_t*, const float*) {
  return 0;
}
#endif

template <int kRows>
inline std::int64_t interpolate_windows(const double*, double*, std::int64_t, std::int64_t,
                                        const std::int32_t*, const double*) {
  return 0;
}

template <int kRows, class T>
inline void interpolate_rows(const T* x, T* y, std::int64_t stride, std::int64_t length,
                             const std::int32_t* left, const T* weight) {
  const std::int64_t done = interpolate_windows<kRows>(x, y, stride, length, left, weight);
  for (int r = 0; r < kRows; ++r, x += stride, y += stride) {
    for (std::int64_t t = done; t < length; ++t) {
      const T a = x[left[t]], b = x[left[t] + 1];
      y[t] = a + weight[t] * (b - a);
    }
  }
}

template <class T>
inline void interpolate(const T* x, T* y, std::int64_t channels, std::int64_t stride,
                        std::int64_t length, const std::int32_t* left, const T* weight) {
  for (; channels >= kMostRows; channels -= kMostRows) {
    interpolate_rows<kMostRows>(x, y, stride, length, left, weight);
    x += kMostRows * stride;
    y += kMostRows * stride;
  }
  for (; channels > 0; --channels, x += stride, y += stride) {
    interpolate_rows<1>(x, y, stride, length, left, weight);
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

// The first step after 0 that begins a vector in memory: stores across cache lines take half as
// long again.
template <class T>
TSSSL_INLINE std::int64_t aligned_step(const T* y) {
  constexpr std::uintptr_t kLanes = Simd<T>::kLanes;
  return static_cast<std::int64_t>(kLanes -
                                   reinterpret_cast<std::uintptr_t>(y) / sizeof(T) % kLanes);
}

template <class T>
TSSSL_INLINE void reverse(const T* x, T* y, std::int64_t length) {
  constexpr int kLanes = Simd<T>::kLanes;
  const auto at = [=](std::int64_t t) {
    for (int i = 0; i < kLanes; ++i) y[t + i] = x[length - 1 - t - i];
  };
  if (length < kLanes) {
    for (std::int64_t t = 0; t < length; ++t) y[t] = x[length - 1 - t];
    return;
  }
  for (std::int64_t t = 0; t + kLanes <= length; t += kLanes) at(t);
  at(length - kLanes);  // once more over what is done
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
  if (last > kLanes) {
    at(1);
    for (std::int64_t t = aligned_step(y); t + kLanes <= last; t += kLanes) at(t);
    at(last - kLanes);  // once more over what is done: y is no input
  } else {
    for (std::int64_t t = 1; t < last; ++t) y[t] = centre * x[t] + side * (x[t - 1] + x[t + 1]);
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
