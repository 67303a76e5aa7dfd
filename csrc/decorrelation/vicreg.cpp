// VICReg: statistics and second moments forward, coefficients of the shared gradient backward.
#include <cmath>

#include "decorrelation/products.h"
#include "decorrelation/terms.h"
#include "tsssl/decorrelation.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Number: double, or const double in the backward.
template <class Number>
struct VicregMoments {
  Number* pairs;
  Number* hinge;
  Number* off;
  Number* diagonal;
  Number* mean;
  Number* squares;

  VicregMoments(Number* moments, int count, std::int64_t dim)
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
  return 1 / (norm > options.norm_eps ? norm : options.norm_eps);
}

// Views::as_they_are of a view. One product of bfloat16 inputs is cheaper than those of centred
// columns in parts. What the means' part costs in digits of a second moment, up to the root of the
// depth, a sum over kManySides^2 of them has again where means are no larger than deviations. One
// part of the second moments keeps the gradient within GRADIENT_ULPS of spec.py where they are half
// of them and a covariance is not of many more rows than columns
// (tests/decorrelation/test_tile_unit.py).
constexpr std::int64_t kManySides = 256;

template <class Products, class In>
int as_they_are(const Views<In>& views, const VicregOptions& options, const double* mean,
                const double* squares) {
  const bool taken = Products::kAsTheyAre && sizeof(In) == 2 && !options.correlation;
  if (!taken || views.count > 2 || side_of(views) < kManySides) return 0;
  double means = 0, largest = 0, total = 0;
  for (std::int64_t c = 0; c < views.dim; ++c) {
    const double of_mean = double(views.n) * mean[c] * mean[c];
    means += of_mean;
    largest = of_mean > largest ? of_mean : largest;
    total += squares[c];
  }
  if (!(means <= total && in_range(total))) return 0;
  // A column of large mean and no deviation shall not move either.
  const bool small = 4 * means <= total && largest * double(views.dim) <= total;
  return small && 2 * views.n <= 3 * views.dim ? 1 : 2;
}

// Products of inputs as those of centred columns: with m the means, x_i x_j = z_i z_j - p_i - p_j
// on the Gram side, p_i = z_i m - m m / 2, and z_i z_j - p_i p_j on the other, p = sqrt(n) m.
template <class T>
struct Centred {
  const T* p;
  bool gram;

  TSSSL_INLINE T operator()(T product, std::int64_t i, std::int64_t j) const {
    if (p == nullptr) return product;
    return gram ? (product - p[i]) - p[j] : product - p[i] * p[j];
  }
};

template <class In, class T>
void fill_centred(const Views<In>& views, int v, const double* mean, int threads, T* p) {
  const std::int64_t n = views.n, dim = views.dim;
  if (!views.gram) {
    for (std::int64_t c = 0; c < dim; ++c) p[c] = T(std::sqrt(double(n)) * mean[c]);
    return;
  }
  Scratch<T> m(dim);
  double self = 0;
  for (std::int64_t c = 0; c < dim; ++c) {
    m[c] = T(mean[c]);
    self += mean[c] * mean[c];
  }
  constexpr std::int64_t kRows = 16, kParts = 32;
  const View<In> view = view_of(views, v);
  parallel_for(ceil_div(n, kRows), threads, [&](std::int64_t task, int) {
    for (std::int64_t i = task * kRows; i < min((task + 1) * kRows, n); ++i) {
      const In* const z = view.row(i);
      double total = 0;
      for (std::int64_t c0 = 0; c0 < dim; c0 += kDepth) {
        const std::int64_t c1 = min(c0 + kDepth, dim);
        T parts[kParts] = {};
        std::int64_t c = c0;
        for (; c + kParts <= c1; c += kParts) {
          for (std::int64_t k = 0; k < kParts; ++k) parts[k] += T(z[c + k]) * m[c + k];
        }
        for (; c < c1; ++c) parts[c % kParts] += T(z[c]) * m[c];
        for (std::int64_t k = 0; k < kParts; ++k) total += double(parts[k]);
      }
      p[i] = T(total - self / 2);
    }
  });
}

// A view's statistics again, in float64. Returns the sum of the diagonal's squares.
template <class In>
double exact_diagonal(const Views<In>& views, int v, const VicregOptions& options, int threads,
                      double* mean, double* squares) {
  parallel_for(ceil_div(views.dim, kDepth), threads, [&](std::int64_t strip, int) {
    const std::int64_t c0 = strip * kDepth, c1 = min(c0 + kDepth, views.dim);
    column_means<double>(view_of(views, v), views.n, c0, c1, mean);
    column_squares<double>(view_of(views, v), mean, views.n, c0, c1, squares);
  });
  double total = 0;
  for (std::int64_t c = 0; c < views.dim; ++c) {
    const double scale = vicreg_scale(options, squares[c]);
    const double diagonal = squares[c] * scale * scale;
    total += diagonal * diagonal;
  }
  return total;
}

