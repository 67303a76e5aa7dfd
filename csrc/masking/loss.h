// Penalties of the hidden elements of a row. Lanes add up in T over at most kFold vectors and are
// then folded into float64: the sum of a long series keeps its digits, and its order is fixed.
#pragma once
#include "masking/lanes.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

struct SquareOf {
  template <class V>
  TSSSL_INLINE V value(V d) const {
    return d * d;
  }
  template <class V>
  TSSSL_INLINE V slope(V d) const {
    return d + d;
  }
};

struct AbsoluteOf {
  template <class V>
  TSSSL_INLINE V value(V d) const {
    return d < 0 ? -d : d;
  }
  template <class V>
  TSSSL_INLINE V slope(V d) const {
    const V zero{};
    const V step = d < 0 ? zero - 1 : zero + 1;
    return d == 0 ? zero : step;
  }
};

// d^2 / 2 up to delta, then a line.
template <class T>
struct HuberOf {
  T delta;
  template <class V>
  TSSSL_INLINE V value(V d) const {
    const V a = d < 0 ? -d : d;
    return a <= delta ? T(0.5) * d * d : delta * (a - T(0.5) * delta);
  }
  template <class V>
  TSSSL_INLINE V slope(V d) const {
    const V zero{};
    const V low = d < -delta ? zero - delta : d;
    return low > delta ? zero + delta : low;
  }
};

constexpr int kFold = 32;

struct Sums {
  double total, divisor;
};

// The running sums of a sample. Rows share the lanes: adding lanes up takes longer than a row of
// 128 steps.
template <class T>
struct Lanes {
  Vec<T> total{}, divisor{};
  int used = 0;
  Sums sums{0, 0};

  TSSSL_INLINE void fold() {
    sums.total += static_cast<double>(sum<T>(total));
    sums.divisor += static_cast<double>(sum<T>(divisor));
    total = divisor = Vec<T>{};
    used = 0;
  }
};

template <class T, bool kWeighted, class P>
inline void add_row(const P& penalty, const std::uint8_t* m, const T* pred, const T* target,
                    const T* weight, std::int64_t t, Lanes<T>& lanes) {
  constexpr int kLanes = Simd<T>::kLanes;
  std::int64_t i = 0;
  for (; i + kLanes <= t; i += kLanes) {
    const IntVec<T> hidden = hidden_lanes(m + i, T());
    const Vec<T> e = penalty.value(load(pred + i) - load(target + i));
    const Vec<T> w = kWeighted ? load(weight + i) : broadcast(T(1));
    lanes.total += hidden ? w * e : Vec<T>{};
    lanes.divisor += hidden ? w : Vec<T>{};
    if (++lanes.used == kFold) lanes.fold();
  }
  for (; i < t; ++i) {
    if (m[i] == 0) continue;
    const T w = kWeighted ? weight[i] : T(1);
    lanes.sums.total += static_cast<double>(w * penalty.value(pred[i] - target[i]));
    lanes.sums.divisor += static_cast<double>(w);
  }
}

// grad_pred = factor w slope, grad_weight = factor (e - mean); 0 where visible.
template <class T, bool kWeighted, class P>
inline void row_gradient(const P& penalty, const std::uint8_t* m, const T* pred, const T* target,
                         const T* weight, std::int64_t t, T factor, T mean, T* grad_pred,
                         T* grad_weight) {
  constexpr int kLanes = Simd<T>::kLanes;
  std::int64_t i = 0;
  for (; i + kLanes <= t; i += kLanes) {
    const IntVec<T> hidden = hidden_lanes(m + i, T());
    const Vec<T> d = load(pred + i) - load(target + i);
    const Vec<T> w = kWeighted ? factor * load(weight + i) : broadcast(factor);
    store(grad_pred + i, hidden ? w * penalty.slope(d) : Vec<T>{});
    if (kWeighted) store(grad_weight + i, hidden ? factor * (penalty.value(d) - mean) : Vec<T>{});
  }
  for (; i < t; ++i) {
    const T d = pred[i] - target[i];
    const T w = kWeighted ? factor * weight[i] : factor;
    grad_pred[i] = m[i] != 0 ? w * penalty.slope(d) : T(0);
    if (kWeighted) grad_weight[i] = m[i] != 0 ? factor * (penalty.value(d) - mean) : T(0);
  }
}

template <class T, class F>
inline void with_penalty(PenaltyKind kind, double delta, const F& f) {
  switch (kind) {
    case PenaltyKind::mse:
      return f(SquareOf{});
    case PenaltyKind::l1:
      return f(AbsoluteOf{});
    case PenaltyKind::huber:
      return f(HuberOf<T>{static_cast<T>(delta)});
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
