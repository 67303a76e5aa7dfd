// Masking family: signatures over raw pointers. A mask is bytes, 1 where a value is hidden. The
// definition is tsssl_fast/ops/masking/reference.py.
#pragma once
#include <cstdint>

#include "tsssl/by_dtype.h"

namespace tsssl {

// Codes as in tsssl_fast/ops/masking/spec.py.
enum class MaskCode : int { point = 64, patch = 65, span = 66, geometric = 67, channel = 68 };

// `count` of the units of `size` steps, or `count` steps in `runs` runs.
struct MaskPlan {
  MaskCode code;
  std::int64_t count, size, runs;
};

// What the draws of a call depend on; sample_ids may be null: 0, 1, ...
struct MaskSeed {
  std::int64_t seed, epoch, step, rank;
  const std::int64_t* sample_ids;
};

enum class FillKind : int { zero = 0, mean = 1, noise = 2, token = 3 };
enum class PenaltyKind : int { mse = 0, l1 = 1, huber = 2 };
enum class Reduce : int { none = 0, mean = 1, sum = 2 };

// A mask of (n, c, t), by strides in bytes: 0 where an axis shares it.
struct MaskView {
  const std::uint8_t* data;
  std::int64_t stride_n, stride_c, stride_t;
};

struct Extent {
  std::int64_t n, c, t;
};

// out: (views + intersection, n, rows, t), contiguous; extent.c is the number of rows.
using MaskKernel = void (*)(const MaskSeed& seed, const MaskPlan& plan, Extent extent,
                            std::int64_t views, bool intersection, int threads, std::uint8_t* out);

template <class T>
struct FillKernels {
  // x, out: (n, c, t) contiguous; token: (c,) or null.
  void (*forward)(const T* x, const MaskView& mask, Extent extent, FillKind kind, const T* token,
                  const MaskSeed& seed, std::int64_t view, int threads, T* out);
  // grad_token: (c,) or null.
  void (*backward)(const T* grad, const MaskView& mask, Extent extent, int threads, T* grad_x,
                   T* grad_token);
};

template <class T>
struct MaskedLossKernels {
  // value: (n,) for Reduce::none, else one; saved: as many values, then as many divisors.
  void (*forward)(const T* pred, const T* target, const MaskView& mask, const T* weight,
                  Extent extent, PenaltyKind kind, double delta, Reduce reduce, int threads,
                  T* value, double* saved);
  // grad: `rows` numbers, one per sample or one for all; grad_weight may be null.
  void (*backward)(const T* grad, std::int64_t rows, const double* saved, const T* pred,
                   const T* target, const MaskView& mask, const T* weight, Extent extent,
                   PenaltyKind kind, double delta, int threads, T* grad_pred, T* grad_weight);
};

// Sum over the rows of grad (n, l, d) that keep (n, k), ascending, leaves out: (d,).
template <class T>
using TokenGradient = void (*)(const T* grad, const std::int64_t* keep, Extent extent,
                               std::int64_t k, int threads, T* grad_token);

struct TokenKernels {
  // Rows of `bytes` bytes: out[n, k] = x[n, keep[n, k]] of l rows a sample.
  void (*gather)(const char* x, const std::int64_t* keep, std::int64_t n, std::int64_t l,
                 std::int64_t k, std::int64_t bytes, int threads, char* out);
  // out[n, keep[n, k]] = visible[n, k], the token (or zeros) in every other of the l rows.
  void (*restore)(const char* visible, const std::int64_t* keep, std::int64_t n, std::int64_t l,
                  std::int64_t k, std::int64_t bytes, const char* token, int threads, char* out);
  ByDtype<TokenGradient> gradient;
};

}  // namespace tsssl
