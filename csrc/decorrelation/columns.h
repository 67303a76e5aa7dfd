// Column statistics of a batch of embeddings, and its centred (and scaled) columns packed in
// panels.
#pragma once
#include "gemm/tiles.h"
#include "runtime/scratch.h"
#include "tsssl/bfloat16.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr std::int64_t kDepth = 256;  // depth of one packed chunk: a panel of it is 32 KiB of L2
constexpr std::int64_t kStrip = 96;   // columns whose statistics one task takes on the dim side

template <class T>
struct View {
  const T* z;
  std::int64_t stride;
  TSSSL_INLINE const T* row(std::int64_t i) const { return z + i * stride; }
};

// Rows whose terms are summed in the inputs' arithmetic before they are added in float64: one sum
// of all would lose digits, and float64 throughout is three times the instructions.
constexpr std::int64_t kPartRows = 16;

// out[c] = the sum over the rows of term(i, c - c0), in Sum arithmetic.
template <class Sum, class Term>
TSSSL_INLINE void column_sums(std::int64_t n, std::int64_t c0, std::int64_t c1, double* out,
                              const Term& term) {
  const std::int64_t columns = c1 - c0;
  for (std::int64_t c = c0; c < c1; ++c) out[c] = 0;
  for (std::int64_t i0 = 0; i0 < n; i0 += kPartRows) {
    Sum parts[kDepth];
    for (std::int64_t c = 0; c < columns; ++c) parts[c] = Sum(0);
    for (std::int64_t i = i0; i < min(i0 + kPartRows, n); ++i) term(i, parts);
    for (std::int64_t c = 0; c < columns; ++c) out[c0 + c] += double(parts[c]);
  }
}

// mean[c] over the rows: of differences from the first row, so that large means cost no digits of
// the centred columns.
template <class Sum, class In>
inline void column_means(const View<In>& view, std::int64_t n, std::int64_t c0, std::int64_t c1,
                         double* mean) {
  Sum first[kDepth];
  for (std::int64_t c = c0; c < c1; ++c) first[c - c0] = Sum(view.row(0)[c]);
  column_sums<Sum>(n, c0, c1, mean, [&](std::int64_t i, Sum* __restrict parts) {
    const In* __restrict x = view.row(i) + c0;
    for (std::int64_t c = 0; c < c1 - c0; ++c) parts[c] += Sum(x[c]) - first[c];
  });
  for (std::int64_t c = c0; c < c1; ++c) mean[c] = double(first[c - c0]) + mean[c] / double(n);
}

// A mean in two parts: subtracting its rounding alone would leave a residual of half an ulp of the
// mean in every centred value.
template <class T>
struct Centre {
  T mean[kDepth], rest[kDepth];

  Centre(const double* means, std::int64_t c0, std::int64_t c1) {
    for (std::int64_t c = c0; c < c1; ++c) {
      mean[c - c0] = T(means[c]);
      rest[c - c0] = T(means[c] - double(mean[c - c0]));
    }
  }
};

// out[c] = sum over the rows of (a - mean_a)(b - mean_b).
template <class Sum, class In>
inline void column_products(const View<In>& a, const double* mean_a, const View<In>& b,
                            const double* mean_b, std::int64_t n, std::int64_t c0, std::int64_t c1,
                            double* out) {
  const Centre<Sum> of_a(mean_a, c0, c1), of_b(mean_b, c0, c1);
  column_sums<Sum>(n, c0, c1, out, [&](std::int64_t i, Sum* __restrict parts) {
    const In* __restrict x = a.row(i) + c0;
    const In* __restrict y = b.row(i) + c0;
    for (std::int64_t c = 0; c < c1 - c0; ++c) {
      parts[c] +=
          ((Sum(x[c]) - of_a.mean[c]) - of_a.rest[c]) * ((Sum(y[c]) - of_b.mean[c]) - of_b.rest[c]);
    }
  });
}

template <class Sum, class In>
inline void column_squares(const View<In>& view, const double* mean, std::int64_t n,
                           std::int64_t c0, std::int64_t c1, double* out) {
  const Centre<Sum> of(mean, c0, c1);
  column_sums<Sum>(n, c0, c1, out, [&](std::int64_t i, Sum* __restrict parts) {
    const In* __restrict x = view.row(i) + c0;
    for (std::int64_t c = 0; c < c1 - c0; ++c) {
      const Sum value = (Sum(x[c]) - of.mean[c]) - of.rest[c];
      parts[c] += value * value;
    }
  });
}

