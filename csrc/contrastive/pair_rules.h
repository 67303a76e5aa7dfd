// Which pairs are positives, which negatives, which count for nothing: rules evaluated on a
// register tile, from arrays with one entry per row. Nothing of size rows x columns exists unless
// the user brings it (mask, weight).
#pragma once
#include "contrastive/packed_rows.h"
#include "tsssl/contrastive.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
struct Classes {
  IntVec<T> negative, positive;
};

// What is known of a register tile before its pairs are looked at.
struct TileKind {
  bool plain;      // nothing but negatives
  bool labelled;   // else: told apart by flags, ids and groups alone
  bool positives;  // it may hold positives
};

// Flags, ids and groups of one side, padded to whole panels with rows that do not count.
template <class T>
struct SideCodes {
  SideCodes(std::int64_t rows, const std::uint8_t* valid, const std::int32_t* ids,
            const std::int32_t* groups)
      : padded(round_up(rows, Panel<T>::kRows)),
        live(padded),
        id(ids != nullptr ? padded : 0),
        group(groups != nullptr ? padded : 0) {
    for (std::int64_t i = 0; i < padded; ++i) {
      const bool inside = i < rows;
      live[i] = inside && (valid == nullptr || valid[i] != 0) ? -1 : 0;
      if (ids != nullptr) id[i] = inside ? ids[i] : 0;
      if (groups != nullptr) group[i] = inside ? groups[i] : 0;
    }
  }

  const std::int64_t padded;
  Scratch<std::int32_t> live, id, group;
};

template <class T>
class PairRules {
 public:
  explicit PairRules(const PairProblem<T>& problem)
      : problem_(problem),
        self_(problem.one_set()),
        rows_(count_rows(problem.q)),
        columns_(self_ ? rows_ : count_rows(problem.k)),
        q_(rows_, problem.q_valid, problem.q_id, problem.q_group),
        k_(columns_, problem.k_valid, problem.k_id, problem.k_group),
        dense_(problem.mask != nullptr || problem.weight != nullptr),
        flags_(problem.k_valid != nullptr || problem.q_valid != nullptr),
        ids_(problem.k_id != nullptr),
        groups_(problem.k_group != nullptr),
        only_same_(problem.group_rule == GroupRule::only_same) {}

  bool self() const { return self_; }
  bool weighted() const { return problem_.weight != nullptr; }
  std::int64_t columns() const { return columns_; }

  // The kind of the tile of Shape::kRows x panel at (i, j). Ids and groups are compared, all of
  // them: 16 comparisons beside 16 D multiply-adds, and no order of the ids can deceive it.
  // `upper`: the tile lies in a block on the diagonal of one set, where only i < j counts.
  TSSSL_INLINE TileKind kind(std::int64_t i, std::int64_t j, bool upper) const {
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    const std::int64_t first = j - (i + Shape::kRows - 1), last = j + kPanel - 1 - i;
    if (dense_ || ((self_ || problem_.skip_diagonal) && first <= 0 && last >= 0) ||
        on_offset(first, last) || (upper && first < 0)) {
      return {false, false, ids_ || on_offset(first, last)};
    }
    const bool positives = ids_ && any_equal(q_.id.get() + i, k_.id.get() + j);
    const bool plain =
        !positives && i + Shape::kRows <= rows_ && j + kPanel <= columns_ &&
        !(flags_ && any_dead(i, j)) &&
        !(groups_ && (only_same_ || any_equal(q_.group.get() + i, k_.group.get() + j)));
    return {plain, true, positives};
  }

