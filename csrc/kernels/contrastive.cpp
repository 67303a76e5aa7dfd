// NT-Xent on symmetric tiles: S = U U^T is symmetric, so each pair of row blocks is visited once
// and serves both roles. Nothing of size M x M (M = 2n) is stored; the gradient's tile lives in L2.
//
// The positive is kept out of the sums and enters row by row: with x = lse over the negatives -
// a_ip,
//   loss_i = log(1 + exp(x)),  1 - P_ip = 1 / (1 + exp(-x)),
// which stays exact to the last bits when the batch has converged and both are 1e-8.
//
// Exponent shift. With unit rows a_ij <= 1/tau, so exp(a_ij - 1/tau) never overflows, and it stays
// a normal number while 2/tau is below kFixedShiftLimit: one exponential serves the sums of row i
// and of row j. Beyond (tau < 0.023 in float32) every row has its own maximum: one pass over the
// full square.
#include "tsssl/contrastive.h"

#include <cmath>

#include "cpu/parallel.h"
#include "cpu/scratch.h"
#include "kernels/tiles.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr int kMaxBlock = 240;         // rows; a gradient tile of 240 x 240 floats is 225 KiB of L2
constexpr int kTileStride = 240 + 32;  // elements between its rows: an odd number of cache lines
constexpr double kTinyNorm = 1e-12;

template <class T>
constexpr double kFixedShiftLimit = sizeof(T) == 4 ? 87.0 : 700.0;
template <class T>
constexpr T kLowest = sizeof(T) == 4 ? T(-3e38) : T(-1e308);

// How M rows are cut: a function of M alone, never of the thread count, so that every sum has one
// order. Few rows: small blocks, so that two or four threads find equal work.
template <class T>
struct Blocks {
  std::int64_t rows, size, count;

  explicit Blocks(std::int64_t m) : rows(m) {
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    const std::int64_t target = m <= 4 * kPanel ? 1 : (m <= 8 * kMaxBlock ? 8 : 32);
    size = min(round_up(ceil_div(m, target), kPanel), kMaxBlock / kPanel * kPanel);
    count = ceil_div(m, size);
  }
  std::int64_t begin(std::int64_t block) const { return block * size; }
  std::int64_t length(std::int64_t block) const { return min(size, rows - block * size); }
  std::int64_t pairs() const { return count * (count + 1) / 2; }
};

template <class T>
TSSSL_INLINE const T* input_row(const TwoViews<T>& views, std::int64_t i) {
  return i < views.n ? views.z1 + i * views.stride1 : views.z2 + (i - views.n) * views.stride2;
}

template <class T>
TSSSL_INLINE std::int64_t partner(const TwoViews<T>& views, std::int64_t i) {
  return i < views.n ? i + views.n : i - views.n;
}

// In float64, so that no finite float32 row over- or underflows.
template <class T>
inline double sum_of_squares(const T* x, std::int64_t count) {
  double parts[8] = {};
  std::int64_t k = 0;
  for (; k + 8 <= count; k += 8) {
    for (int i = 0; i < 8; ++i) parts[i] += double(x[k + i]) * double(x[k + i]);
  }
  for (; k < count; ++k) parts[0] += double(x[k]) * double(x[k]);
  return ((parts[0] + parts[4]) + (parts[1] + parts[5])) +
         ((parts[2] + parts[6]) + (parts[3] + parts[7]));
}

// Over whole vectors: both operands are padded with zeros.
template <class T>
inline T dot(const T* a, const T* b, std::int64_t padded) {
  Vec<T> total{};
  for (std::int64_t k = 0; k < padded; k += Simd<T>::kLanes) total += load(a + k) * load(b + k);
  return sum<T>(total);
}

// Unit rows, row-major with the columns padded by zeros to whole vectors, and packed in panels.
template <class T>
class UnitRows {
 public:
  explicit UnitRows(const TwoViews<T>& views)
      : depth(views.dim),
        stride(round_up(views.dim, Simd<T>::kLanes)),
        rows_(padded_rows(views) * stride),
        panels_(padded_rows(views) * views.dim) {}

  static std::int64_t padded_rows(const TwoViews<T>& views) {
    return round_up(2 * views.n, Panel<T>::kRows);
  }

