// VICReg and Barlow Twins: statistics and second moments forward, coefficients of the shared
// gradient backward.
#include <cmath>

#include "decorrelation/second_moments.h"
#include "tsssl/decorrelation.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

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

// Packed columns, sums and the matrix of one view after the other: two operands at once would be
// another half of the inputs' size (at 2048 x 2048 the peak was 3.06 times the inputs).
template <class In>
void vicreg_forward(const Views<In>& views, const VicregOptions& options, int threads,
                    double* moments, In* matrices) {
  threads = useful_threads(views, threads);
  const std::int64_t n = views.n, dim = views.dim, side = side_of(views), depth = depth_of(views);
  const int count = views.count;
  const VicregMoments out(moments, count, dim);
  const bool covariance = options.parts & kCovariance;
  const bool statistics = options.parts & (kVariance | kCovariance);
  const std::int64_t width = views.gram ? kDepth : kStrip, strips = ceil_div(dim, width);
  const double unit = options.correlation ? 1 : double(n - 1);
  Scratch<In> packed(covariance ? Operand<In>::size(side, depth) : 0);
  const Operand<In> operand{packed.get(), side, depth};
  const RowSquares rows(strips, 1, n, views.gram && covariance);
  for (std::int64_t k = 0; k < 1 + 3 * count; ++k) moments[k] = 0;
  for (int v = 0; v < count; ++v) {
    const View<In> view = view_of(views, v);
    double* mean = out.mean + v * dim;
    double* squares = out.squares + v * dim;
    const Columns<In> columns(3, dim);
    const Columns<double> sums(strips, 3);
    const Standardise<In> x = standardise(columns, 0);
    parallel_for(strips, threads, [&](std::int64_t strip, int) {
      const std::int64_t c0 = strip * width, c1 = min(c0 + width, dim);
      double* total = sums[strip];
      for (int b = v + 1; b < count && (options.parts & kInvariance); ++b) {
        total[0] += squared_distance(view, view_of(views, b), n, c0, c1);
      }
      if (!statistics) {
        for (std::int64_t c = c0; c < c1; ++c) mean[c] = squares[c] = 0;
        return;
      }
      column_means(view, n, c0, c1, mean);
      column_products(view, mean, view, mean, n, c0, c1, squares);
      for (std::int64_t c = c0; c < c1; ++c) {
        const double deviation = std::sqrt(squares[c] / double(n - 1) + options.eps);
        const double scale = vicreg_scale(options, squares[c]);
        const double diagonal = squares[c] * scale * scale;
        // Written so that NaN stays NaN.
        total[1] += deviation >= options.gamma ? 0 : options.gamma - deviation;
        total[2] += diagonal * diagonal;
        x.set(c, mean[c], scale);
      }
      if (covariance) {
        pack(view, n, dim, views.gram, x, c0, c1, operand);
        rows.collect(view, 0, x, c0, c1, strip);
      }
    });
    double diagonal = 0;
    for (std::int64_t strip = 0; strip < strips; ++strip) {
      *out.pairs += sums[strip][0];
      if (options.parts & kVariance) out.hinge[v] += sums[strip][1];
      diagonal += sums[strip][2];
    }
    if (!covariance) continue;
    In* matrix = matrices + v * side * side;
    double off;
    if (views.gram) {
      off = difference(gram_matrix(operand, rows.total(0), threads, matrix), diagonal);
    } else {
      off = square(operand, operand, threads, matrix, matrix);
    }
    if (cancels(views, off, diagonal)) {
      const auto scale = [&](std::int64_t c) { return vicreg_scale(options, squares[c]); };
      off = difference(Wide<In>(views, v, mean, scale, threads).squares(), diagonal);
    }
    out.off[v] = off / (unit * unit);
    out.diagonal[v] = diagonal / (unit * unit);
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
    *out.off = square(a, b, threads, second, first) * unit;
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