// One view after the other: two operands at once would be another half of the inputs' size (at 2048
// x 2048 the peak was 3.06 times the inputs).
// false: numbers that these products do not take.
template <class Products, class In, class T = Computed<In>>
bool forward_by(const Views<In>& views, const VicregOptions& options, int threads,
                const TermValues<T>& values, double* moments, T* matrices) {
  threads = useful_threads(views, threads);
  const std::int64_t n = views.n, dim = views.dim, side = side_of(views), depth = depth_of(views);
  const int count = views.count;
  const VicregMoments<double> out(moments, count, dim);
  const bool covariance = options.covariance.computed;
  const bool statistics = options.variance.computed || options.covariance.computed;
  const std::int64_t width = views.gram ? kDepth : kStrip, strips = ceil_div(dim, width);
  const double unit = options.correlation ? 1 : double(n - 1);
  const RowSquares rows(strips, 1, n, views.gram && covariance);
  for (std::int64_t k = 0; k < 1 + 3 * count; ++k) moments[k] = 0;
  for (int v = 0; v < count; ++v) {
    const View<In> view = view_of(views, v);
    double* mean = out.mean + v * dim;
    double* squares = out.squares + v * dim;
    const Columns<T> columns(6, dim);
    const Columns<double> sums(strips, 3);
    const Standardise<T> x = standardise(columns, 0), as_it_is = standardise(columns, 1);
    parallel_for(strips, threads, [&](std::int64_t strip, int) {
      const std::int64_t c0 = strip * width, c1 = min(c0 + width, dim);
      double* total = sums[strip];
      for (int b = v + 1; b < count && options.invariance.computed; ++b) {
        total[0] += squared_distance(view, view_of(views, b), n, c0, c1);
      }
      if (!statistics) {
        for (std::int64_t c = c0; c < c1; ++c) mean[c] = squares[c] = 0;
        return;
      }
      column_statistics(view, n, c0, c1, mean, squares);
      for (std::int64_t c = c0; c < c1; ++c) {
        const double deviation = std::sqrt(squares[c] / double(n - 1) + options.eps);
        const double scale = vicreg_scale(options, squares[c]);
        const double diagonal = squares[c] * scale * scale;
        // Written so that NaN stays NaN.
        total[1] += deviation >= options.gamma ? 0 : options.gamma - deviation;
        total[2] += diagonal * diagonal;
        x.set(c, mean[c], scale);
        as_it_is.set(c, 0, 1);
      }
      if (covariance) rows.collect(view, 0, x, c0, c1, strip);
    });
    double diagonal = 0;
    for (std::int64_t strip = 0; strip < strips; ++strip) {
      *out.pairs += sums[strip][0];
      if (options.variance.computed) out.hinge[v] += sums[strip][1];
      diagonal += sums[strip][2];
    }
    if (!covariance) continue;
    Views<In> how = views;
    how.as_they_are = as_they_are<Products>(views, options, mean, squares);
    if (!Products::pays(how)) return false;
    const bool as_is = how.as_they_are > 0;
    const typename Products::Operand operand(how, side, depth);
    parallel_for(strips, threads, [&](std::int64_t strip, int) {
      const std::int64_t c0 = strip * width, c1 = min(c0 + width, dim);
      pack(view, n, dim, views.gram, as_is ? as_it_is : x, c0, c1, operand);
    });
    if (!operand.usable()) return false;
    Scratch<T> p(as_is ? side : 0);
    if (as_is) fill_centred(views, v, mean, threads, p.get());
    const Centred<T> centred{as_is ? p.get() : nullptr, views.gram};
    T* matrix = matrices + v * side * side;
    double off;
    if (views.gram) {
      off = difference(gram_matrix(operand, rows.total(0), threads, matrix, centred), diagonal);
    } else {
      off = square(operand, operand, threads, matrix, matrix, centred);
    }
    if (cancels(views, off, diagonal)) {
      diagonal = exact_diagonal(views, v, options, threads, mean, squares);
      const auto scale = [&](std::int64_t c) { return vicreg_scale(options, squares[c]); };
      off = difference(Wide<In>(views, v, mean, scale, threads).squares(), diagonal);
    }
    out.off[v] = off / (unit * unit);
    out.diagonal[v] = diagonal / (unit * unit);
  }
  double hinge = 0, off = 0;
  for (int v = 0; v < count; ++v) hinge += out.hinge[v];
  for (int v = 0; v < count; ++v) off += out.off[v];
  write_terms({options.invariance, options.variance, options.covariance}, {*out.pairs, hinge, off},
              values);
  return true;
}

// out = m S without S's diagonal.
template <class T, class S>
void products_of_means(const double* mean, const S* matrix, std::int64_t dim, T* out) {
  Columns<double> sums(1, dim);
  for (std::int64_t i = 0; i < dim; ++i) {
    const S* const row = matrix + i * dim;
    const double left_out = mean[i] * double(row[i]);
    for (std::int64_t j = 0; j < dim; ++j) sums[0][j] += mean[i] * double(row[j]);
    sums[0][i] -= left_out;
  }
  for (std::int64_t j = 0; j < dim; ++j) out[j] = T(sums[0][j]);
}