  // Normalises and packs. `inverse_norm` is written where `known` is null, else taken from there.
  void fill(const TwoViews<T>& views, int threads, const T* known, T* inverse_norm) {
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    const std::int64_t m = 2 * views.n;
    parallel_for(ceil_div(m, kPanel), threads, [&](std::int64_t p, int) {
      const std::int64_t first = p * kPanel, last = min(first + kPanel, m);
      for (std::int64_t i = first; i < last; ++i) {
        const T* x = input_row(views, i);
        T scale;
        if (known != nullptr) {
          scale = known[i];
        } else {
          const double norm = std::sqrt(sum_of_squares(x, depth));
          scale = norm <= kTinyNorm ? T(0) : T(1 / norm);
          inverse_norm[i] = scale;
        }
        T* u = row(i);
        for (std::int64_t k = 0; k < depth; ++k) u[k] = x[k] * scale;
        for (std::int64_t k = depth; k < stride; ++k) u[k] = T(0);
      }
      pack_panel(row(first), stride, last - first, depth, panel(p));
    });
  }

  T* row(std::int64_t i) const { return rows_.get() + i * stride; }
  T* panel(std::int64_t p) const { return panels_.get() + p * Panel<T>::kRows * depth; }
  // First of Shape::kRows rows as a left operand; i is a multiple of Shape::kRows.
  const T* left(std::int64_t i) const { return panel(i / Panel<T>::kRows) + i % Panel<T>::kRows; }

  const std::int64_t depth, stride;

 private:
  Scratch<T> rows_, panels_;
};

// A rectangle of pairs: rows [i0, i1) against columns [j0, j1) of the same 2n rows. i0 and j0 are
// multiples of the panel. `upper`: only pairs with i < j.
struct Window {
  std::int64_t i0, i1, j0, j1, n;
  bool upper;

  // Whether a tile at (i, j) holds anything that is no negative pair: padding, self, a positive.
  TSSSL_INLINE bool mixed(std::int64_t i, std::int64_t j, std::int64_t panel) const {
    const std::int64_t first = j - (i + Shape::kRows - 1), last = j + panel - 1 - i;
    return i + Shape::kRows > i1 || j + panel > j1 || (first <= 0 && last >= 0) ||
           (first <= n && last >= n) || (first <= -n && last >= -n) || (upper && first < 0);
  }

  // Lanes of columns j, j + 1, ... that are negatives of row i.
  template <class T>
  TSSSL_INLINE IntVec<T> negatives(std::int64_t i, std::int64_t j) const {
    typedef typename Simd<T>::Lane Lane;
    const IntVec<T> column = iota<T>();
    const std::int64_t positive = i < n ? i + n : i - n;
    return (column < static_cast<Lane>(i < i1 ? j1 - j : 0)) &
           (column > static_cast<Lane>(upper ? i - j : -1)) & (column != static_cast<Lane>(i - j)) &
           (column != static_cast<Lane>(positive - j));
  }
};

// Calls body(i, j, acc, mixed) with every similarity tile of the window.
template <class T, class Body>
TSSSL_INLINE void walk_tiles(const UnitRows<T>& u, const Window& window, const Body& body) {
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  for (std::int64_t j = window.j0; j < window.j1; j += kPanel) {
    for (std::int64_t i = window.i0; i < window.i1; i += Shape::kRows) {
      if (window.upper && j + kPanel - 1 <= i) break;
      Vec<T> acc[Shape::kRows][Shape::kVectors];
      similarity(u.depth, u.left(i), u.panel(j / kPanel), acc);
      body(i, j, acc, window.mixed(i, j, kPanel));
    }
  }
}

