// VICReg and Barlow Twins on the smaller side: ||x^T x||_F = ||x x^T||_F, so that the second
// moments cost min(n, dim) n dim and nothing dim x dim exists where n is the smaller.
//
// Cancellation. On the dim side the diagonal is left out element by element. On the n side the
// penalty is a difference, ||x x^T||^2 - sum_j SS_j^2, and so is its gradient, S x - SS x. Both
// lose digits where the diagonal outweighs the rest: one column of large variance, or n close to
// dim and columns decorrelated. There the view is taken again in float64 (kMaxCancellation).
#include "tsssl/decorrelation.h"

#include <cmath>

#include "kernels/gradient.h"

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

// The n x n matrices of a and b (or of a alone, twice), with their diagonals from float64.
// Returns sum_ij of their product.
template <class T>
inline double gram_product(const T* a, const T* b, const double* rows_a, const double* rows_b,
                           std::int64_t n, int threads) {
  double total = inner_product(a, b, n, threads);
  for (std::int64_t i = 0; i < n; ++i) total += rows_a[i] * rows_b[i];
  return total;
}

template <class T>
inline void gram_matrix(const Operand<T>& x, const double* rows, int threads, T* out) {
  square(x, x, true, threads, out);
  for (std::int64_t i = 0; i < x.side; ++i) out[i * x.side + i] = T(rows[i]);
}

struct VicregMoments {
  double* pairs;
  double* hinge;
  double* off;
  double* diagonal;
  double* mean;
  double* squares;

  VicregMoments(double* moments, int count, std::int64_t dim)
      : pairs(moments),
        hinge(moments + 1),
        off(hinge + count),
        diagonal(off + count),
        mean(diagonal + count),
        squares(mean + count * dim) {}
};

inline double vicreg_scale(const VicregOptions& options, double squares) {
  if (!options.correlation) return 1;
  const double norm = std::sqrt(squares);
  return 1 / (norm > options.eps ? norm : options.eps);
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
    Scratch<double> packed(Operand<double>::size(n_, views.dim));
    const Operand<double> operand{packed.get(), n_, views.dim};
    parallel_for(ceil_div(views.dim, kDepth), threads, [&](std::int64_t strip, int) {
      const std::int64_t c0 = strip * kDepth, c1 = min(c0 + kDepth, views.dim);
      pack(view_of(views, v), n_, views.dim, true, x, c0, c1, operand);
      rows_.collect(view_of(views, v), 0, x, c0, c1, strip);
    });
    gram_matrix(operand, rows_.total(0), threads, matrix_.get());
  }

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
};

template <class In>
inline bool cancels(const Views<In>& views, double off, double diagonal) {
  return sizeof(In) == 4 && views.gram && diagonal > kMaxCancellation * off;
}

