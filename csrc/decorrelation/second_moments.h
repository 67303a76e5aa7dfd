// Second moments on the smaller side: ||x^T x||_F = ||x x^T||_F, so that they cost min(n, dim) n
// dim and nothing dim x dim exists where n is the smaller.
//
// Cancellation. On the dim side the diagonal is left out element by element. On the n side the
// penalty is a difference, ||x x^T||^2 - sum_j SS_j^2, and so is its gradient, S x - SS x. Both
// lose digits where the diagonal outweighs the rest: one column of large variance, or n close to
// dim and columns decorrelated. There the view is taken again in float64 (kMaxCancellation).
#pragma once
#include "decorrelation/gradient.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Largest sum_j C_jj^2 / sum_{i != j} C_ij^2 that float32 takes on the n side.
constexpr double kMaxCancellation = 8;
// Elements below which the threads' start (2 to 5 microseconds a region) costs more than it brings.
constexpr std::int64_t kSerial = 1 << 14;

template <class In>
inline View<In> view_of(const Views<In>& views, int v) {
  return {views.z[v], views.stride[v]};
}

template <class In>
inline int useful_threads(const Views<In>& views, int threads) {
  return views.count * views.n * views.dim < kSerial ? 1 : threads;
}

template <class In>
inline std::int64_t side_of(const Views<In>& views) {
  return views.gram ? views.n : views.dim;
}

template <class In>
inline std::int64_t depth_of(const Views<In>& views) {
  return views.gram ? views.dim : views.n;
}

// Column arrays of one length, zeroed.
template <class T>
class Columns {
 public:
  Columns(std::int64_t arrays, std::int64_t dim) : dim_(dim), data_(arrays * dim) {
    for (std::int64_t k = 0; k < arrays * dim; ++k) data_[k] = T(0);
  }
  T* operator[](std::int64_t array) const { return data_.get() + array * dim_; }

 private:
  const std::int64_t dim_;
  Scratch<T> data_;
};

template <class T>
inline Standardise<T> standardise(const Columns<T>& columns, int v) {
  return {columns[3 * v], columns[3 * v + 1], columns[3 * v + 2]};
}

// sum over the columns of x_ij^2, view by view, collected strip by strip; empty on the dim side.
class RowSquares {
 public:
  RowSquares(std::int64_t strips, int count, std::int64_t n, bool gram)
      : strips_(strips), n_(gram ? n : 0), size_(count * n_), parts_((strips + 1) * size_) {}

  template <class In, class T>
  void collect(const View<In>& view, int v, const Standardise<T>& x, std::int64_t c0,
               std::int64_t c1, std::int64_t strip) const {
    if (n_ > 0) row_squares(view, n_, x, c0, c1, parts_.get() + (strip + 1) * size_ + v * n_);
  }
  const double* total(int v) const {
    double* sums = parts_.get() + v * n_;
    for (std::int64_t i = 0; i < n_; ++i) {
      sums[i] = 0;
      for (std::int64_t strip = 1; strip <= strips_; ++strip) sums[i] += sums[strip * size_ + i];
    }
    return sums;
  }

 private:
  const std::int64_t strips_, n_, size_;
  Scratch<double> parts_;
};

// The n x n matrices of a and b, with their diagonals from float64.
// Returns sum_ij of their product.
template <class T>
inline double gram_product(const T* a, const T* b, const double* rows_a, const double* rows_b,
                           std::int64_t n, int threads) {
  double total = inner_product(a, b, n, threads);
  for (std::int64_t i = 0; i < n; ++i) total += rows_a[i] * rows_b[i];
  return total;
}

// Returns sum_ij of the matrix's squares.
template <class Operand, class Correct = Uncorrected, class T = typename Operand::Number>
inline double gram_matrix(const Operand& x, const double* rows, int threads, T* out,
                          const Correct& correct = {}) {
  double total = square(x, x, threads, out, out, correct);
  for (std::int64_t i = 0; i < x.side; ++i) {
    out[i * x.side + i] = T(rows[i]);
    total += rows[i] * rows[i];
  }
  return total;
}

// The penalty as the difference of two sums; rounding may not make it negative, NaN stays NaN.
inline double difference(double total, double diagonal) {
  const double off = total - diagonal;
  return off < 0 ? 0 : off;
}

// The n side of one view in float64.
template <class In>
class Wide {
 public:
  // scale(c): of column c.
  template <class Scale>
  Wide(const Views<In>& views, int v, const double* mean, const Scale& scale, int threads)
      : n_(views.n),
        columns_(3, views.dim),
        matrix_(n_ * n_),
        rows_(ceil_div(views.dim, kDepth), 1, n_, true) {
    const Standardise<double> x = standardise(columns_, 0);
    for (std::int64_t c = 0; c < views.dim; ++c) x.set(c, mean[c], scale(c));
    const typename RegisterProducts<double>::Operand operand(views, n_, views.dim);
    parallel_for(ceil_div(views.dim, kDepth), threads, [&](std::int64_t strip, int) {
      const std::int64_t c0 = strip * kDepth, c1 = min(c0 + kDepth, views.dim);
      pack(view_of(views, v), n_, views.dim, true, x, c0, c1, operand);
      rows_.collect(view_of(views, v), 0, x, c0, c1, strip);
    });
    squares_ = gram_matrix(operand, rows_.total(0), threads, matrix_.get());
  }

  // sum_ij of the matrix's squares.
  double squares() const { return squares_; }

  double product(const Wide& other, int threads) const {
    return gram_product(matrix(), other.matrix(), rows_.total(0), other.rows_.total(0), n_,
                        threads);
  }
  const double* matrix() const { return matrix_.get(); }

 private:
  const std::int64_t n_;
  Columns<double> columns_;
  Scratch<double> matrix_;
  RowSquares rows_;
  double squares_ = 0;
};

template <class In>
inline bool cancels(const Views<In>& views, double off, double diagonal) {
  return sizeof(Computed<In>) == 4 && views.gram && diagonal > kMaxCancellation * off;
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
