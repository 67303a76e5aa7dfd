// Column statistics of a batch of embeddings, and its centred (and scaled) columns packed in
// panels.
#pragma once
#include "cpu/scratch.h"
#include "kernels/tiles.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr std::int64_t kDepth = 256;  // depth of one packed chunk: a panel of it is 48 KiB of L2
constexpr std::int64_t kStrip = 96;   // columns whose statistics one task takes on the dim side

template <class T>
struct View {
  const T* z;
  std::int64_t stride;
  TSSSL_INLINE const T* row(std::int64_t i) const { return z + i * stride; }
};

// mean[c] over the rows, in float64: large means cost no digits of the centred columns.
template <class In>
inline void column_means(const View<In>& view, std::int64_t n, std::int64_t c0, std::int64_t c1,
                         double* mean) {
  for (std::int64_t c = c0; c < c1; ++c) mean[c] = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const In* x = view.row(i);
    for (std::int64_t c = c0; c < c1; ++c) mean[c] += double(x[c]);
  }
  for (std::int64_t c = c0; c < c1; ++c) mean[c] /= double(n);
}

// out[c] = sum over the rows of (a - mean_a)(b - mean_b).
template <class In>
inline void column_products(const View<In>& a, const double* mean_a, const View<In>& b,
                            const double* mean_b, std::int64_t n, std::int64_t c0, std::int64_t c1,
                            double* out) {
  for (std::int64_t c = c0; c < c1; ++c) out[c] = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const In* x = a.row(i);
    const In* y = b.row(i);
    for (std::int64_t c = c0; c < c1; ++c) {
      out[c] += (double(x[c]) - mean_a[c]) * (double(y[c]) - mean_b[c]);
    }
  }
}

// Sum of (a - b)^2 over columns [c0, c1), c1 - c0 <= kDepth.
template <class In>
inline double squared_distance(const View<In>& a, const View<In>& b, std::int64_t n,
                               std::int64_t c0, std::int64_t c1) {
  double parts[kDepth] = {};
  for (std::int64_t i = 0; i < n; ++i) {
    const In* x = a.row(i) + c0;
    const In* y = b.row(i) + c0;
    for (std::int64_t c = 0; c < c1 - c0; ++c) {
      const double difference = double(x[c]) - double(y[c]);
      parts[c] += difference * difference;
    }
  }
  double total = 0;
  for (std::int64_t c = 0; c < c1 - c0; ++c) total += parts[c];
  return total;
}

// x_j = ((z_j - mean_j) - rest_j) scale_j. The mean in two parts: subtracting its rounding alone
// would leave a residual of half an ulp of the mean in every centred value.
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

// out[i] = sum over columns [c0, c1) of x_ij^2: the diagonal of the Gram matrix, whose entries are
// the largest, in float64.
template <class In, class T>
inline void row_squares(const View<In>& view, std::int64_t n, const Standardise<T>& x,
                        std::int64_t c0, std::int64_t c1, double* out) {
  constexpr std::int64_t kParts = 16;
  for (std::int64_t i = 0; i < n; ++i) {
    const In* z = view.row(i);
    double parts[kParts] = {};
    for (std::int64_t c = c0; c < c1; c += kParts) {
      for (std::int64_t k = 0; k < min(kParts, c1 - c); ++k) {
        const double value = ((T(z[c + k]) - x.mean[c + k]) - x.rest[c + k]) * x.scale[c + k];
        parts[k] += value * value;
      }
    }
    double total = 0;
    for (std::int64_t k = 0; k < kParts; ++k) total += parts[k];
    out[i] = total;
  }
}

// An operand of `side` packed rows in chunks of the depth: chunk, panel, k, row in panel.
template <class T>
struct Operand {
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

// Rows of z as panel rows: the depth runs over columns [c0, c0 + depth).
template <class In, class T>
inline void pack_rows(const View<In>& view, std::int64_t n, const Standardise<T>& x,
                      std::int64_t c0, std::int64_t depth, T* panel, std::int64_t first) {
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  const T* mean = x.mean + c0;
  const T* rest = x.rest + c0;
  const T* scale = x.scale + c0;
  constexpr std::int64_t kTile = Simd<T>::kLanes;
  T tile[kTile][kTile];
  for (std::int64_t r = 0; r < kPanel; r += kTile) {
    const std::int64_t rows = max(0, min(kTile, n - first - r));
    for (std::int64_t k = 0; k < depth; k += kTile) {
      const std::int64_t columns = min(kTile, depth - k);
      for (std::int64_t i = 0; i < rows; ++i) {
        const In* z = view.row(first + r + i) + c0 + k;
        for (std::int64_t c = 0; c < columns; ++c) {
          tile[i][c] = ((T(z[c]) - mean[k + c]) - rest[k + c]) * scale[k + c];
        }
      }
      for (std::int64_t i = rows; i < kTile; ++i) {
        for (std::int64_t c = 0; c < columns; ++c) tile[i][c] = T(0);
      }
      for (std::int64_t c = 0; c < columns; ++c) {
        T* out = panel + (k + c) * kPanel + r;
        for (std::int64_t i = 0; i < kTile; ++i) out[i] = tile[i][c];
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
                 const Standardise<T>& x, std::int64_t c0, std::int64_t c1, const Operand<T>& out) {
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
