// NT-Xent's row formula, from a row's sums to its loss and to what that pulls at.
#pragma once
#include "contrastive/tile_walk.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
void row_losses(std::int64_t m, const PairSums<T>& sums, Reduction reduction, T* loss, T* share) {
  double total = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    // No negative (n = 1): log 0 = -inf gives loss 0 and share 0.
    const double x = double(sums.negative_shift[i]) + std::log(double(sums.negative_total[i])) -
                     double(sums.logit[i]);
    const double e = std::exp(-std::fabs(x));
    const double row = (x > 0 ? x : 0) + std::log1p(e);
    if (reduction == Reduction::none) loss[i] = T(row);
    total += row;
    share[i] = T((x < 0 ? e : 1) / (1 + e));
  }
  if (reduction != Reduction::none) *loss = T(reduction == Reduction::mean ? total / m : total);
}

// -dL/da of a row's positive, which its negatives share in proportion to exp(a).
template <class T>
struct RowPulls {
  RowPulls(std::int64_t m, Reduction reduction, const T* share, const PairSums<T>& sums,
           const T* grad_loss, std::int64_t grad_stride)
      : total(m), negative(m) {
    const double part = reduction == Reduction::mean ? 1.0 / m : 1.0;
    const std::int64_t step = reduction == Reduction::none ? grad_stride : 0;
    for (std::int64_t i = 0; i < m; ++i) {
      const double pull = double(grad_loss[i * step]) * part * share[i];
      const T sum = sums.negative_total[i];
      total[i] = pull;
      negative[i] = sum == T(0) ? T(0) : T(pull / sum);  // NaN stays NaN
    }
  }

  Scratch<double> total;
  Scratch<T> negative;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