// sums[other block][row]: sum over that block's negatives of exp(a - 1/tau), for both blocks.
template <class T>
inline void sum_pair(const UnitRows<T>& u, const Blocks<T>& blocks, std::int64_t n, std::int64_t bi,
                     std::int64_t bj, T beta, T* sums, std::int64_t padded) {
  constexpr int kLanes = Simd<T>::kLanes;
  constexpr int kVectors = Shape::kVectors;
  alignas(64) T row_lanes[kMaxBlock * kLanes] = {};
  const std::int64_t ib = blocks.begin(bi), jb = blocks.begin(bj);
  const std::int64_t i_end = ib + blocks.length(bi), j_end = jb + blocks.length(bj);
  const Window window{ib, i_end, jb, j_end, n, bi == bj};
  T* column_sums = sums + bi * padded;
  T* row_sums = sums + bj * padded;
  for (std::int64_t j = jb; j < round_up(j_end, Panel<T>::kRows); ++j) column_sums[j] = T(0);
  walk_tiles(u, window,
             [&](std::int64_t i, std::int64_t j, Vec<T>(&acc)[Shape::kRows][kVectors], bool mixed) {
               Vec<T> column[kVectors] = {};
#pragma GCC unroll 16
               for (int r = 0; r < Shape::kRows; ++r) {
                 Vec<T> row{};
#pragma GCC unroll 4
                 for (int v = 0; v < kVectors; ++v) {
                   Vec<T> e = exp(acc[r][v] * beta - beta);
                   if (mixed) e = window.negatives<T>(i + r, j + v * kLanes) ? e : Vec<T>{};
                   row += e;
                   column[v] += e;
                 }
                 T* lanes = row_lanes + (i + r - ib) * kLanes;
                 store(lanes, load(lanes) + row);
               }
#pragma GCC unroll 4
               for (int v = 0; v < kVectors; ++v) {
                 T* out = column_sums + j + v * kLanes;
                 store(out, load(out) + column[v]);
               }
             });
  for (std::int64_t i = ib; i < i_end; ++i) {
    const T total = sum<T>(load(row_lanes + (i - ib) * kLanes));
    row_sums[i] = window.upper ? row_sums[i] + total : total;
  }
}

// shift[i] = max of a_ij over the negatives (lane by lane, merged at the end), total[i] = sum of
// exp(a_ij - shift[i]).
template <class T>
inline void sum_rows_with_maximum(const UnitRows<T>& u, std::int64_t n, std::int64_t ib,
                                  std::int64_t i_end, T beta, T* shift, T* total) {
  constexpr int kLanes = Simd<T>::kLanes;
  constexpr int kVectors = Shape::kVectors;
  alignas(64) T maxima[kMaxBlock * kLanes];
  alignas(64) T sums[kMaxBlock * kLanes] = {};
  for (std::int64_t k = 0; k < kMaxBlock * kLanes; ++k) maxima[k] = kLowest<T>;
  const Window window{ib, i_end, 0, 2 * n, n, false};
  walk_tiles(u, window,
             [&](std::int64_t i, std::int64_t j, Vec<T>(&acc)[Shape::kRows][kVectors], bool) {
#pragma GCC unroll 16
               for (int r = 0; r < Shape::kRows; ++r) {
                 T* max_lanes = maxima + (i + r - ib) * kLanes;
                 T* sum_lanes = sums + (i + r - ib) * kLanes;
                 const Vec<T> before = load(max_lanes);
                 Vec<T> top = before;
                 IntVec<T> keep[kVectors];
#pragma GCC unroll 4
                 for (int v = 0; v < kVectors; ++v) {
                   keep[v] = window.negatives<T>(i + r, j + v * kLanes);
                   acc[r][v] = acc[r][v] * beta;
                   const Vec<T> a = keep[v] ? acc[r][v] : top;
                   top = a > top ? a : top;
                 }
                 Vec<T> lanes = load(sum_lanes) * exp(before - top);
#pragma GCC unroll 4
                 for (int v = 0; v < kVectors; ++v) {
                   lanes += keep[v] ? exp(acc[r][v] - top) : Vec<T>{};
                 }
                 store(max_lanes, top);
                 store(sum_lanes, lanes);
               }
             });
  for (std::int64_t i = ib; i < i_end; ++i) {
    const T* max_lanes = maxima + (i - ib) * kLanes;
    const T* sum_lanes = sums + (i - ib) * kLanes;
    T top = max_lanes[0];
    for (int l = 1; l < kLanes; ++l) top = max_lanes[l] > top ? max_lanes[l] : top;
    double sum_total = 0;
    for (int l = 0; l < kLanes; ++l) {
      sum_total += double(sum_lanes[l]) * std::exp(double(max_lanes[l]) - double(top));
    }
    shift[i] = top;
    total[i] = T(sum_total);
  }
}

