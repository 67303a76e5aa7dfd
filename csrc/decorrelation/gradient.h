// The gradient that every decorrelation loss shares: one product of its standardised columns with
// the second-moment matrix, column factors, and differences between views.
#pragma once
#include "decorrelation/register_products.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// With x_j = ((z_j - mean_j) scale_j) of this view, y of its partner and S the second moments:
//
//   g_j  = alpha (S u)_j + inner_j x_j + cross_j y_j      (Gram side)
//   g_j  = alpha (u S)_j + inner_j x_j + cross_j y_j      (dim side)
//
//   dz_j = scale_j (g_j - project_j <g_j, x_j> x_j) + outer_j x_j + apart sum_b (z_j - z_bj)
//
// On the Gram side u is x, or z as it is: a Gram matrix of centred columns takes their means to
// zero. On the dim side u is x, y, or z, of whose product `shift` is left, and S has no diagonal.
// Null arrays count as zeros; `inner` is always there, and `outer` with `shift`.
template <class T>
struct Coefficients {
  Standardise<T> x, y, u;
  T alpha, apart;
  const T* inner;
  const T* cross;
  const T* outer;
  const T* project;
  const T* shift;
  int view, partner;
  bool multiply_partner;  // dim side: u of the partner
};

template <class In, class T, class Products>
class Gradient {
 public:
  Gradient(const Views<In>& views, const Coefficients<T>& k, In* out)
      : views_(views), k_(k), self_{views.z[k.view], views.stride[k.view]}, out_(out) {}

  // matrix (side x side), or null: alpha = 0; of more digits than the inputs on the n side alone.
  // false: numbers that these products do not take.
  template <class S>
  bool run(const S* matrix, int threads) const {
    if (matrix == nullptr) {
      without_matrix(threads);
      return true;
    }
    const std::int64_t side = views_.gram ? views_.n : views_.dim;
    const Matrix operand(views_, matrix, side, threads);
    if (!operand.usable()) return false;
    if constexpr (sizeof(T) == sizeof(Computed<In>)) {
      if (!views_.gram) return multiply_covariance(operand, threads);
    }
    // The diagonal, the largest entries, meets the column factors in one rounding.
    Scratch<T> diagonal(side);
    for (std::int64_t i = 0; i < side; ++i) diagonal[i] = k_.alpha * T(matrix[i * side + i]);
    return multiply_gram(operand, diagonal.get(), threads);
  }

 private:
  typedef typename Products::Matrix Matrix;
  static constexpr std::int64_t kPanel = Panel<T>::kRows;
  static constexpr std::int64_t kMaxPanels =
      12 / Shape::kVectors;                     // columns of one task on the n side
  static constexpr std::int64_t kMaxRows = 96;  // rows of one task on the dim side
  static constexpr std::int64_t kAhead = 8;     // rows

  // S x, a block of columns at a time, all rows: <g_j, x_j> needs whole columns.
  bool multiply_gram(const Matrix& matrix, const T* diagonal, int threads) const {
    const std::int64_t n = views_.n, dim = views_.dim;
    const std::int64_t rows = round_up(n, kPanel), panels = ceil_div(dim, kPanel);
    const std::int64_t width = max(1, min(kMaxPanels, panels / 16)) * kPanel;
    const std::int64_t tasks = ceil_div(dim, width);
    const Flags usable(tasks);
    parallel_for(tasks, threads, [&](std::int64_t task, int) {
      typename Products::Unit unit;
      const typename Products::Columns right(matrix, width);
      Scratch<T> sums(rows * width);
      T* const g = sums.get();
      const std::int64_t j0 = task * width, columns = min(width, dim - j0);
      for (std::int64_t chunk = 0; chunk < matrix.chunks(); ++chunk) {
        usable[task] &= right.pack(matrix, chunk, self_, dim, k_.u, j0, columns);
        right.multiply(unit, matrix, chunk, columns, g, width);
      }
      if (k_.project == nullptr) {
        for (std::int64_t i = 0; i < n; ++i) {
          prefetch(i + kAhead, j0, columns);
          combine_and_finish(i, j0, columns, diagonal[i], g + i * width, out_ + i * dim + j0);
        }
        return;
      }
      double along[kMaxPanels * kPanel] = {};
      for (std::int64_t i = 0; i < n; ++i) {
        prefetch(i + kAhead, j0, columns);
        combine(i, j0, columns, diagonal[i], g + i * width, along);
      }
      for (std::int64_t i = 0; i < n; ++i) {
        prefetch(i + kAhead, j0, columns);
        finish(i, j0, columns, along, g + i * width, out_ + i * dim + j0);
      }
    });
    return usable.all();
  }

