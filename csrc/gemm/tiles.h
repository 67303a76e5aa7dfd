// Register tiles: the matrix products that the losses are made of, in pieces small enough for their
// epilogue (exponentials, sums, squares) to run while the result is still in registers.
//
// A packed operand is stored in panels of kPanel rows, k-major inside the panel:
//   packed[panel][k][row in panel]
// so that one layout serves both sides of S = A B^T: a right operand is read kPanel values at a
// time, a left operand kRows values at a time (kRows divides kPanel).
#pragma once
#include "simd/vec.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Shapes of the register tiles, in vectors: accumulators + right operand + one broadcast must fit
// the registers (16 below AVX-512: 12 + 3 + 1). 32 would hold 8 x 3 vectors, but 8 x 2 reach the
// same rate and waste less of a small batch: 128 rows are 4 panels of 32, or 3 of 48. Forward and
// gradient at 64 x 128 take 0.85 of the time, at 4096 x 128 the same. Both row counts divide the
// panel; with 16-byte vectors of doubles a panel is 6 rows, hence 3.
struct Shape {
  static constexpr int kVectors = TSSSL_VECTOR_BYTES == 64 ? 2 : 3;
  static constexpr int kRows = TSSSL_VECTOR_BYTES == 64 ? 8 : TSSSL_VECTOR_BYTES == 32 ? 4 : 3;
  static constexpr int kProductRows = TSSSL_VECTOR_BYTES == 64 ? 8 : 6;  // by two vectors
};

template <class T>
struct Panel {
  static constexpr int kRows = Shape::kVectors * Simd<T>::kLanes;
  static_assert(kRows <= 32 && kRows % Shape::kRows == 0 && kRows % Shape::kProductRows == 0);
};

TSSSL_INLINE std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
TSSSL_INLINE std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }
TSSSL_INLINE std::int64_t min(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
TSSSL_INLINE std::int64_t max(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

// What products of elements T are summed in: T itself, except for pairs of 16-bit numbers.
template <class T>
struct Accumulator {
  typedef T Type;
};
template <class T>
using Sum = typename Accumulator<T>::Type;

template <class T>
TSSSL_INLINE void multiply_add(T left, Vec<T> right, Vec<T>& acc) {
  acc += left * right;
}

// acc[r][v] += sum over k of a[r * kRowStride + k * kDepthStride] * b[k * ldb + v * lanes ...]
template <class T, int kRows, int kVectors, int kRowStride, int kDepthStride>
TSSSL_INLINE void multiply(std::int64_t depth, const T* __restrict a, const T* __restrict b,
                           std::int64_t ldb, Vec<Sum<T>> (&acc)[kRows][kVectors]) {
  constexpr int kLanes = Simd<T>::kLanes;
  for (std::int64_t k = 0; k < depth; ++k) {
    Vec<T> right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const T left = a[r * kRowStride];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) multiply_add(left, right[v], acc[r][v]);
    }
    a += kDepthStride;
    b += ldb;
  }
}

// One similarity tile: kRows rows of a packed operand against one panel of another.
// `a` points at the first of the rows inside its panel, `b` at a panel.
template <class T>
TSSSL_INLINE void similarity(std::int64_t depth, const T* a, const T* b,
                             Vec<Sum<T>> (&acc)[Shape::kRows][Shape::kVectors]) {
  constexpr int kPanel = Panel<T>::kRows;
#pragma GCC unroll 16
  for (int r = 0; r < Shape::kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Shape::kVectors; ++v) acc[r][v] = Vec<Sum<T>>{};
  }
  multiply<T, Shape::kRows, Shape::kVectors, 1, kPanel>(depth, a, b, kPanel, acc);
}

template <class T, int kRows, int kVectors, int kRowStride, int kDepthStride>
TSSSL_INLINE void product_tile(std::int64_t depth, const T* a, const T* b, std::int64_t ldb,
                               Sum<T>* c, std::int64_t ldc) {
  constexpr int kLanes = Simd<T>::kLanes;
  Vec<Sum<T>> acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      __builtin_prefetch(c + r * ldc + v * kLanes, 1);
      acc[r][v] = Vec<Sum<T>>{};
    }
  }
  multiply<T, kRows, kVectors, kRowStride, kDepthStride>(depth, a, b, ldb, acc);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Sum<T>* out = c + r * ldc + v * kLanes;
      store(out, load(out) + acc[r][v]);
    }
  }
}

// One or two (`pair`) vectors of the columns of C += A B.
template <class T, int kRowStride, int kDepthStride>
TSSSL_INLINE void product_columns(std::int64_t rows, bool pair, std::int64_t depth, const T* a,
                                  const T* b, std::int64_t ldb, Sum<T>* c, std::int64_t ldc) {
  constexpr int kRows = Shape::kProductRows;
  std::int64_t m = 0;
  for (; m + kRows <= rows; m += kRows) {
    const T* left = a + m * kRowStride;
    if (pair) {
      product_tile<T, kRows, 2, kRowStride, kDepthStride>(depth, left, b, ldb, c + m * ldc, ldc);
    } else {
      product_tile<T, kRows, 1, kRowStride, kDepthStride>(depth, left, b, ldb, c + m * ldc, ldc);
    }
  }
  for (; m < rows; ++m) {
    const T* left = a + m * kRowStride;
    if (pair) {
      product_tile<T, 1, 2, kRowStride, kDepthStride>(depth, left, b, ldb, c + m * ldc, ldc);
    } else {
      product_tile<T, 1, 1, kRowStride, kDepthStride>(depth, left, b, ldb, c + m * ldc, ldc);
    }
  }
}