template <class In>
void vicreg_forward(const Views<In>& views, const VicregOptions& options, int threads,
                    double* moments, In* matrices) {
  threads = useful_threads(views, threads);
  const std::int64_t n = views.n, dim = views.dim, side = side_of(views), depth = depth_of(views);
  const int count = views.count;
  const VicregMoments out(moments, count, dim);
  const bool covariance = options.parts & kCovariance;
  const std::int64_t width = views.gram ? kDepth : kStrip, strips = ceil_div(dim, width);
  const std::int64_t packed_size = covariance ? Operand<In>::size(side, depth) : 0;
  Columns<In> columns(3 * count, dim);
  Scratch<In> packed(count * packed_size);
  Columns<double> sums(strips, 1 + 2 * count);
  const RowSquares rows(strips, count, n, views.gram && covariance);
  parallel_for(strips, threads, [&](std::int64_t strip, int) {
    const std::int64_t c0 = strip * width, c1 = min(c0 + width, dim);
    double* total = sums[strip];
    if (options.parts & kInvariance) {
      for (int a = 0; a < count; ++a) {
        for (int b = a + 1; b < count; ++b) {
          total[0] += squared_distance(view_of(views, a), view_of(views, b), n, c0, c1);
        }
      }
    }
    for (int v = 0; v < count; ++v) {
      const View<In> view = view_of(views, v);
      double* mean = out.mean + v * dim;
      double* squares = out.squares + v * dim;
      if (!(options.parts & (kVariance | kCovariance))) {
        for (std::int64_t c = c0; c < c1; ++c) mean[c] = squares[c] = 0;
        continue;
      }
      column_means(view, n, c0, c1, mean);
      column_products(view, mean, view, mean, n, c0, c1, squares);
      const Standardise<In> x = standardise(columns, v);
      for (std::int64_t c = c0; c < c1; ++c) {
        const double deviation = std::sqrt(squares[c] / double(n - 1) + options.eps);
        const double scale = vicreg_scale(options, squares[c]);
        const double diagonal = squares[c] * scale * scale;
        // Written so that NaN stays NaN.
        total[1 + v] += deviation >= options.gamma ? 0 : options.gamma - deviation;
        total[1 + count + v] += diagonal * diagonal;
        x.set(c, mean[c], scale);
      }
      if (covariance) {
        pack(view, n, dim, views.gram, x, c0, c1,
             Operand<In>{packed.get() + v * packed_size, side, depth});
        rows.collect(view, v, x, c0, c1, strip);
      }
    }
  });
  for (std::int64_t k = 0; k < 1 + 3 * count; ++k) moments[k] = 0;
  for (std::int64_t strip = 0; strip < strips; ++strip) {
    *out.pairs += sums[strip][0];
    for (int v = 0; v < count; ++v) {
      out.hinge[v] += sums[strip][1 + v];
      out.diagonal[v] += sums[strip][1 + count + v];
    }
  }
  if (!(options.parts & kVariance)) {
    for (int v = 0; v < count; ++v) out.hinge[v] = 0;
  }
  if (!covariance) return;
  const double unit = options.correlation ? 1 : double(n - 1);
  for (int v = 0; v < count; ++v) {
    const Operand<In> operand{packed.get() + v * packed_size, side, depth};
    In* matrix = matrices + v * side * side;
    double off;
    if (views.gram) {
      const double* own = rows.total(v);
      gram_matrix(operand, own, threads, matrix);
      off = difference(gram_product(matrix, matrix, own, own, n, threads), out.diagonal[v]);
    } else {
      square(operand, operand, true, threads, matrix);
      off = inner_product(matrix, matrix, dim, threads);
    }
    if (cancels(views, off, out.diagonal[v])) {
      const auto scale = [&](std::int64_t c) {
        return vicreg_scale(options, out.squares[v * dim + c]);
      };
      const Wide<In> wide(views, v, out.mean + v * dim, scale, threads);
      off = difference(wide.product(wide, threads), out.diagonal[v]);
    }
    out.off[v] = off / (unit * unit);
    out.diagonal[v] /= unit * unit;
  }
}

// Coefficients and matrix of one view, in T arithmetic.
template <class In, class T, class S>
void vicreg_view(const Views<In>& views, int v, const VicregOptions& options,
                 const double* upstream, int threads, const VicregMoments& moments, const S* matrix,
                 In* gradient) {
  const std::int64_t n = views.n, dim = views.dim;
  const double unit = options.correlation ? 1 : double(n - 1);
  const double off = 4 * upstream[2] / (unit * unit);
  const bool product = (options.parts & kCovariance) && off != 0;
  const bool hinge = (options.parts & kVariance) && upstream[1] != 0;
  const double* squares = moments.squares + v * dim;
  Columns<T> columns(6, dim);
  const Standardise<T> x = standardise(columns, 0);
  T* inner = columns[3];
  T* outer = columns[4];
  T* project = columns[5];
  for (std::int64_t c = 0; c < dim && (product || hinge); ++c) {
    const double scale = vicreg_scale(options, squares[c]);
    const double deviation = std::sqrt(squares[c] / double(n - 1) + options.eps);
    x.set(c, moments.mean[v * dim + c], scale);
    inner[c] = views.gram ? T(-off * squares[c] * scale * scale) : T(0);
    outer[c] = T(deviation >= options.gamma ? 0 : -upstream[1] / (double(n - 1) * deviation));
    project[c] = T(scale * options.eps < 1 ? 1 : 0);
  }
  const Coefficients<T> k{x,
                          x,
                          T(off),
                          T(options.parts & kInvariance ? 2 * upstream[0] : 0),
                          inner,
                          nullptr,
                          hinge ? outer : nullptr,
                          options.correlation ? project : nullptr,
                          v,
                          v,
                          false};
  Gradient<In, T>(views, k, gradient).run(product ? matrix : nullptr, threads);
}