  // u S, a block of rows at a time.
  bool multiply_covariance(const Matrix& matrix, int threads) const {
    const std::int64_t n = views_.n, dim = views_.dim, width = round_up(dim, kPanel);
    const std::int64_t height = min(kMaxRows, round_up(ceil_div(n, 16), Products::kRows));
    const std::int64_t tasks = ceil_div(n, height);
    const View<In> source =
        k_.multiply_partner ? View<In>{views_.z[k_.partner], views_.stride[k_.partner]} : self_;
    Scratch<double> along(k_.project == nullptr ? 0 : tasks * dim);
    // Where the gradient can not hold products between two passes.
    constexpr bool kNarrow = sizeof(In) < sizeof(T);
    Scratch<T> wide(kNarrow && k_.project != nullptr ? n * dim : 0);
    T* const kept = kNarrow ? wide.get() : reinterpret_cast<T*>(out_);
    const Flags usable(tasks);
    parallel_for(tasks, threads, [&](std::int64_t task, int) {
      typename Products::Unit unit;
      const typename Products::Rows left(matrix, height);
      Scratch<T> products(height * width);
      T* const g = products.get();
      const std::int64_t i0 = task * height, rows = min(height, n - i0);
      for (std::int64_t chunk = 0; chunk < matrix.chunks(); ++chunk) {
        usable[task] &= left.pack(matrix, chunk, source, k_.u, i0, rows);
        left.multiply(unit, matrix, chunk, rows, g, width);
      }
      if (k_.project == nullptr) {
        for (std::int64_t i = 0; i < rows; ++i) {
          combine_and_finish(i0 + i, 0, dim, T(0), g + i * width, out_ + (i0 + i) * dim);
        }
        return;
      }
      double* sums = along.get() + task * dim;
      for (std::int64_t c = 0; c < dim; ++c) sums[c] = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        combine(i0 + i, 0, dim, T(0), g + i * width, sums);
        for (std::int64_t c = 0; c < dim; ++c) kept[(i0 + i) * dim + c] = g[i * width + c];
      }
    });
    if (k_.project == nullptr) return usable.all();
    for (std::int64_t task = 1; task < tasks; ++task) {
      for (std::int64_t c = 0; c < dim; ++c) along[c] += along[task * dim + c];
    }
    parallel_for(tasks, threads, [&](std::int64_t task, int) {
      Scratch<T> g(dim);
      for (std::int64_t i = task * height; i < min((task + 1) * height, n); ++i) {
        for (std::int64_t c = 0; c < dim; ++c) g[c] = kept[i * dim + c];
        finish(i, 0, dim, along.get(), g.get(), out_ + i * dim);
      }
    });
    return usable.all();
  }

  void without_matrix(int threads) const {
    constexpr std::int64_t kRows = 16;
    const std::int64_t tasks = ceil_div(views_.n, kRows), dim = views_.dim;
    Scratch<T> scratch(min(threads, tasks) * dim);
    parallel_for(tasks, threads, [&](std::int64_t task, int thread) {
      T* g = scratch.get() + thread * dim;
      for (std::int64_t i = task * kRows; i < min((task + 1) * kRows, views_.n); ++i) {
        for (std::int64_t c = 0; c < dim; ++c) g[c] = T(0);
        finish(i, 0, dim, nullptr, g, out_ + i * dim);
      }
    });
  }

  // A few columns of row i of every view: it lies on a page of its own, which no processor
  // foresees. Inlined, or GCC drops the call.
  TSSSL_INLINE void prefetch(std::int64_t i, std::int64_t c0, std::int64_t columns) const {
    for (int v = 0; v < views_.count && i < views_.n; ++v) {
      const In* const z = views_.z[v] + i * views_.stride[v] + c0;
      for (std::int64_t c = 0; c < columns; c += 64 / sizeof(In)) __builtin_prefetch(z + c);
    }
  }

  // g = alpha g + (diagonal + inner) x + cross y for `columns` columns from c0; along += g x.
  void combine(std::int64_t i, std::int64_t c0, std::int64_t columns, T diagonal, T* __restrict g,
               double* __restrict along) const {
    const In* __restrict z = self_.row(i) + c0;
    const T* __restrict mean = k_.x.mean + c0;
    const T* __restrict rest = k_.x.rest + c0;
    const T* __restrict scale = k_.x.scale + c0;
    const T alpha = k_.alpha;
    const T* __restrict inner = k_.inner + c0;
    for (std::int64_t c = 0; c < columns; ++c) {
      g[c] = alpha * g[c] + (diagonal + inner[c]) * (((T(z[c]) - mean[c]) - rest[c]) * scale[c]);
    }
    if (k_.cross != nullptr) {
      const In* __restrict other = views_.z[k_.partner] + i * views_.stride[k_.partner] + c0;
      const T* __restrict cross = k_.cross + c0;
      const T* __restrict mean_y = k_.y.mean + c0;
      const T* __restrict rest_y = k_.y.rest + c0;
      const T* __restrict scale_y = k_.y.scale + c0;
      for (std::int64_t c = 0; c < columns; ++c) {
        g[c] += cross[c] * (((T(other[c]) - mean_y[c]) - rest_y[c]) * scale_y[c]);
      }
    }
    if (along != nullptr) {
      for (std::int64_t c = 0; c < columns; ++c) {
        along[c] += double(g[c]) * double(((T(z[c]) - mean[c]) - rest[c]) * scale[c]);
      }
    }
  }

  // Both in one pass, of two views at most: no projection, no partner.
  void combine_and_finish(std::int64_t i, std::int64_t c0, std::int64_t columns, T diagonal,
                          T* __restrict g, In* __restrict out) const {
    if (k_.cross != nullptr || (k_.apart != T(0) && views_.count != 2)) {
      combine(i, c0, columns, diagonal, g, nullptr);
      finish(i, c0, columns, nullptr, g, out);
      return;
    }
    const In* __restrict z = self_.row(i) + c0;
    // Itself, at no distance, where views are not drawn together.
    const int pair = k_.apart != T(0) ? 1 - k_.view : k_.view;
    const In* __restrict other = views_.z[pair] + i * views_.stride[pair] + c0;
    const T* __restrict mean = k_.x.mean + c0;
    const T* __restrict rest = k_.x.rest + c0;
    const T* __restrict scale = k_.x.scale + c0;
    const T* __restrict inner = k_.inner + c0;
    const T alpha = k_.alpha, apart = k_.apart;
    if (k_.shift != nullptr) {  // u = z, and scale = 1
      const T* __restrict outer = k_.outer + c0;
      const T* __restrict shift = k_.shift + c0;
      for (std::int64_t c = 0; c < columns; ++c) {
        const T x = (T(z[c]) - mean[c]) - rest[c];
        const T own = alpha * (g[c] - shift[c]) + (inner[c] + outer[c]) * x;
        out[c] = In(own + diagonal * T(z[c]) + apart * (T(z[c]) - T(other[c])));
      }
      return;
    }
    if (k_.outer == nullptr) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const T x = (T(z[c]) - mean[c]) - rest[c];
        const T own = alpha * g[c] + (diagonal + inner[c]) * (x * scale[c]);
        out[c] = In(scale[c] * own + apart * (T(z[c]) - T(other[c])));
      }
      return;
    }
    const T* __restrict outer = k_.outer + c0;
    for (std::int64_t c = 0; c < columns; ++c) {
      const T x = (T(z[c]) - mean[c]) - rest[c];
      const T own = alpha * g[c] + (diagonal + inner[c]) * (x * scale[c]);
      out[c] = In(scale[c] * own + outer[c] * x + apart * (T(z[c]) - T(other[c])));
    }
  }

  // along: of column c0 onwards.
  void finish(std::int64_t i, std::int64_t c0, std::int64_t columns, const double* __restrict along,
              T* __restrict g, In* __restrict out) const {
    const In* __restrict z = self_.row(i) + c0;
    const T* __restrict mean = k_.x.mean + c0;
    const T* __restrict rest = k_.x.rest + c0;
    const T* __restrict scale = k_.x.scale + c0;
    if (k_.project != nullptr && along != nullptr) {
      const T* __restrict project = k_.project + c0;
      for (std::int64_t c = 0; c < columns; ++c) {
        const T x = ((T(z[c]) - mean[c]) - rest[c]) * scale[c];
        g[c] -= project[c] * T(along[c]) * x;
      }
    }
    if (k_.outer != nullptr) {
      const T* __restrict outer = k_.outer + c0;
      for (std::int64_t c = 0; c < columns; ++c) {
        g[c] = scale[c] * g[c] + outer[c] * ((T(z[c]) - mean[c]) - rest[c]);
      }
    } else {
      for (std::int64_t c = 0; c < columns; ++c) g[c] *= scale[c];
    }
    if (k_.apart != T(0)) {
      for (int v = 0; v < views_.count; ++v) {
        if (v == k_.view) continue;
        const In* __restrict other = views_.z[v] + i * views_.stride[v] + c0;
        for (std::int64_t c = 0; c < columns; ++c) g[c] += k_.apart * (T(z[c]) - T(other[c]));
      }
    }
    for (std::int64_t c = 0; c < columns; ++c) out[c] = In(g[c]);
  }

  const Views<In>& views_;
  const Coefficients<T>& k_;
  const View<In> self_;
  In* out_;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
