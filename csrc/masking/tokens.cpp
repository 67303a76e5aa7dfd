// Rows of visible tokens gathered, put back, and the gradient of the token between them.
#include "masking/samples.h"
#include "runtime/scratch.h"
#include "tsssl/masking.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

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

const TokenKernels& tokens_kernels() {
  static constexpr TokenKernels table{
      gather_rows, restore_rows, {token_gradient<float>, token_gradient<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