// C[m, n] += A B, with A[i, k] at a[i * kRowStride + k * kDepthStride], B row-major (depth x
// columns). Columns are a multiple of the lanes (operands are padded with zeros).
//
// Where many rows of A meet them, two vectors of B's columns are first copied side by side: rows
// that are a power of two apart have few sets of the L1 cache to themselves. With C asked for ahead
// of its turn the product runs at 105 instead of 86 GFLOP/s at 256 x 512, 103 instead of 92 at 256
// x 320; 256 x 128 is at the multipliers' rate, 115, either way.
template <class T, int kRowStride, int kDepthStride>
inline void product(std::int64_t rows, std::int64_t columns, std::int64_t depth, const T* a,
                    const T* b, std::int64_t ldb, Sum<T>* c, std::int64_t ldc) {
  constexpr int kLanes = Simd<T>::kLanes, kCopied = 2 * kLanes;
  constexpr std::int64_t kDepth = 128, kManyRows = 96;
  if (rows < kManyRows) {
    for (std::int64_t n = 0; n < columns; n += kCopied) {
      product_columns<T, kRowStride, kDepthStride>(rows, columns - n >= kCopied, depth, a, b + n,
                                                   ldb, c + n, ldc);
    }
    return;
  }
  alignas(64) T panel[kDepth * kCopied];
  for (std::int64_t first = 0; first < depth; first += kDepth) {
    const std::int64_t part = min(kDepth, depth - first);
    for (std::int64_t n = 0; n < columns; n += kCopied) {
      const bool pair = columns - n >= kCopied;
      for (std::int64_t k = 0; k < part; ++k) {
        const T* from = b + (first + k) * ldb + n;
        store(panel + k * kCopied, load(from));
        if (pair) store(panel + k * kCopied + kLanes, load(from + kLanes));
        __builtin_prefetch(from + kCopied);
        __builtin_prefetch(from + kCopied + kLanes);
      }
      product_columns<T, kRowStride, kDepthStride>(rows, pair, part, a + first * kDepthStride,
                                                   panel, kCopied, c + n, ldc);
    }
  }
}

// Lanes l of a and b with bit kStep of l, as rows 0 and kStep of a matrix, change places across the
// diagonal: log2(lanes) such steps transpose.
template <class T, int kStep>
TSSSL_INLINE void exchange(Vec<T>& a, Vec<T>& b) {
  constexpr int kLanes = Simd<T>::kLanes;
#if defined(__clang__)
  Vec<T> low, high;
  for (int l = 0; l < kLanes; ++l) {
    low[l] = l & kStep ? b[l - kStep] : a[l];
    high[l] = l & kStep ? b[l] : a[l + kStep];
  }
#else
  IntVec<T> from_low, from_high;
  for (int l = 0; l < kLanes; ++l) {
    from_low[l] = l & kStep ? kLanes + l - kStep : l;
    from_high[l] = l & kStep ? kLanes + l : l + kStep;
  }
  const Vec<T> low = __builtin_shuffle(a, b, from_low);
  const Vec<T> high = __builtin_shuffle(a, b, from_high);
#endif
  a = low;
  b = high;
}

template <class T, int kStep = Simd<T>::kLanes / 2>
TSSSL_INLINE void transpose(Vec<T> (&rows)[Simd<T>::kLanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < Simd<T>::kLanes; ++i) {
    if (!(i & kStep)) exchange<T, kStep>(rows[i], rows[i | kStep]);
  }
  if constexpr (kStep > 1) transpose<T, kStep / 2>(rows);
}

// Packs rows [0, rows) of x (row-major, row_stride) into one panel; rows beyond are zero.
// Transposed in registers: by single stores a call with 32 queries and 65,536 keys of 128 took 15.2
// ms instead of 13.2 on an Intel Xeon.
template <class T>
inline void pack_panel(const T* x, std::int64_t row_stride, std::int64_t rows, std::int64_t depth,
                       T* panel) {
  constexpr int kPanel = Panel<T>::kRows, kLanes = Simd<T>::kLanes;
  const std::int64_t whole = depth / kLanes * kLanes;
  for (std::int64_t r = 0; r < kPanel; r += kLanes) {
    for (std::int64_t k = 0; k < whole; k += kLanes) {
      Vec<T> tile[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        tile[i] = r + i < rows ? load(x + (r + i) * row_stride + k) : Vec<T>{};
      }
      transpose<T>(tile);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(panel + (k + i) * kPanel + r, tile[i]);
    }
    for (std::int64_t k = whole; k < depth; ++k) {
      for (int i = 0; i < kLanes; ++i) {
        panel[k * kPanel + r + i] = r + i < rows ? x[(r + i) * row_stride + k] : T(0);
      }
    }
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
