// Triplet loss on the hardest negative: one walk over the symmetric tiles finds it for every row, a
// second sums the hinges of the positives; the gradient is one more walk and one product.
#include "contrastive/pair_gradient.h"
#include "tsssl/sigmoid_triplet.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
using Lane = typename Simd<T>::Lane;

template <class T>
TSSSL_INLINE IntVec<T> load_lanes(const Lane<T>* p) {
  IntVec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// Similarity and index of the closest candidate so far; of equals the lowest index. A NaN is never
// given up again, so that it reaches the loss.
template <class T>
TSSSL_INLINE void approach(T* best, Lane<T>* at, Vec<T> s, IntVec<T> index) {
  const Vec<T> before = load(best);
  const IntVec<T> from = load_lanes<T>(at);
  const IntVec<T> closer = (s > before) | (s != s) | ((s == before) & (index < from));
  store(best, closer ? s : before);
  const IntVec<T> now = closer ? index : from;
  __builtin_memcpy(at, &now, sizeof now);
}

template <class T>
TSSSL_INLINE void approach_one(T& best, Lane<T>& at, T s, Lane<T> index) {
  if (s > best || s != s || (s == best && index < at)) {
    best = s;
    at = index;
  }
}

// Every block pair of one set once.
template <class T, class F>
void visit_one_set(const PackedRows<T>& z, int threads, const F& f) {
  block_pairs_within(z.blocks.count, threads, [&](std::int64_t bi, std::int64_t bj, int) {
    f(Window{z.blocks.begin(bi), z.blocks.end(bi), z.blocks.begin(bj), z.blocks.end(bj), bi == bj});
  });
}

// The closest negatives of a block pair, into both sides.
template <class T>
void block_nearest(const PackedRows<T>& z, const PairRules<T>& rules, const Window& window, T* best,
                   Lane<T>* at) {
  constexpr int kLanes = Simd<T>::kLanes;
  alignas(64) T row_best[kMaxBlock * kLanes];
  alignas(64) Lane<T> row_at[kMaxBlock * kLanes];
  for (T& x : row_best) x = kLowest<T>;
  for (Lane<T>& x : row_at) x = -1;
  const auto tile = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, const TileKind&) {
    for (int v = 0; v < Shape::kVectors; ++v) {
      const std::int64_t first = j + v * kLanes;
      const IntVec<T> columns = iota<T>() + static_cast<Lane<T>>(first);
      for (int r = 0; r < Shape::kRows; ++r) {
        const Classes<T> classes = rules.classify(i + r, first, window.upper);
        const Vec<T> s = classes.negative ? acc[r][v] : broadcast(kLowest<T>);
        const IntVec<T> row = IntVec<T>{} + static_cast<Lane<T>>(i + r);
        const std::int64_t x = (i + r - window.i0) * kLanes;
        approach(row_best + x, row_at + x, s, columns);
        approach(best + first, at + first, s, row);
      }
    }
  };
  walk_tiles<T>(z, z, rules, window, nullptr, tile);
  for (std::int64_t i = window.i0; i < window.i1; ++i) {
    for (int l = 0; l < kLanes; ++l) {
      const std::int64_t x = (i - window.i0) * kLanes + l;
      approach_one<T>(best[i], at[i], row_best[x], row_at[x]);
    }
  }
}

// Per row: margin + similarity of its hardest negative, far below any similarity where it has none.
template <class T>
void reaches(std::int64_t rows, std::int64_t padded, double margin, const T* hardest,
             const std::int32_t* nearest, T* reach) {
  for (std::int64_t i = 0; i < padded; ++i) {
    reach[i] = i < rows && nearest[i] >= 0 ? T(margin) + hardest[i] : kLowest<T>;
  }
}

enum HingeSum { kHinge, kPositives, kActive, kHingeSums };

// Sums over the positives of a block pair, into both sides: of the hinges, of 1, of active ones.
template <class T>
void block_hinges(const PackedRows<T>& z, const PairRules<T>& rules, const Window& window,
                  const T* reach, double* sums) {
  constexpr int kLanes = Simd<T>::kLanes;
  alignas(64) T row_lanes[kHingeSums][kMaxBlock * kLanes];
  alignas(64) T column_sums[kHingeSums][kMaxBlock];
  for (int x = 0; x < kHingeSums; ++x) {
    for (T& y : row_lanes[x]) y = T(0);
    for (T& y : column_sums[x]) y = T(0);
  }
  const auto tile = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, const TileKind& kind) {
    if (!kind.positives) return;
    const Vec<T> one = broadcast(T(1)), zero{};
    for (int v = 0; v < Shape::kVectors; ++v) {
      const std::int64_t first = j + v * kLanes, to = first - window.j0;
      const Vec<T> column_reach = load(reach + first);
      for (int r = 0; r < Shape::kRows; ++r) {
        const Classes<T> classes = rules.classify(i + r, first, window.upper);
        const Vec<T> by_row = reach[i + r] - acc[r][v], by_column = column_reach - acc[r][v];
        const std::int64_t at = (i + r - window.i0) * kLanes;
        const auto both = [&](int x, Vec<T> of_row, Vec<T> of_column) {
          add(row_lanes[x] + at, classes.positive ? of_row : zero);
          add(column_sums[x] + to, classes.positive ? of_column : zero);
        };
        both(kHinge, by_row < T(0) ? zero : by_row, by_column < T(0) ? zero : by_column);
        both(kPositives, one, one);
        both(kActive, by_row > T(0) ? one : zero, by_column > T(0) ? one : zero);
      }
    }
  };
  walk_tiles<T>(z, z, rules, window, nullptr, tile);
  for (int x = 0; x < kHingeSums; ++x) {
    double* to = sums + x * z.padded;
    for (std::int64_t i = window.i0; i < window.i1; ++i) {
      to[i] += sum<T>(load(row_lanes[x] + (i - window.i0) * kLanes));
    }
    for (std::int64_t j = window.j0; j < window.j1; ++j) to[j] += column_sums[x][j - window.j0];
  }
}

