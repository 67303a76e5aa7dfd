// Sums over the classes of pairs of a block pair, in the epilogue of its register tiles.
#pragma once
#include "contrastive/tile_walk.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Statistics of one vector of pairs, at its place in the lanes of its row and in its columns.
template <class T>
TSSSL_INLINE void add_statistics(Vec<T> s, Vec<T> a, const Classes<T>& classes, T* row, T* column,
                                 std::int64_t row_step, std::int64_t column_step) {
  const Vec<T> one = broadcast(T(1)), low = broadcast(kLowest<T>);
  const Vec<T> distance = s * T(4) - T(4);
  const IntVec<T> live = classes.negative | classes.positive;
  const Vec<T> uniform = live ? exp(at_most_zero<T>(distance)) : Vec<T>{};
  const Vec<T> values[] = {classes.negative ? a : Vec<T>{},   classes.negative ? one : Vec<T>{},
                           classes.positive ? one : Vec<T>{}, uniform,
                           classes.negative ? a : low,        classes.positive ? a : low};
  for (int x = 0; x < kQuantities - kBasic; ++x) {
    if (is_maximum(kBasic + x)) {
      raise(row + (kBasic + x) * row_step, values[x]);
      raise(column + (kBasic + x) * column_step, values[x]);
    } else {
      add(row + (kBasic + x) * row_step, values[x]);
      add(column + (kBasic + x) * column_step, values[x]);
    }
  }
}

// Where a tile's sums go: lanes of its rows, and its columns; quantities are a step apart.
template <class T>
struct TileTarget {
  static constexpr std::int64_t kRowStep = kMaxBlock * Simd<T>::kLanes, kColumnStep = kMaxBlock;
  T* row;
  T* column;
};

// One tile's share. Pairs: a view of PairRules, how its pairs are told apart. What a row or column
// sums stays in registers until the tile is done.
template <class T, bool kFixed, bool kStatistics, bool kKeep, class Pairs>
TSSSL_INLINE void tile_sums(const Tile<T>& acc, const Pairs& pairs, std::int64_t i, std::int64_t j,
                            T beta, std::int32_t power, const Side<T>& rows, const Side<T>& columns,
                            const TileTarget<T>& to, T* keep) {
  constexpr int kLanes = Simd<T>::kLanes, kVectors = Shape::kVectors;
  constexpr int kSums = Pairs::kPositives ? kBasic : kNegative + 1;
  const Vec<T> one = broadcast(T(1));
  Vec<T> by_columns[kSums][kVectors] = {};
#pragma GCC unroll 16
  for (int r = 0; r < Shape::kRows; ++r) {
    Vec<T> by_row[kSums] = {};
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t first = j + v * kLanes;
      const Vec<T> a = kFixed ? acc[r][v] * beta : rounded(acc[r][v] * beta);
      Classes<T> classes{};
      if constexpr (Pairs::kMixed) classes = pairs.classes(r, v);
      // A pair is in one class at most, so it has one shift per role.
      Vec<T> e_row, e_column;
      if constexpr (kFixed) {
        e_row = e_column = exp_scaled(a, power);
        if (kKeep) store(keep + (r * kVectors + v) * kLanes, e_row);
      } else {
        Vec<T> of_row = broadcast(rows.negative_shift[i + r]);
        Vec<T> of_column = load(columns.negative_shift.get() + first);
        if constexpr (Pairs::kPositives) {
          of_row = classes.positive ? broadcast(rows.positive_shift[i + r]) : of_row;
          of_column = classes.positive ? load(columns.positive_shift.get() + first) : of_column;
        }
        e_row = exp(at_most_zero<T>(a - of_row));
        e_column = exp(at_most_zero<T>(a - of_column));
      }
      const auto count = [&](int x, Vec<T> of_row, Vec<T> of_column) {
        by_row[x] += of_row;
        by_columns[x][v] += of_column;
      };
      if constexpr (!Pairs::kMixed) {
        count(kNegative, e_row, e_column);
      } else {
        Vec<T> weight = one, logit = a;
        if constexpr (Pairs::kWeighted) {
          weight = pairs.weights(r, v);
          logit = a * weight;
          e_row *= weight;
          e_column *= weight;
        }
        const Vec<T> none{};
        count(kNegative, classes.negative ? e_row : none, classes.negative ? e_column : none);
        if constexpr (Pairs::kPositives) {
          const auto positive = [&](int x, Vec<T> of_row, Vec<T> of_column) {
            count(x, classes.positive ? of_row : none, classes.positive ? of_column : none);
          };
          positive(kPositive, e_row, e_column);
          positive(kLogit, logit, logit);
          positive(kCount, weight, weight);
        }
      }
      if constexpr (kStatistics) {
        if constexpr (!Pairs::kMixed) classes.negative = ~classes.negative;
        add_statistics(acc[r][v], a, classes, to.row + r * kLanes, to.column + v * kLanes,
                       to.kRowStep, to.kColumnStep);
      }
    }
    for (int x = 0; x < kSums; ++x) add(to.row + x * to.kRowStep + r * kLanes, by_row[x]);
  }
  for (int x = 0; x < kSums; ++x) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      add(to.column + x * to.kColumnStep + v * kLanes, by_columns[x][v]);
    }
  }
}

