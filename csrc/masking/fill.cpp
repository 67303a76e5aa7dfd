// Hidden steps replaced; the gradient of what stays and of the token.
#include "masking/fill.h"

#include "masking/samples.h"
#include "runtime/scratch.h"
#include "tsssl/masking.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
void forward(const T* x, const MaskView& mask, Extent e, FillKind kind, const T* token,
             const MaskSeed& seed, std::int64_t view, int threads, T* out) {
  const KeySchedule keys(kind == FillKind::noise ? mask_key(seed) : Key{0, 0});
  const Scratch<T> spares(threads * e.t);
  const Scratch<std::uint8_t> masks(threads * e.t);
  for_samples(e.n, e.c * e.t, kStreamed, threads, [&](std::int64_t n, int thread) {
    for (std::int64_t c = 0; c < e.c; ++c) {
      const std::int64_t at = (n * e.c + c) * e.t;
      const std::uint8_t* m = mask_row(mask, n, c, e.t, masks.get() + thread * e.t);
      T value = kind == FillKind::token ? token[c] : T(0);
      if (kind == FillKind::mean || kind == FillKind::noise) {
        const RowMoments moments = visible_moments(m, x + at, e.t, spares.get() + thread * e.t);
        if (kind == FillKind::noise) {
          const WordStream stream = mask_stream(seed, keys, kNoiseCode, kElements, view, n);
          write_noise(m, x + at, e.t, c, moments, stream, out + at);
          continue;
        }
        value = static_cast<T>(moments.mean);
      }
      write_where(m, x + at, value, e.t, out + at);
    }
  });
}

template <class T>
void backward(const T* grad, const MaskView& mask, Extent e, int threads, T* grad_x,
              T* grad_token) {
  const Scratch<std::uint8_t> masks(threads * e.t);
  const Scratch<double> sums(grad_token != nullptr ? e.n * e.c : 1);
  for_samples(e.n, e.c * e.t, kStreamed, threads, [&](std::int64_t n, int thread) {
    for (std::int64_t c = 0; c < e.c; ++c) {
      const std::int64_t at = (n * e.c + c) * e.t;
      const std::uint8_t* m = mask_row(mask, n, c, e.t, masks.get() + thread * e.t);
      write_where(m, grad + at, T(0), e.t, grad_x + at);
      if (grad_token == nullptr) continue;
      double sum = 0;
      for (std::int64_t t = 0; t < e.t; ++t) {
        sum += m[t] != 0 ? static_cast<double>(grad[at + t]) : 0.0;
      }
      sums[n * e.c + c] = sum;
    }
  });
  for (std::int64_t c = 0; grad_token != nullptr && c < e.c; ++c) {
    double sum = 0;
    for (std::int64_t n = 0; n < e.n; ++n) sum += sums[n * e.c + c];
    grad_token[c] = static_cast<T>(sum);
  }
}

}  // namespace

const ByDtype<FillKernels>& fill_kernels() {
  static constexpr ByDtype<FillKernels> table{{forward<float>, backward<float>},
                                              {forward<double>, backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
