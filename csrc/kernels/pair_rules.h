// Which pairs are positives, which negatives, which count for nothing: rules evaluated on a
// register tile, from arrays with one entry per row. Nothing of size rows x columns exists unless
// the user brings it (mask, weight).
#pragma once
#include "kernels/operand.h"
#include "tsssl/contrastive.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
struct Classes {
  IntVec<T> negative, positive;
};

template <class T>
class PairRules {
 public:
  explicit PairRules(const PairProblem<T>& problem)
      : problem_(problem),
        self_(problem.k.first == nullptr),
        rows_(count_rows(problem.q)),
        columns_(self_ ? rows_ : count_rows(problem.k)),
        live_(padded_columns()),
        id_(problem.k_id != nullptr ? padded_columns() : 0),
        group_(problem.k_group != nullptr ? padded_columns() : 0) {
    for (std::int64_t j = 0; j < padded_columns(); ++j) {
      const bool inside = j < columns_;
      live_[j] = inside && (problem.k_valid == nullptr || problem.k_valid[j] != 0) ? -1 : 0;
      if (problem.k_id != nullptr) id_[j] = inside ? problem.k_id[j] : 0;
      if (problem.k_group != nullptr) group_[j] = inside ? problem.k_group[j] : 0;
    }
    pairwise_ = problem.k_id != nullptr || problem.k_group != nullptr || problem.mask != nullptr ||
                problem.weight != nullptr || problem.k_valid != nullptr ||
                problem.q_valid != nullptr;
  }

  bool self() const { return self_; }
  bool weighted() const { return problem_.weight != nullptr; }
  std::int64_t columns() const { return columns_; }

  // Whether a tile of Shape::kRows x panel at (i, j) holds anything but negatives.
  // `upper`: the tile lies in a block on the diagonal of one set, where only i < j counts.
  TSSSL_INLINE bool mixed(std::int64_t i, std::int64_t j, bool upper) const {
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    const std::int64_t first = j - (i + Shape::kRows - 1), last = j + kPanel - 1 - i;
    return pairwise_ || i + Shape::kRows > rows_ || j + kPanel > columns_ ||
           ((self_ || problem_.skip_diagonal) && first <= 0 && last >= 0) ||
           on_offset(first, last) || (upper && first < 0);
  }

  // Whether it may hold positives.
  TSSSL_INLINE bool positives(std::int64_t i, std::int64_t j) const {
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    return problem_.k_id != nullptr || on_offset(j - (i + Shape::kRows - 1), j + kPanel - 1 - i);
  }

  // The classes of row i against columns j, j + 1, ...
  TSSSL_INLINE Classes<T> classify(std::int64_t i, std::int64_t j, bool upper) const {
    const IntVec<T> column = iota<T>();
    IntVec<T> live = widen(live_.get() + j);
    if (i >= rows_ || (problem_.q_valid != nullptr && problem_.q_valid[i] == 0)) live ^= live;
    if (self_ || problem_.skip_diagonal) live &= column != lane(i - j);
    if (upper) live &= column > lane(i - j);
    if (problem_.mask != nullptr) live &= mask_lanes(i, j);
    IntVec<T> positive{};
    if (problem_.offset > 0) {
      positive =
          (column == lane(i + problem_.offset - j)) | (column == lane(i - problem_.offset - j));
    } else if (problem_.k_id != nullptr && i < rows_) {
      positive = widen(id_.get() + j) == lane(problem_.q_id[i]);
    }
    positive &= live;
    IntVec<T> negative = live & ~positive;
    if (problem_.k_group != nullptr && i < rows_) {
      const IntVec<T> same = widen(group_.get() + j) == lane(problem_.q_group[i]);
      negative &= problem_.group_rule == GroupRule::only_same ? same : ~same;
    }
    return {negative, positive};
  }

  // Pair weights of row i, 0 outside.
  TSSSL_INLINE Vec<T> weights(std::int64_t i, std::int64_t j) const {
    Vec<T> w{};
    if (i >= rows_) return w;
    const T* row = problem_.weight + i * problem_.weight_stride + j;
    if (j + Simd<T>::kLanes <= columns_) return load(row);
    for (int l = 0; l < Simd<T>::kLanes && j + l < columns_; ++l) w[l] = row[l];
    return w;
  }

 private:
  typedef typename Simd<T>::Lane Lane;

  static TSSSL_INLINE Lane lane(std::int64_t x) {
    // Differences beyond any lane index stay beyond it.
    return static_cast<Lane>(x < -1 ? -1 : (x > 1 << 30 ? 1 << 30 : x));
  }
  static TSSSL_INLINE Lane lane(std::int32_t x) { return static_cast<Lane>(x); }

  static TSSSL_INLINE IntVec<T> widen(const std::int32_t* p) {
    typename Simd<T>::Int32 v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, IntVec<T>);
  }

  TSSSL_INLINE bool on_offset(std::int64_t first, std::int64_t last) const {
    const std::int64_t n = problem_.offset;
    return n > 0 && ((first <= n && last >= n) || (first <= -n && last >= -n));
  }

  TSSSL_INLINE IntVec<T> mask_lanes(std::int64_t i, std::int64_t j) const {
    typename Simd<T>::Int8 bytes{};
    const std::int64_t inside = i < rows_ ? min(Simd<T>::kLanes, columns_ - j) : 0;
    const std::uint8_t* row = problem_.mask + i * problem_.mask_stride + j;
    if (inside == Simd<T>::kLanes) {
      __builtin_memcpy(&bytes, row, sizeof bytes);
    } else {
      for (int l = 0; l < inside; ++l) bytes[l] = static_cast<std::int8_t>(row[l]);
    }
    return __builtin_convertvector(bytes != 0, IntVec<T>);
  }

  std::int64_t padded_columns() const { return round_up(columns_, Panel<T>::kRows); }

  const PairProblem<T>& problem_;
  const bool self_;
  const std::int64_t rows_, columns_;
  bool pairwise_;
  Scratch<std::int32_t> live_, id_, group_;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