// Whether a sum of squares is one that float32's range holds to its digits, with its terms.
TSSSL_INLINE bool in_range(double squares) { return squares > 1e-25 && squares < 1e37; }

// Means, and sums of squares about them, in float64 where float32's range does not hold them.
template <class In>
inline void column_statistics(const View<In>& view, std::int64_t n, std::int64_t c0,
                              std::int64_t c1, double* mean, double* squares) {
  typedef Computed<In> T;
  column_means<T>(view, n, c0, c1, mean);
  column_squares<T>(view, mean, n, c0, c1, squares);
  bool held = true;
  for (std::int64_t c = c0; c < c1; ++c) held &= sizeof(T) == 8 || in_range(squares[c]);
  if (held) return;
  column_means<double>(view, n, c0, c1, mean);
  column_squares<double>(view, mean, n, c0, c1, squares);
}

// Sum of (a - b)^2 over columns [c0, c1).
template <class In>
inline double squared_distance(const View<In>& a, const View<In>& b, std::int64_t n,
                               std::int64_t c0, std::int64_t c1) {
  const auto distance = [&](auto zero) {
    typedef decltype(zero) Sum;
    double sums[kDepth], total = 0;
    column_sums<Sum>(n, 0, c1 - c0, sums, [&](std::int64_t i, Sum* __restrict parts) {
      const In* __restrict x = a.row(i) + c0;
      const In* __restrict y = b.row(i) + c0;
      for (std::int64_t c = 0; c < c1 - c0; ++c) {
        const Sum difference = Sum(x[c]) - Sum(y[c]);
        parts[c] += difference * difference;
      }
    });
    for (std::int64_t c = 0; c < c1 - c0; ++c) total += sums[c];
    return total;
  };
  const double total = distance(Computed<In>());
  return sizeof(Computed<In>) == 8 || in_range(total) ? total : distance(double());
}

// x_j = ((z_j - mean_j) - rest_j) scale_j, with the mean in two parts.
template <class T>
struct Standardise {
  T* mean;
  T* rest;
  T* scale;

  TSSSL_INLINE void set(std::int64_t c, double mean_c, double scale_c) const {
    mean[c] = T(mean_c);
    rest[c] = T(mean_c - double(mean[c]));
    scale[c] = T(scale_c);
  }
};

// A vector of the second argument's type.
TSSSL_INLINE Vec<float> load_as(const float* p, float) { return load(p); }
TSSSL_INLINE Vec<double> load_as(const double* p, double) { return load(p); }
TSSSL_INLINE Vec<double> load_as(const float* p, double) {
  double numbers[Simd<double>::kLanes];
  for (int l = 0; l < Simd<double>::kLanes; ++l) numbers[l] = p[l];
  return load(numbers);
}
template <class T>
TSSSL_INLINE Vec<T> load_as(const Bfloat16* p, T) {
  T numbers[Simd<T>::kLanes];
  for (int l = 0; l < Simd<T>::kLanes; ++l) numbers[l] = p[l];
  return load(numbers);
}

template <class In, class T>
TSSSL_INLINE T standard(const In* z, std::int64_t c, const Standardise<T>& x) {
  return ((T(z[c]) - x.mean[c]) - x.rest[c]) * x.scale[c];
}

// The sum over columns [c0, c1) of x_ij^2.
template <class Sum, class In, class T>
TSSSL_INLINE double row_square(const In* z, const Standardise<T>& x, std::int64_t c0,
                               std::int64_t c1) {
  constexpr std::int64_t kParts = 32;
  const std::int64_t whole = c0 + (c1 - c0) / kParts * kParts;
  Sum parts[kParts] = {};
  for (std::int64_t c = c0; c < whole; c += kParts) {
    for (std::int64_t k = 0; k < kParts; ++k) {
      const Sum value = standard(z, c + k, x);
      parts[k] += value * value;
    }
  }
  for (std::int64_t c = whole; c < c1; ++c) {
    const Sum value = standard(z, c, x);
    parts[c - whole] += value * value;
  }
  double total = 0;
  for (std::int64_t k = 0; k < kParts; ++k) total += double(parts[k]);
  return total;
}

// out[i] = sum over columns [c0, c1), at most kDepth, of x_ij^2: the diagonal of the Gram matrix,
// whose entries are the largest. Eight terms a part, then float64.
template <class In, class T>
inline void row_squares(const View<In>& view, std::int64_t n, const Standardise<T>& x,
                        std::int64_t c0, std::int64_t c1, double* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = row_square<T>(view.row(i), x, c0, c1);
    if (sizeof(T) == 4 && !in_range(out[i])) out[i] = row_square<double>(view.row(i), x, c0, c1);
  }
}