// Sums of a block pair, into both sides. kKeep: the exponentials go into `kept`; without a fixed
// shift the similarities come from there. kLabels: the problem may have ids or groups.
template <class T, bool kFixed, bool kStatistics, bool kKeep, bool kLabels,
          class Packed = PackedRows<T>>
inline void block_sums(const Packed& q, const Packed& k, const PairRules<T>& rules,
                       const Window& window, T beta, std::int32_t power, Side<T>& rows,
                       Side<T>& columns, T* kept) {
  constexpr int kLanes = Simd<T>::kLanes;
  constexpr int kUsed = kStatistics ? kQuantities : kBasic;
  alignas(64) T row_lanes[kUsed][kMaxBlock * kLanes];
  alignas(64) T column_sums[kUsed][kMaxBlock];
  const std::int64_t height = round_up(window.i1 - window.i0, Shape::kRows);
  for (int quantity = 0; quantity < kUsed; ++quantity) {
    const T start = is_maximum(quantity) ? kLowest<T> : T(0);
    for (std::int64_t x = 0; x < height * kLanes; ++x) row_lanes[quantity][x] = start;
    for (std::int64_t x = 0; x < kMaxBlock; ++x) column_sums[quantity][x] = start;
  }
  bool positives = false;
  const auto tile = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, const TileKind& kind) {
    const TileTarget<T> to{row_lanes[0] + (i - window.i0) * kLanes, column_sums[0] + j - window.j0};
    T* keep = kKeep ? kept_tile(kept, q.padded, i, j) : nullptr;
    rules.template with_view<kStatistics || !kLabels>(
        kind, i, j, window.upper, [&](const auto& pairs) {
          positives = positives || pairs.kPositives;
          tile_sums<T, kFixed, kStatistics, kKeep>(acc, pairs, i, j, beta, power, rows, columns, to,
                                                   keep);
        });
  };
  walk_tiles<T, kKeep && !kFixed>(q, k, rules, window, kept, tile);
  // The other sums are zero where no tile may hold a positive.
  const int used = kStatistics || positives ? kUsed : kNegative + 1;
  for (int quantity = 0; quantity < used; ++quantity) {
    double* of_rows = rows.of(quantity);
    double* of_columns = columns.of(quantity);
    for (std::int64_t i = window.i0; i < window.i1; ++i) {
      const T* lanes = row_lanes[quantity] + (i - window.i0) * kLanes;
      if (is_maximum(quantity)) {
        for (int l = 0; l < kLanes; ++l) of_rows[i] = lanes[l] > of_rows[i] ? lanes[l] : of_rows[i];
      } else {
        of_rows[i] += sum<T>(load(lanes));
      }
    }
    for (std::int64_t j = window.j0; j < window.j1; ++j) {
      const double value = column_sums[quantity][j - window.j0];
      if (is_maximum(quantity)) {
        of_columns[j] = value > of_columns[j] ? value : of_columns[j];
      } else {
        of_columns[j] += value;
      }
    }
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