template <class T>
void forward(const PairProblem<T>& problem, double margin, int threads, T* scale,
             const TripletRows<T>& rows, T* loss) {
  const PairRules<T> rules(problem);
  const auto z = PackedRows<T>::forward(queries(problem), scale, threads);
  Scratch<T> best(z.padded), reach(z.padded);
  Scratch<Lane<T>> at(z.padded);
  for (std::int64_t i = 0; i < z.padded; ++i) {
    best[i] = kLowest<T>;
    at[i] = -1;
  }
  visit_one_set(z, threads, [&](const Window& window) {
    block_nearest(z, rules, window, best.get(), at.get());
  });
  for (std::int64_t i = 0; i < z.blocks.rows; ++i) {
    rows.hardest[i] = best[i];
    rows.nearest[i] = static_cast<std::int32_t>(at[i]);
  }
  reaches(z.blocks.rows, z.padded, margin, rows.hardest, rows.nearest, reach.get());
  Scratch<double> sums(z.padded * kHingeSums);
  for (std::int64_t x = 0; x < z.padded * kHingeSums; ++x) sums[x] = 0;
  visit_one_set(z, threads, [&](const Window& window) {
    block_hinges(z, rules, window, reach.get(), sums.get());
  });
  for (std::int64_t i = 0; i < z.blocks.rows; ++i) {
    const double count = rows.nearest[i] < 0 ? 0 : sums[kPositives * z.padded + i];
    rows.count[i] = T(count);
    rows.active[i] = T(sums[kActive * z.padded + i]);
    loss[i] = count == 0 ? T(0) : T(sums[i] / count);
  }
}

template <class T>
void backward(const PairProblem<T>& problem, double margin, int threads, const T* scale,
              const TripletRows<T>& rows, const T* grad_loss, T* grad) {
  constexpr int kLanes = Simd<T>::kLanes;
  const PairRules<T> rules(problem);
  const auto z = PackedRows<T>::backward(queries(problem), scale, threads);
  // -dL/ds of each active positive; the hardest negative has the sum of them.
  Scratch<T> reach(z.padded), of_positive(z.padded), of_negative(z.padded);
  Scratch<Lane<T>> nearest(z.padded);
  reaches(z.blocks.rows, z.padded, margin, rows.hardest, rows.nearest, reach.get());
  for (std::int64_t i = 0; i < z.padded; ++i) {
    const bool inside = i < z.blocks.rows;
    of_positive[i] = inside && rows.count[i] > T(0) ? grad_loss[i] / rows.count[i] : T(0);
    of_negative[i] = inside ? of_positive[i] * rows.active[i] : T(0);
    nearest[i] = inside ? rows.nearest[i] : -1;
  }
  PairGradient<T, PackedRows<T>, GradientTile<T>> gradient(z, z, true, false, threads);
  gradient.run([&](const Window& window, const GradientTile<T>& out) {
    const auto tile = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, const TileKind&) {
      const Vec<T> zero{};
      for (int v = 0; v < Shape::kVectors; ++v) {
        const std::int64_t first = j + v * kLanes;
        const IntVec<T> columns = iota<T>() + static_cast<Lane<T>>(first);
        const IntVec<T> column_nearest = load_lanes<T>(nearest.get() + first);
        const Vec<T> column_reach = load(reach.get() + first);
        for (int r = 0; r < Shape::kRows; ++r) {
          const std::int64_t row = i + r;
          const Classes<T> classes = rules.classify(row, first, false);
          const Vec<T> s = acc[r][v];
          const Vec<T> by_row = reach[row] - s > T(0) ? broadcast(of_positive[row]) : zero;
          const Vec<T> by_column = column_reach - s > T(0) ? load(of_positive.get() + first) : zero;
          const Vec<T> to = columns == nearest[row] ? broadcast(of_negative[row]) : zero;
          const Vec<T> from =
              column_nearest == static_cast<Lane<T>>(row) ? load(of_negative.get() + first) : zero;
          const Vec<T> w = classes.positive ? -(by_row + by_column) : to + from;
          out.put(row - window.i0, first - window.j0, w);
        }
      }
    };
    walk_tiles<T>(z, z, rules, window, nullptr, tile);
  });
  gradient.finish(z, false, problem.normalize, T(1), grad, nullptr, z.blocks.rows);
}

}  // namespace

const ByDtype<TripletKernels>& triplet_kernels() {
  static const ByDtype<TripletKernels> table{{forward<float>, backward<float>},
                                             {forward<double>, backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