// Coefficients and matrix of one view, in T arithmetic. upstream: d loss / d (pairs, every hinge,
// every off).
template <class Products, class In, class T, class S>
bool vicreg_view(const Views<In>& views, int v, const VicregOptions& options,
                 const double* upstream, int threads, const VicregMoments<const double>& moments,
                 const S* matrix, In* gradient) {
  const std::int64_t n = views.n, dim = views.dim;
  const double unit = options.correlation ? 1 : double(n - 1);
  const double off = 4 * upstream[2] / (unit * unit);
  const bool product = options.covariance.computed && off != 0;
  const bool hinge = options.variance.computed && upstream[1] != 0;
  const double* squares = moments.squares + v * dim;
  Columns<T> columns(10, dim);
  const Standardise<T> x = standardise(columns, 0), as_it_is = standardise(columns, 1);
  T* inner = columns[6];
  T* outer = columns[7];
  T* project = columns[8];
  T* shift = columns[9];
  Views<In> how = views;
  if (product) {
    how.as_they_are = as_they_are<Products>(views, options, moments.mean + v * dim, squares);
    if (!Products::pays(how)) return false;
  }
  const bool as_is = how.as_they_are > 0;
  for (std::int64_t c = 0; c < dim && (product || hinge); ++c) {
    const double scale = vicreg_scale(options, squares[c]);
    const double deviation = std::sqrt(squares[c] / double(n - 1) + options.eps);
    x.set(c, moments.mean[v * dim + c], scale);
    as_it_is.set(c, 0, 1);
    inner[c] = views.gram ? T(-off * squares[c] * scale * scale) : T(0);
    outer[c] =
        T(!hinge || deviation >= options.gamma ? 0 : -upstream[1] / (double(n - 1) * deviation));
    project[c] = T(scale * options.norm_eps < 1 ? 1 : 0);
  }
  if (as_is && !views.gram) products_of_means(moments.mean + v * dim, matrix, dim, shift);
  const Coefficients<T> k{x,
                          x,
                          as_is ? as_it_is : x,
                          T(off),
                          T(options.invariance.computed ? 2 * upstream[0] : 0),
                          inner,
                          nullptr,
                          hinge || as_is ? outer : nullptr,
                          options.correlation ? project : nullptr,
                          as_is ? shift : nullptr,
                          v,
                          v,
                          false};
  return Gradient<In, T, Products>(how, k, gradient).run(product ? matrix : nullptr, threads);
}

template <class Products, class In, class T = Computed<In>>
bool backward_by(const Views<In>& views, const VicregOptions& options,
                 const TermGradients<T>& outer, int threads, const double* moments,
                 const T* matrices, In* const* gradients) {
  threads = useful_threads(views, threads);
  const std::int64_t side = side_of(views), dim = views.dim;
  double upstream[VicregOptions::kTerms];
  raw_gradients({options.invariance, options.variance, options.covariance}, outer, upstream);
  const VicregMoments<const double> saved(moments, views.count, dim);
  const auto wide = [&](int v) {
    return options.covariance.computed && cancels(views, saved.off[v], saved.diagonal[v]);
  };
  for (int v = 0; v < views.count; ++v) {
    if (!Products::kWide && wide(v)) return false;
  }
  for (int v = 0; v < views.count; ++v) {
    if constexpr (Products::kWide) {
      if (wide(v)) {
        const auto scale = [&](std::int64_t c) {
          return vicreg_scale(options, saved.squares[v * dim + c]);
        };
        const Wide<In> exact(views, v, saved.mean + v * dim, scale, threads);
        vicreg_view<RegisterProducts<double>, In, double>(views, v, options, upstream, threads,
                                                          saved, exact.matrix(), gradients[v]);
        continue;
      }
    }
    if (!vicreg_view<Products, In, T>(views, v, options, upstream, threads, saved,
                                      matrices + v * side * side, gradients[v])) {
      return false;
    }
  }
  return true;
}

struct Vicreg {
  template <class In>
  using Kernels = VicregKernels<In>;
  using Options = VicregOptions;

  template <class Products, class In, class T>
  static bool forward(const Views<In>& views, const Options& options, int threads,
                      const TermValues<T>& values, double* moments, T* matrices) {
    return forward_by<Products>(views, options, threads, values, moments, matrices);
  }
  template <class Products, class In, class T>
  static bool backward(const Views<In>& views, const Options& options,
                       const TermGradients<T>& upstream, int threads, const double* moments,
                       const T* matrices, In* const* gradients) {
    return backward_by<Products>(views, options, upstream, threads, moments, matrices, gradients);
  }
};

}  // namespace

const ByInput<VicregKernels>& vicreg_kernels() {
  static const auto table = Entry<Vicreg, vectors::vicreg_kernels>::kernels();
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