  // The classes of row i against columns j, j + 1, ...
  TSSSL_INLINE Classes<T> classify(std::int64_t i, std::int64_t j, bool upper) const {
    const IntVec<T> column = iota<T>();
    IntVec<T> live = widen(k_.live.get() + j) & lane(q_.live[i]);
    if (self_ || problem_.skip_diagonal) live &= column != lane(i - j);
    if (upper) live &= column > lane(i - j);
    if (problem_.mask != nullptr) live &= mask_lanes(i, j);
    IntVec<T> positive{};
    if (problem_.offset > 0) {
      positive =
          (column == lane(i + problem_.offset - j)) | (column == lane(i - problem_.offset - j));
    } else if (ids_) {
      positive = widen(k_.id.get() + j) == lane(q_.id[i]);
    }
    positive &= live;
    IntVec<T> negative = live & ~positive;
    if (groups_) {
      const IntVec<T> same = widen(k_.group.get() + j) == lane(q_.group[i]);
      negative &= only_same_ ? same : ~same;
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

  // How the pairs of a tile at (i, j) are told apart; classes(r, v): of row i + r against vector v
  // of the columns. One view per kind, so that what a tile does not need is not asked per pair.
  struct Plain {
    static constexpr bool kMixed = false, kPositives = false, kWeighted = false;
  };

  // kPositives: the tile holds equal ids. kGroups: groups are looked at.
  template <bool kHasPositives, bool kGroups>
  class Labelled {
   public:
    static constexpr bool kMixed = true, kPositives = kHasPositives, kWeighted = false;

    TSSSL_INLINE Labelled(const PairRules& rules, std::int64_t i, std::int64_t j)
        : rules_(rules), i_(i), other_(IntVec<T>{} - (rules.only_same_ ? 0 : 1)) {
#pragma GCC unroll 4
      for (int v = 0; v < Shape::kVectors; ++v) {
        const std::int64_t first = j + v * Simd<T>::kLanes;
        live_[v] = widen(rules.k_.live.get() + first);
        if (kPositives) id_[v] = widen(rules.k_.id.get() + first);
        if (kGroups) group_[v] = widen(rules.k_.group.get() + first);
      }
    }
    TSSSL_INLINE Classes<T> classes(int r, int v) const {
      const IntVec<T> live = live_[v] & lane(rules_.q_.live[i_ + r]);
      IntVec<T> positive{};
      if (kPositives) positive = live & (id_[v] == lane(rules_.q_.id[i_ + r]));
      IntVec<T> negative = live & ~positive;
      if (kGroups) negative &= (group_[v] == lane(rules_.q_.group[i_ + r])) ^ other_;
      return {negative, positive};
    }

   private:
    const PairRules& rules_;
    const std::int64_t i_;
    const IntVec<T> other_;
    IntVec<T> live_[Shape::kVectors], id_[Shape::kVectors], group_[Shape::kVectors];
  };

  // Found one by one before the tile's arithmetic: few tiles are of this kind.
  class General {
   public:
    static constexpr bool kMixed = true, kPositives = true, kWeighted = true;

    TSSSL_INLINE General(const PairRules& rules, std::int64_t i, std::int64_t j, bool upper) {
#pragma GCC unroll 1
      for (int r = 0; r < Shape::kRows; ++r) {
#pragma GCC unroll 1
        for (int v = 0; v < Shape::kVectors; ++v) {
          const std::int64_t first = j + v * Simd<T>::kLanes;
          classes_[r][v] = rules.classify(i + r, first, upper);
          weights_[r][v] = rules.weighted() ? rules.weights(i + r, first) : broadcast(T(1));
        }
      }
    }
    TSSSL_INLINE const Classes<T>& classes(int r, int v) const { return classes_[r][v]; }
    TSSSL_INLINE Vec<T> weights(int r, int v) const { return weights_[r][v]; }

   private:
    Classes<T> classes_[Shape::kRows][Shape::kVectors];
    Vec<T> weights_[Shape::kRows][Shape::kVectors];
  };

  // body(view) with the view of the tile's kind; kFew: of fewer kinds, for less code.
  template <bool kFew, class Body>
  TSSSL_INLINE void with_view(const TileKind& kind, std::int64_t i, std::int64_t j, bool upper,
                              const Body& body) const {
    if (kind.plain) {
      body(Plain{});
      return;
    }
    if constexpr (!kFew) {
      if (kind.labelled && !groups_ && kind.positives) {
        body(Labelled<true, false>(*this, i, j));
        return;
      }
      if (kind.labelled && groups_ && kind.positives) {
        body(Labelled<true, true>(*this, i, j));
        return;
      }
      if (kind.labelled && groups_) {
        body(Labelled<false, true>(*this, i, j));
        return;
      }
    }
    body(General(*this, i, j, upper));
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

  static TSSSL_INLINE bool any(IntVec<T> x) {
    std::int64_t words[TSSSL_VECTOR_BYTES / 8], all = 0;
    __builtin_memcpy(words, &x, sizeof x);
    for (std::int64_t word : words) all |= word;
    return all != 0;
  }

  // Whether one of Shape::kRows codes of rows equals one of a panel of columns.
  static TSSSL_INLINE bool any_equal(const std::int32_t* rows, const std::int32_t* columns) {
    IntVec<T> equal{};
#pragma GCC unroll 4
    for (int v = 0; v < Shape::kVectors; ++v) {
      const IntVec<T> of_columns = widen(columns + v * Simd<T>::kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < Shape::kRows; ++r) equal |= of_columns == lane(rows[r]);
    }
    return any(equal);
  }

  TSSSL_INLINE bool any_dead(std::int64_t i, std::int64_t j) const {
    IntVec<T> live = widen(k_.live.get() + j);
    for (int v = 1; v < Shape::kVectors; ++v) {
      live &= widen(k_.live.get() + j + v * Simd<T>::kLanes);
    }
    for (int r = 0; r < Shape::kRows; ++r) live &= lane(q_.live[i + r]);
    return any(~live);
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

  const PairProblem<T>& problem_;
  const bool self_;
  const std::int64_t rows_, columns_;
  const SideCodes<T> q_, k_;
  const bool dense_, flags_, ids_, groups_, only_same_;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