template <class In>
void vicreg_backward(const Views<In>& views, const VicregOptions& options, const double* upstream,
                     int threads, const double* moments, const In* matrices, In* const* gradients) {
  threads = useful_threads(views, threads);
  const std::int64_t side = side_of(views), dim = views.dim;
  const VicregMoments saved(const_cast<double*>(moments), views.count, dim);
  for (int v = 0; v < views.count; ++v) {
    if ((options.parts & kCovariance) && cancels(views, saved.off[v], saved.diagonal[v])) {
      const auto scale = [&](std::int64_t c) {
        return vicreg_scale(options, saved.squares[v * dim + c]);
      };
      const Wide<In> wide(views, v, saved.mean + v * dim, scale, threads);
      vicreg_view<In, double>(views, v, options, upstream, threads, saved, wide.matrix(),
                              gradients[v]);
    } else {
      vicreg_view<In, In>(views, v, options, upstream, threads, saved, matrices + v * side * side,
                          gradients[v]);
    }
  }
}

struct BarlowMoments {
  double* on;
  double* off;
  double* diagonal;
  double* mean;
  double* squares;
  double* cross;

  BarlowMoments(double* moments, std::int64_t dim)
      : on(moments),
        off(moments + 1),
        diagonal(moments + 2),
        mean(moments + 3),
        squares(mean + 2 * dim),
        cross(squares + 2 * dim) {}
};

inline double barlow_scale(const BarlowOptions& options, std::int64_t n, double squares) {
  return 1 / std::sqrt(squares / double(options.unbiased ? n - 1 : n) + options.eps);
}

template <class In>
inline Wide<In> barlow_wide(const Views<In>& views, int v, const BarlowOptions& options,
                            const BarlowMoments& moments, int threads) {
  const auto scale = [&](std::int64_t c) {
    return barlow_scale(options, views.n, moments.squares[v * views.dim + c]);
  };
  return Wide<In>(views, v, moments.mean + v * views.dim, scale, threads);
}

template <class In>
void barlow_forward(const Views<In>& views, const BarlowOptions& options, int threads,
                    double* moments, In* matrices) {
  threads = useful_threads(views, threads);
  const std::int64_t n = views.n, dim = views.dim, side = side_of(views), depth = depth_of(views);
  const BarlowMoments out(moments, dim);
  const std::int64_t width = views.gram ? kDepth : kStrip, strips = ceil_div(dim, width);
  const std::int64_t packed_size = Operand<In>::size(side, depth);
  Columns<In> columns(6, dim);
  Scratch<In> packed(2 * packed_size);
  const Operand<In> a{packed.get(), side, depth}, b{packed.get() + packed_size, side, depth};
  const RowSquares rows(strips, 2, n, views.gram);
  parallel_for(strips, threads, [&](std::int64_t strip, int) {
    const std::int64_t c0 = strip * width, c1 = min(c0 + width, dim);
    for (int v = 0; v < 2; ++v) {
      const View<In> view = view_of(views, v);
      double* mean = out.mean + v * dim;
      double* squares = out.squares + v * dim;
      if (options.center) {
        column_means(view, n, c0, c1, mean);
      } else {
        for (std::int64_t c = c0; c < c1; ++c) mean[c] = 0;
      }
      column_products(view, mean, view, mean, n, c0, c1, squares);
      for (std::int64_t c = c0; c < c1; ++c) {
        standardise(columns, v).set(c, mean[c], barlow_scale(options, n, squares[c]));
      }
      const Standardise<In> x = standardise(columns, v);
      pack(view, n, dim, views.gram, x, c0, c1, v == 0 ? a : b);
      rows.collect(view, v, x, c0, c1, strip);
    }
    column_products(view_of(views, 0), out.mean, view_of(views, 1), out.mean + dim, n, c0, c1,
                    out.cross);
  });
  *out.on = *out.diagonal = 0;
  for (std::int64_t c = 0; c < dim; ++c) {
    const double self = out.cross[c] * barlow_scale(options, n, out.squares[c]) *
                        barlow_scale(options, n, out.squares[dim + c]) / double(n);
    *out.on += (1 - self) * (1 - self);
    *out.diagonal += self * self;
  }
  // Each view's gradient multiplies with the other's Gram matrix, or with a^T b or its transpose.
  In* first = matrices;
  In* second = matrices + side * side;
  const double unit = 1 / (double(n) * double(n));
  if (!views.gram) {
    square(b, a, false, threads, first);
    square(a, b, false, threads, second);
    *out.off = inner_product(first, first, side, threads) * unit;
    return;
  }
  const double* rows_a = rows.total(0);
  const double* rows_b = rows.total(1);
  gram_matrix(b, rows_b, threads, first);
  gram_matrix(a, rows_a, threads, second);
  *out.off =
      difference(gram_product(second, first, rows_a, rows_b, n, threads) * unit, *out.diagonal);
  if (cancels(views, *out.off, *out.diagonal)) {
    const Wide<In> wide_a = barlow_wide(views, 0, options, out, threads);
    const Wide<In> wide_b = barlow_wide(views, 1, options, out, threads);
    *out.off = difference(wide_a.product(wide_b, threads) * unit, *out.diagonal);
  }
}

