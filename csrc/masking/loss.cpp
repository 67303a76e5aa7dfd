// The loss over hidden steps, and its gradient.
#include "masking/loss.h"

#include "masking/samples.h"
#include "runtime/scratch.h"
#include "tsssl/masking.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
void forward(const T* pred, const T* target, const MaskView& mask, const T* weight, Extent e,
             PenaltyKind kind, double delta, Reduce reduce, int threads, T* value, double* saved) {
  const Scratch<std::uint8_t> masks(threads * e.t);
  const Scratch<Sums> sums(e.n);
  with_penalty<T>(kind, delta, [&](const auto& penalty) {
    for_samples(e.n, e.c * e.t, kStreamed, threads, [&](std::int64_t n, int thread) {
      Lanes<T> lanes;
      for (std::int64_t c = 0; c < e.c; ++c) {
        const std::int64_t at = (n * e.c + c) * e.t;
        const std::uint8_t* m = mask_row(mask, n, c, e.t, masks.get() + thread * e.t);
        if (weight != nullptr) {
          add_row<T, true>(penalty, m, pred + at, target + at, weight + at, e.t, lanes);
        } else {
          add_row<T, false>(penalty, m, pred + at, target + at, weight, e.t, lanes);
        }
      }
      lanes.fold();
      sums[n] = lanes.sums;
    });
  });
  const auto mean = [](Sums s) { return s.divisor == 0 ? 0.0 : s.total / s.divisor; };
  if (reduce == Reduce::none) {
    for (std::int64_t n = 0; n < e.n; ++n) {
      saved[n] = mean(sums[n]);
      saved[e.n + n] = sums[n].divisor;
      value[n] = static_cast<T>(saved[n]);
    }
    return;
  }
  Sums all{0, 0};
  for (std::int64_t n = 0; n < e.n; ++n) {
    all.total += sums[n].total;
    all.divisor += sums[n].divisor;
  }
  const bool summed = reduce == Reduce::sum;
  value[0] = static_cast<T>(summed ? all.total : mean(all));
  saved[0] = summed ? 0.0 : mean(all);
  saved[1] = summed ? 1.0 : all.divisor;
}

template <class T>
void backward(const T* grad, std::int64_t rows, const double* saved, const T* pred, const T* target,
              const MaskView& mask, const T* weight, Extent e, PenaltyKind kind, double delta,
              int threads, T* grad_pred, T* grad_weight) {
  const Scratch<std::uint8_t> masks(threads * e.t);
  with_penalty<T>(kind, delta, [&](const auto& penalty) {
    for_samples(e.n, e.c * e.t, kStreamed, threads, [&](std::int64_t n, int thread) {
      const std::int64_t row = rows == 1 ? 0 : n;
      const double divisor = saved[rows + row];
      const T factor =
          static_cast<T>(divisor == 0 ? 0.0 : static_cast<double>(grad[row]) / divisor);
      const T mean = static_cast<T>(saved[row]);
      for (std::int64_t c = 0; c < e.c; ++c) {
        const std::int64_t at = (n * e.c + c) * e.t;
        const std::uint8_t* m = mask_row(mask, n, c, e.t, masks.get() + thread * e.t);
        if (weight != nullptr) {
          row_gradient<T, true>(penalty, m, pred + at, target + at, weight + at, e.t, factor, mean,
                                grad_pred + at, grad_weight + at);
        } else {
          row_gradient<T, false>(penalty, m, pred + at, target + at, weight, e.t, factor, mean,
                                 grad_pred + at, grad_weight);
        }
      }
    });
  });
}

}  // namespace

const ByDtype<MaskedLossKernels>& loss_kernels() {
  static constexpr ByDtype<MaskedLossKernels> table{{forward<float>, backward<float>},
                                                    {forward<double>, backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