template <class T>
void forward(const TwoViews<T>& views, double temperature, int threads, T* loss, T* shift, T* total,
             T* share, T* inverse_norm) {
  const std::int64_t m = 2 * views.n;
  const double beta = 1 / temperature;
  const Blocks<T> blocks(m);
  UnitRows<T> u(views);
  u.fill(views, threads, nullptr, inverse_norm);
  if (2 * beta < kFixedShiftLimit<T>) {
    const std::int64_t padded = UnitRows<T>::padded_rows(views);
    Scratch<T> sums(blocks.count * padded);
    parallel_for(blocks.pairs(), threads, [&](std::int64_t pair, int) {
      std::int64_t bi = 0;
      for (std::int64_t row = blocks.count; pair >= row; --row) {
        pair -= row;
        ++bi;
      }
      sum_pair(u, blocks, views.n, bi, bi + pair, T(beta), sums.get(), padded);
    });
    for (std::int64_t i = 0; i < m; ++i) {
      double row = 0;
      for (std::int64_t b = 0; b < blocks.count; ++b) row += sums[b * padded + i];
      shift[i] = T(beta);
      total[i] = T(row);
    }
  } else {
    parallel_for(blocks.count, threads, [&](std::int64_t b, int) {
      sum_rows_with_maximum(u, views.n, blocks.begin(b), blocks.begin(b) + blocks.length(b),
                            T(beta), shift, total);
    });
  }
  for (std::int64_t i = 0; i < views.n; ++i) {
    const double positive = beta * dot(u.row(i), u.row(i + views.n), u.stride);
    for (std::int64_t k = i; k < m; k += views.n) {
      // No negative (n = 1): log 0 = -inf gives loss 0 and share 0.
      const double x = double(shift[k]) + std::log(double(total[k])) - positive;
      loss[k] = T(x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)));
      share[k] = T(1 / (1 + std::exp(-x)));
    }
  }
}

// Writes the window's tile of dL/da over the negatives, both roles:
//   exp(a_ij - shift_i) weight_i + exp(a_ij - shift_j) weight_j,  weight_i = g_i (1 - P_ip) /
//   total_i.
template <class T, bool kFixedShift>
inline void gradient_tile(const UnitRows<T>& u, const Window& window, T beta, const T* shift,
                          const T* weight, T* tile) {
  constexpr int kLanes = Simd<T>::kLanes;
  constexpr int kVectors = Shape::kVectors;
  walk_tiles(u, window,
             [&](std::int64_t i, std::int64_t j, Vec<T>(&acc)[Shape::kRows][kVectors], bool mixed) {
#pragma GCC unroll 4
               for (int v = 0; v < kVectors; ++v) {
                 const std::int64_t first = j + v * kLanes;
                 const Vec<T> column_weight = load(weight + first);
#pragma GCC unroll 16
                 for (int r = 0; r < Shape::kRows; ++r) {
                   const Vec<T> a = acc[r][v] * beta;
                   Vec<T> w;
                   if (kFixedShift) {
                     w = exp(a - beta) * (weight[i + r] + column_weight);
                   } else {
                     w = exp(a - shift[i + r]) * weight[i + r] +
                         exp(a - load(shift + first)) * column_weight;
                   }
                   if (mixed) w = window.negatives<T>(i + r, first) ? w : Vec<T>{};
                   store(tile + (i + r - window.i0) * kTileStride + first - window.j0, w);
                 }
               }
             });
}

template <class T>
class Backward {
 public:
  Backward(const UnitRows<T>& u, const Blocks<T>& blocks, std::int64_t n, T beta, const T* shift,
           const T* weight, T* gradient, int threads)
      : u_(u),
        blocks_(blocks),
        n_(n),
        beta_(beta),
        shift_(shift),
        weight_(weight),
        gradient_(gradient),
        threads_(threads),
        tiles_(threads * kTile) {}

  // A round-robin tournament of the blocks: in one round every block meets at most one other, so no
  // two threads write the same rows and every row sums its blocks in one order.
  template <bool kFixedShift>
  void run() {
    parallel_for(blocks_.count, threads_,
                 [&](std::int64_t b, int thread) { meet<kFixedShift>(b, b, thread); });
    const std::int64_t players = round_up(blocks_.count, 2), last = players - 1;
    for (std::int64_t round = 0; round < last; ++round) {
      parallel_for(players / 2, threads_, [&](std::int64_t k, int thread) {
        const std::int64_t a = k == 0 ? last : (round + k) % last;
        const std::int64_t b = k == 0 ? round : (round - k + last) % last;
        if (a < blocks_.count && b < blocks_.count) {
          meet<kFixedShift>(a < b ? a : b, a < b ? b : a, thread);
        }
      });
    }
  }