template <class In, class T, class S>
void barlow_view(const Views<In>& views, int v, const BarlowOptions& options,
                 const double* upstream, int threads, const BarlowMoments& moments, const S* matrix,
                 In* gradient) {
  const std::int64_t n = views.n, dim = views.dim;
  const double alpha = 2 * upstream[1] / (double(n) * double(n));
  Columns<T> columns(9, dim);
  const Standardise<T> x = standardise(columns, 0), y = standardise(columns, 1);
  T* cross = columns[6];
  T* project = columns[7];
  for (std::int64_t c = 0; c < dim; ++c) {
    const std::int64_t own = v * dim + c, other = (1 - v) * dim + c;
    const double scale_x = barlow_scale(options, n, moments.squares[own]);
    const double scale_y = barlow_scale(options, n, moments.squares[other]);
    const double self = moments.cross[c] * scale_x * scale_y / double(n);
    x.set(c, moments.mean[own], scale_x);
    y.set(c, moments.mean[other], scale_y);
    // The Gram matrix brings the diagonal along; on the dim side it is left out.
    cross[c] =
        T((-2 * upstream[0] * (1 - self) - (views.gram ? 2 * upstream[1] * self : 0)) / double(n));
    project[c] = T(1 / double(options.unbiased ? n - 1 : n));
  }
  const Coefficients<T> k{x,       y,       T(alpha), T(0),  columns[8], cross,
                          nullptr, project, v,        1 - v, true};
  Gradient<In, T>(views, k, gradient).run(matrix, threads);
}

template <class In>
void barlow_backward(const Views<In>& views, const BarlowOptions& options, const double* upstream,
                     int threads, const double* moments, const In* matrices, In* const* gradients) {
  threads = useful_threads(views, threads);
  const std::int64_t side = side_of(views), dim = views.dim;
  const BarlowMoments saved(const_cast<double*>(moments), dim);
  if (cancels(views, *saved.off, *saved.diagonal)) {
    for (int v = 0; v < 2; ++v) {
      const Wide<In> other = barlow_wide(views, 1 - v, options, saved, threads);
      barlow_view<In, double>(views, v, options, upstream, threads, saved, other.matrix(),
                              gradients[v]);
    }
    return;
  }
  for (int v = 0; v < 2; ++v) {
    barlow_view<In, In>(views, v, options, upstream, threads, saved, matrices + v * side * side,
                        gradients[v]);
  }
}

}  // namespace

const DecorrelationKernels& decorrelation_kernels() {
  static const DecorrelationKernels table{{vicreg_forward<float>, vicreg_backward<float>},
                                          {vicreg_forward<double>, vicreg_backward<double>},
                                          {barlow_forward<float>, barlow_backward<float>},
                                          {barlow_forward<double>, barlow_backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
