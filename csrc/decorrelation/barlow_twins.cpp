// Barlow Twins: statistics and second moments forward, coefficients of the shared gradient
// backward.
#include <cmath>

#include "decorrelation/products.h"
#include "decorrelation/terms.h"
#include "tsssl/decorrelation.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Number: double, or const double in the backward.
template <class Number>
struct BarlowMoments {
  Number* on;
  Number* off;
  Number* diagonal;
  Number* mean;
  Number* squares;
  Number* cross;

  BarlowMoments(Number* moments, std::int64_t dim)
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

template <class In, class Number>
inline Wide<In> barlow_wide(const Views<In>& views, int v, const BarlowOptions& options,
                            const BarlowMoments<Number>& moments, int threads) {
  const auto scale = [&](std::int64_t c) {
    return barlow_scale(options, views.n, moments.squares[v * views.dim + c]);
  };
  return Wide<In>(views, v, moments.mean + v * views.dim, scale, threads);
}

// false: numbers that these products do not take.
template <class Products, class In, class T = Computed<In>>
bool forward_by(const Views<In>& views, const BarlowOptions& options, int threads,
                const TermValues<T>& values, double* moments, T* matrices) {
  threads = useful_threads(views, threads);
  const std::int64_t n = views.n, dim = views.dim, side = side_of(views), depth = depth_of(views);
  const BarlowMoments<double> out(moments, dim);
  const std::int64_t width = views.gram ? kDepth : kStrip, strips = ceil_div(dim, width);
  Columns<T> columns(6, dim);
  const typename Products::Operand a(views, side, depth), b(views, side, depth);
  const RowSquares rows(strips, 2, n, views.gram);
  parallel_for(strips, threads, [&](std::int64_t strip, int) {
    const std::int64_t c0 = strip * width, c1 = min(c0 + width, dim);
    for (int v = 0; v < 2; ++v) {
      const View<In> view = view_of(views, v);
      double* mean = out.mean + v * dim;
      double* squares = out.squares + v * dim;
      if (options.center) {
        column_means<double>(view, n, c0, c1, mean);
      } else {
        for (std::int64_t c = c0; c < c1; ++c) mean[c] = 0;
      }
      column_squares<double>(view, mean, n, c0, c1, squares);
      for (std::int64_t c = c0; c < c1; ++c) {
        standardise(columns, v).set(c, mean[c], barlow_scale(options, n, squares[c]));
      }
      const Standardise<T> x = standardise(columns, v);
      pack(view, n, dim, views.gram, x, c0, c1, v == 0 ? a : b);
      rows.collect(view, v, x, c0, c1, strip);
    }
    // Of views that agree the correlation is 1 to its last digits, and the loss what is left of 1.
    column_products<double>(view_of(views, 0), out.mean, view_of(views, 1), out.mean + dim, n, c0,
                            c1, out.cross);
  });
  if (!a.usable() || !b.usable()) return false;
  *out.on = *out.diagonal = 0;
  for (std::int64_t c = 0; c < dim; ++c) {
    const double self = out.cross[c] * barlow_scale(options, n, out.squares[c]) *
                        barlow_scale(options, n, out.squares[dim + c]) / double(n);
    *out.on += (1 - self) * (1 - self);
    *out.diagonal += self * self;
  }
  // Each view's gradient multiplies with the other's Gram matrix, or with a^T b or its transpose.
  T* first = matrices;
  T* second = matrices + side * side;
  const double unit = 1 / (double(n) * double(n));
  if (views.gram) {
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
  } else {
    *out.off = square(a, b, threads, second, first) * unit;
  }
  write_terms({options.on, options.off}, {*out.on, *out.off}, values);
  return true;
}

// upstream: d loss / d (on, off).
template <class Products, class In, class T, class S>
bool barlow_view(const Views<In>& views, int v, const BarlowOptions& options,
                 const double* upstream, int threads, const BarlowMoments<const double>& moments,
                 const S* matrix, In* gradient) {
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
  const Coefficients<T> k{x,        y,       views.gram ? x : y,
                          T(alpha), T(0),    columns[8],
                          cross,    nullptr, project,
                          nullptr,  v,       1 - v,
                          true};
  return Gradient<In, T, Products>(views, k, gradient).run(matrix, threads);
}

template <class Products, class In, class T = Computed<In>>
bool backward_by(const Views<In>& views, const BarlowOptions& options,
                 const TermGradients<T>& outer, int threads, const double* moments,
                 const T* matrices, In* const* gradients) {
  threads = useful_threads(views, threads);
  const std::int64_t side = side_of(views), dim = views.dim;
  double upstream[BarlowOptions::kTerms];
  raw_gradients({options.on, options.off}, outer, upstream);
  const BarlowMoments<const double> saved(moments, dim);
  if (cancels(views, *saved.off, *saved.diagonal)) {
    if constexpr (Products::kWide) {
      for (int v = 0; v < 2; ++v) {
        const Wide<In> other = barlow_wide(views, 1 - v, options, saved, threads);
        barlow_view<RegisterProducts<double>, In, double>(views, v, options, upstream, threads,
                                                          saved, other.matrix(), gradients[v]);
      }
    }
    return Products::kWide;
  }
  for (int v = 0; v < 2; ++v) {
    if (!barlow_view<Products, In, T>(views, v, options, upstream, threads, saved,
                                      matrices + v * side * side, gradients[v])) {
      return false;
    }
  }
  return true;
}

struct BarlowTwins {
  template <class In>
  using Kernels = BarlowKernels<In>;
  using Options = BarlowOptions;

  template <class Products, class In, class T>
  static bool forward(const Views<In>& views, const Options& options, int threads,
                      const TermValues<T>& values, double* moments, T* matrices) {
    if (!Products::pays(views)) return false;
    return forward_by<Products>(views, options, threads, values, moments, matrices);
  }
  template <class Products, class In, class T>
  static bool backward(const Views<In>& views, const Options& options,
                       const TermGradients<T>& upstream, int threads, const double* moments,
                       const T* matrices, In* const* gradients) {
    if (!Products::pays(views)) return false;
    return backward_by<Products>(views, options, upstream, threads, moments, matrices, gradients);
  }
};

}  // namespace

const ByInput<BarlowKernels>& barlow_twins_kernels() {
  static const auto table = Entry<BarlowTwins, vectors::barlow_twins_kernels>::kernels();
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