// What a task of register tiles holds while it multiplies: nothing.
struct NoUnit {};

// An operand of `side` packed rows in chunks of the depth: chunk, panel, k, row in panel.
template <class T>
struct PackedChunks {
  typedef T Number;
  typedef NoUnit Unit;

  T* data;
  std::int64_t side, depth;

  static std::int64_t padded(std::int64_t side) { return round_up(side, Panel<T>::kRows); }
  static std::int64_t size(std::int64_t side, std::int64_t depth) { return padded(side) * depth; }
  std::int64_t panels() const { return padded(side) / Panel<T>::kRows; }
  std::int64_t chunks() const { return ceil_div(depth, kDepth); }
  std::int64_t chunk_depth(std::int64_t chunk) const { return min(kDepth, depth - chunk * kDepth); }
  T* panel(std::int64_t chunk, std::int64_t p) const {
    return data + chunk * kDepth * padded(side) + p * Panel<T>::kRows * chunk_depth(chunk);
  }
  // Shape::kRows rows from row i as a left operand; i is a multiple of Shape::kRows.
  const T* left(std::int64_t chunk, std::int64_t i) const {
    return panel(chunk, i / Panel<T>::kRows) + i % Panel<T>::kRows;
  }
};

// Rows of z as panel rows: the depth runs over columns [c0, c0 + depth). Transposed in registers:
// by single stores it took a quarter of the forward at 256 x 8192.
template <class In, class T>
inline void pack_rows(const View<In>& view, std::int64_t n, const Standardise<T>& x,
                      std::int64_t c0, std::int64_t depth, T* panel, std::int64_t first) {
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  constexpr int kLanes = Simd<T>::kLanes;
  const std::int64_t whole = depth / kLanes * kLanes;
  for (std::int64_t r = 0; r < kPanel; r += kLanes) {
    const std::int64_t rows = max(0, min(kLanes, n - first - r));
    for (std::int64_t k = 0; k < whole; k += kLanes) {
      const Vec<T> mean = load(x.mean + c0 + k), rest = load(x.rest + c0 + k);
      const Vec<T> scale = load(x.scale + c0 + k);
      Vec<T> tile[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        tile[i] = i < rows
                      ? ((load_as(view.row(first + r + i) + c0 + k, T()) - mean) - rest) * scale
                      : Vec<T>{};
      }
      transpose<T>(tile);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(panel + (k + i) * kPanel + r, tile[i]);
    }
    for (std::int64_t k = whole; k < depth; ++k) {
      for (int i = 0; i < kLanes; ++i) {
        panel[k * kPanel + r + i] = i < rows ? standard(view.row(first + r + i), c0 + k, x) : T(0);
      }
    }
  }
}

// Columns [c0, c0 + a panel) of z as panel rows: the depth runs over rows [first, first + depth).
template <class In, class T>
inline void pack_columns(const View<In>& view, std::int64_t dim, const Standardise<T>& x,
                         std::int64_t c0, std::int64_t first, std::int64_t depth, T* panel) {
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  const std::int64_t columns = min(kPanel, dim - c0);
  const T* mean = x.mean + c0;
  const T* rest = x.rest + c0;
  const T* scale = x.scale + c0;
  for (std::int64_t k = 0; k < depth; ++k) {
    const In* z = view.row(first + k) + c0;
    T* out = panel + k * kPanel;
    for (std::int64_t c = 0; c < columns; ++c) out[c] = ((T(z[c]) - mean[c]) - rest[c]) * scale[c];
    for (std::int64_t c = columns; c < kPanel; ++c) out[c] = T(0);
  }
}

// Packs columns [c0, c1) of one view into `out`. On the n side they are one chunk of the depth, on
// the dim side whole panels.
template <class In, class T>
inline void pack(const View<In>& view, std::int64_t n, std::int64_t dim, bool gram,
                 const Standardise<T>& x, std::int64_t c0, std::int64_t c1,
                 const PackedChunks<T>& out) {
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  if (gram) {
    for (std::int64_t p = 0; p < out.panels(); ++p) {
      pack_rows(view, n, x, c0, c1 - c0, out.panel(c0 / kDepth, p), p * kPanel);
    }
  } else {
    for (std::int64_t chunk = 0; chunk < out.chunks(); ++chunk) {
      for (std::int64_t c = c0; c < c1; c += kPanel) {
        pack_columns(view, dim, x, c, chunk * kDepth, out.chunk_depth(chunk),
                     out.panel(chunk, c / kPanel));
      }
    }
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
