// A task is a group of rows or a sample; sums over samples are added in their order afterwards, so
// that results are the same for any number of threads.
#include "masking/draw.h"
#include "masking/fill.h"
#include "masking/loss.h"
#include "runtime/parallel.h"
#include "runtime/scratch.h"
#include "tsssl/masking.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// f(sample, thread), several samples a task where they are small. Shares: what a thread writes it
// reads in the next pass.
template <class F>
inline void for_samples(std::int64_t n, std::int64_t elements, std::int64_t per_task, int threads,
                        const F& f) {
  const std::int64_t group = elements < per_task ? per_task / elements : 1;
  parallel_shares((n + group - 1) / group, threads, [&](std::int64_t task, int thread) {
    const std::int64_t end = (task + 1) * group < n ? (task + 1) * group : n;
    for (std::int64_t i = task * group; i < end; ++i) f(i, thread);
  });
}

constexpr std::int64_t kDrawn = 4096;      // units of a task, 1 to 2 ns each
constexpr std::int64_t kStreamed = 32768;  // elements of a task, 0.1 ns each

void mask(const MaskSeed& seed, const MaskPlan& plan, Extent e, std::int64_t views,
          bool intersection, int threads, std::uint8_t* out) {
  const Key key = mask_key(seed);
  const KeySchedule keys(key);
  const std::int64_t rows = e.n * e.c, plane = rows * e.t;
  const Scratch<std::int32_t> spares(threads * (plan.runs + 1));
  for_samples(rows, e.t * views, kDrawn, threads, [&](std::int64_t row, int thread) {
    for (std::int64_t v = 0; v < views; ++v) {
      hide_row(seed, key, keys, plan, v, row / e.c, row % e.c, e.t,
               spares.get() + thread * (plan.runs + 1), out + v * plane + row * e.t);
    }
    if (!intersection) return;
    std::uint8_t* both = out + views * plane + row * e.t;
    for (std::int64_t t = 0; t < e.t; ++t) both[t] = 1;
    for (std::int64_t v = 0; v < views; ++v) {
      const std::uint8_t* m = out + v * plane + row * e.t;
      for (std::int64_t t = 0; t < e.t; ++t) both[t] &= m[t];
    }
  });
}

template <class T>
void fill_series(const T* x, const MaskView& mask, Extent e, FillKind kind, const T* token,
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
void fill_backward(const T* grad, const MaskView& mask, Extent e, int threads, T* grad_x,
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

template <class T>
void loss(const T* pred, const T* target, const MaskView& mask, const T* weight, Extent e,
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
void loss_backward(const T* grad, std::int64_t rows, const double* saved, const T* pred,
                   const T* target, const MaskView& mask, const T* weight, Extent e,
                   PenaltyKind kind, double delta, int threads, T* grad_pred, T* grad_weight) {
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

template <class T>
void token_gradient(const T* grad, const std::int64_t* keep, Extent e, std::int64_t k, int threads,
                    T* grad_token) {
  const std::int64_t l = e.c, d = e.t;
  const Scratch<double> sums(e.n * d);
  for_samples(e.n, l * d, kStreamed, threads, [&](std::int64_t n, int) {
    double* sum = sums.get() + n * d;
    for (std::int64_t i = 0; i < d; ++i) sum[i] = 0;
    const std::int64_t* kept = keep + n * k;
    std::int64_t next = 0;
    for (std::int64_t row = 0; row < l; ++row) {
      if (next < k && kept[next] == row) {
        ++next;
        continue;
      }
      const T* g = grad + (n * l + row) * d;
      for (std::int64_t i = 0; i < d; ++i) sum[i] += static_cast<double>(g[i]);
    }
  });
  for (std::int64_t i = 0; i < d; ++i) {
    double sum = 0;
    for (std::int64_t n = 0; n < e.n; ++n) sum += sums[n * d + i];
    grad_token[i] = static_cast<T>(sum);
  }
}

void gather_rows(const char* x, const std::int64_t* keep, std::int64_t n, std::int64_t l,
                 std::int64_t k, std::int64_t bytes, int threads, char* out) {
  for_samples(n, k * bytes, 4 * kStreamed, threads, [&](std::int64_t i, int) {
    for (std::int64_t j = 0; j < k; ++j) {
      __builtin_memcpy(out + (i * k + j) * bytes, x + (i * l + keep[i * k + j]) * bytes,
                       static_cast<std::size_t>(bytes));
    }
  });
}

void restore_rows(const char* visible, const std::int64_t* keep, std::int64_t n, std::int64_t l,
                  std::int64_t k, std::int64_t bytes, const char* token, int threads, char* out) {
  const std::size_t size = static_cast<std::size_t>(bytes);
  for_samples(n, l * bytes, 4 * kStreamed, threads, [&](std::int64_t i, int) {
    std::int64_t next = 0;
    for (std::int64_t row = 0; row < l; ++row) {
      char* y = out + (i * l + row) * bytes;
      if (next < k && keep[i * k + next] == row) {
        __builtin_memcpy(y, visible + (i * k + next++) * bytes, size);
      } else if (token != nullptr) {
        __builtin_memcpy(y, token, size);
      } else {
        __builtin_memset(y, 0, size);
      }
    }
  });
}

}  // namespace

const MaskingKernels& masking_kernels() {
  static constexpr MaskingKernels table{mask,
                                        {fill_series<float>, fill_backward<float>, loss<float>,
                                         loss_backward<float>, token_gradient<float>},
                                        {fill_series<double>, fill_backward<double>, loss<double>,
                                         loss_backward<double>, token_gradient<double>},
                                        gather_rows,
                                        restore_rows};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
