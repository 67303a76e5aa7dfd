// NT-Xent's row formula, from a row's sums to its loss and to its logits' gradients.
#pragma once
#include "contrastive/tile_walk.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
void row_losses(std::int64_t m, const NtXentRows<T>& rows, Reduction reduction, T* loss) {
  const PairSums<T>& sums = rows.sums;
  double total = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    // No negative (n = 1): log 0 = -inf gives loss 0 and 1 - P = 0.
    const double x = double(sums.negative_shift[i]) + std::log(double(sums.negative_total[i])) -
                     double(sums.logit[i]);
    const double e = std::exp(-std::fabs(x));
    const double row = (x > 0 ? x : 0) + std::log1p(e);
    if (reduction == Reduction::none) loss[i] = T(row);
    total += row;
    rows.one_minus_p[i] = T((x < 0 ? e : 1) / (1 + e));
  }
  if (reduction != Reduction::none) *loss = T(reduction == Reduction::mean ? total / m : total);
}

// positive: -dL/da of a row's positive, the sum of dL/da over its negatives; negative: what exp(a)
// of a negative is multiplied with.
template <class T>
struct RowLogitGradient {
  RowLogitGradient(std::int64_t m, Reduction reduction, const NtXentRows<T>& rows,
                   const UpstreamGradient<T>& upstream)
      : positive(m), negative(m) {
    const double part = reduction == Reduction::mean ? 1.0 / m : 1.0;
    const std::int64_t step = reduction == Reduction::none ? upstream.stride : 0;
    for (std::int64_t i = 0; i < m; ++i) {
      const double total = double(upstream.data[i * step]) * part * rows.one_minus_p[i];
      const T sum = rows.sums.negative_total[i];
      positive[i] = total;
      negative[i] = sum == T(0) ? T(0) : T(total / sum);  // NaN stays NaN
    }
  }

  Scratch<double> positive;
  Scratch<T> negative;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