 private:
  static constexpr std::int64_t kTile = kMaxBlock * kTileStride;

  template <bool kFixedShift>
  void meet(std::int64_t bi, std::int64_t bj, int thread) {
    T* tile = tiles_.get() + thread * kTile;
    const std::int64_t i = blocks_.begin(bi), j = blocks_.begin(bj), stride = u_.stride;
    const std::int64_t rows = blocks_.length(bi), columns = blocks_.length(bj);
    const Window window{i, i + rows, j, j + columns, n_, false};
    gradient_tile<T, kFixedShift>(u_, window, beta_, shift_, weight_, tile);
    // The gradient's rows are padded to whole panels, so whole register tiles may be written.
    product<T, kTileStride, 1>(round_up(rows, Shape::kProductRows), stride, columns, tile,
                               u_.row(j), stride, gradient_ + i * stride, stride);
    if (bi != bj) {
      product<T, 1, kTileStride>(round_up(columns, Shape::kProductRows), stride, rows, tile,
                                 u_.row(i), stride, gradient_ + j * stride, stride);
    }
  }

  const UnitRows<T>& u_;
  const Blocks<T>& blocks_;
  const std::int64_t n_;
  const T beta_;
  const T* shift_;
  const T* weight_;
  T* gradient_;
  const int threads_;
  Scratch<T> tiles_;
};

template <class T>
void backward(const TwoViews<T>& views, double temperature, int threads, const T* shift,
              const T* total, const T* share, const T* inverse_norm, const T* grad_loss,
              std::int64_t grad_stride, T* grad1, T* grad2) {
  const std::int64_t m = 2 * views.n, padded = UnitRows<T>::padded_rows(views);
  const double beta = 1 / temperature;
  const Blocks<T> blocks(m);
  UnitRows<T> u(views);
  u.fill(views, threads, inverse_norm, nullptr);
  Scratch<T> gradient(padded * u.stride), weight(padded), shifts(padded);
  for (std::int64_t i = 0; i < padded; ++i) {
    // NaN totals stay NaN; no negatives (total 0) weigh nothing.
    const bool some = i < m && total[i] != T(0);
    weight[i] = some ? T(double(grad_loss[i * grad_stride]) * share[i] / total[i]) : T(0);
    shifts[i] = i < m ? shift[i] : T(0);
  }
  parallel_for(blocks.count, threads, [&](std::int64_t b, int) {
    const std::int64_t end = b + 1 == blocks.count ? padded : blocks.begin(b + 1);
    for (std::int64_t k = blocks.begin(b) * u.stride; k < end * u.stride; ++k) gradient[k] = T(0);
  });
  Backward<T> walk(u, blocks, views.n, T(beta), shifts.get(), weight.get(), gradient.get(),
                   threads);
  if (2 * beta < kFixedShiftLimit<T>) {
    walk.template run<true>();
  } else {
    walk.template run<false>();
  }
  parallel_for(blocks.count, threads, [&](std::int64_t b, int) {
    for (std::int64_t i = blocks.begin(b); i < blocks.begin(b) + blocks.length(b); ++i) {
      const std::int64_t p = partner(views, i);
      const T pull = grad_loss[i * grad_stride] * share[i] + grad_loss[p * grad_stride] * share[p];
      const T* unit = u.row(i);
      const T* positive = u.row(p);
      T* du = gradient.get() + i * u.stride;
      for (std::int64_t k = 0; k < u.depth; ++k) {
        du[k] = T(beta) * (du[k] - pull * positive[k]);
      }
      const T along = dot(unit, du, u.stride);
      T* out = i < views.n ? grad1 + i * u.depth : grad2 + (i - views.n) * u.depth;
      for (std::int64_t k = 0; k < u.depth; ++k) {
        out[k] = (du[k] - unit[k] * along) * inverse_norm[i];
      }
    }
  });
}

}  // namespace

const ContrastiveKernels& contrastive_kernels() {
  static const ContrastiveKernels table{{forward<float>, backward<float>},
                                        {forward<double>, backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
