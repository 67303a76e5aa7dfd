// Decorrelation family: signatures over raw pointers. See tsssl_fast/ops/decorrelation/README.md
// for the derivation, the flop count and what is saved.
#pragma once
#include <cstdint>

#include "tsssl/bfloat16.h"
#include "tsssl/by_dtype.h"
#include "tsssl/precision.h"

namespace tsssl {

// Kernels by what they read and write; bfloat16 is computed in float32.
template <template <class> class Kernels>
struct ByInput : ByDtype<Kernels> {
  Kernels<Bfloat16> bf16;

  using ByDtype<Kernels>::of;
  __attribute__((always_inline)) const Kernels<Bfloat16>& of(Bfloat16) const { return bf16; }
};

// Row-major views of the same n series, each n x dim, n >= 2.
template <class T>
struct Views {
  const T* const* z;
  const std::int64_t* stride;  // elements between the rows of each view; columns are contiguous
  int count;
  std::int64_t n;
  std::int64_t dim;
  // The side on which second moments are taken: Gram matrices (n x n) or covariances (dim x dim).
  bool gram;
  int bits = sizeof(T) == 8 ? 53 : 24;  // significant, of the caller's numbers
  Precision precision = Precision::ieee;
  // The kernels' own. Not 0: second moments are taken of the inputs as they are, their means' part
  // then left out; the gradient multiplies so many parts of the second moments with them.
  int as_they_are = 0;
};

// One term of a loss: term = factor * its raw sum, loss = sum of weight * term. A weight of 0
// switches the term off, whatever its value.
struct Term {
  double factor, weight;
};

// The loss and its terms in the options' order. In the gradients null where there is none.
template <class T>
struct TermValues {
  T* loss;
  T* terms;
};
template <class T>
struct TermGradients {
  const T* loss;
  const T* terms;
};

struct VicregTerm : Term {
  bool computed;  // else its raw sums are 0
};

struct VicregOptions {
  VicregTerm invariance, variance, covariance;
  double gamma;
  double eps;  // added to the variance
  double norm_eps;
  bool correlation;  // columns over max(their norm, norm_eps) before the second moments (VIbCReg)

  static constexpr int kTerms = 3;
};

// Raw sums of VICReg, without their factors (Bardes et al. 2022, equations 1 to 4). With x the
// centred columns of a view, SS_j = sum_b x_bj^2, C = x^T x / (n - 1):
//   pairs  = sum over views a < b of ||z_a - z_b||^2
//   hinge  = sum_j max(0, gamma - sqrt(SS_j / (n - 1) + eps))        for each view
//   off    = sum_{i != j} C_ij^2, diagonal = sum_j C_jj^2             for each view
// With `correlation`, C = u^T u with u_j = x_j / max(||x_j||, norm_eps).
//   moments: [pairs, hinge[count], off[count], diagonal[count], mean[count][dim], SS[count][dim]]
//     mean and SS are 0 with the invariance alone;
//   square: (count, side, side): x x^T or x^T x (of u with `correlation`), kept for the backward;
//     written only with the covariance.
// backward: gradients[view] (n, dim), contiguous.
template <class In>
struct VicregKernels {
  typedef Computed<In> T;

  void (*forward)(const Views<In>& views, const VicregOptions& options, int threads,
                  const TermValues<T>& values, double* moments, T* square);
  void (*backward)(const Views<In>& views, const VicregOptions& options,
                   const TermGradients<T>& upstream, int threads, const double* moments,
                   const T* square, In* const* gradients);
};
constexpr std::int64_t vicreg_moments(std::int64_t views, std::int64_t dim) {
  return 1 + 3 * views + 2 * views * dim;
}

struct BarlowOptions {
  Term on, off;
  double eps;
  bool center;
  bool unbiased;  // mean squares over n - 1

  static constexpr int kTerms = 2;
};

// Raw sums of Barlow Twins (Zbontar et al. 2021, equations 1 and 2): with a, b the columns of the
// two views (centred on request), a_j / sqrt(sum_b a_bj^2 / m + eps), m = n or n - 1, and C = a^T b
// / n:
//   on = sum_j (1 - C_jj)^2, off = sum_{i != j} C_ij^2, diagonal = sum_j C_jj^2
//   moments: [on, off, diagonal, mean[2][dim], SS[2][dim], sum_b a_bj b_bj [dim]]
//   square: (2, side, side): with Gram matrices b b^T, a a^T; else the transpose of a^T b, and it.
template <class In>
struct BarlowKernels {
  typedef Computed<In> T;

  void (*forward)(const Views<In>& views, const BarlowOptions& options, int threads,
                  const TermValues<T>& values, double* moments, T* square);
  void (*backward)(const Views<In>& views, const BarlowOptions& options,
                   const TermGradients<T>& upstream, int threads, const double* moments,
                   const T* square, In* const* gradients);
};
constexpr std::int64_t barlow_moments(std::int64_t dim) { return 3 + 5 * dim; }

}  // namespace tsssl
