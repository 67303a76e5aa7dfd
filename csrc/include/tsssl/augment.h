// Augmentation family: signatures over raw pointers. See tsssl_fast/ops/augment/README.md for the
// operations, the random-number scheme and the layout of a program and of its parameters.
#pragma once
#include <cstdint>

#include "tsssl/by_dtype.h"

namespace tsssl {

// What one call draws from. The output of (view v, sample i) depends on seed, id(i), v and the
// program alone.
struct Draws {
  const double* program;  // (rows, kProgramColumns), row-major
  std::int64_t rows;
  std::int64_t seed[4];         // seed, epoch, step, rank: folded in this order
  const std::int64_t* ids;      // (n) sample ids, or null: the row of the batch
  const std::int64_t* lengths;  // (n) steps that are no padding, 1 to t, or null: t
};

constexpr int kProgramColumns = 24;

// How many parameters a row of a program has for one (view, sample).
constexpr std::int64_t row_slots(const double* row, std::int64_t channels) {
  return static_cast<std::int64_t>(row[4]) + static_cast<std::int64_t>(row[5]) * channels;
}

// n series of c channels and t steps, the same for every view (stride_v 0) or not; strides in
// elements.
template <class T>
struct Series {
  const T* x;
  std::int64_t stride_v, stride_n, stride_c, stride_t;
  std::int64_t n, c, t;
};

// forward: out (views, n, c, t), contiguous. Every (view, sample) is one work item: its c x t block
// stays in cache while the operations run over it in order.
// backward: the adjoint of the linear part, grad (views, n, c, t) -> grad_x, contiguous: (n, c, t),
// summed over the views in ascending order, where `sum` is set, else (views, n, c, t).
// parameters: (views, n, slots) to replay, or null to draw them.
template <class T>
struct AugmentKernels {
  void (*forward)(const Series<T>& x, const Draws& draws, const double* parameters,
                  std::int64_t views, int threads, T* out);
  void (*backward)(const Series<T>& grad, const Draws& draws, const double* parameters,
                   std::int64_t views, int threads, bool sum, T* grad_x);
};

// The parameters that `forward` would draw, all rows, for n series of c channels and t steps.
using AugmentSample = void (*)(const Draws& draws, std::int64_t views, std::int64_t n,
                               std::int64_t c, std::int64_t t, int threads, double* parameters);

}  // namespace tsssl
