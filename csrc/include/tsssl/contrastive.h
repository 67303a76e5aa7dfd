// Contrastive family: signatures over raw pointers. See tsssl_fast/ops/contrastive/README.md for
// the derivation, the flop count and what is saved.
#pragma once
#include <cstdint>

#include "tsssl/bfloat16.h"
#include "tsssl/by_dtype.h"
#include "tsssl/precision.h"

namespace tsssl {

// Exponents exp(a) have one shift for all rows where 2 |a| stays below this, see tile_walk.h.
template <class T>
constexpr double kFixedShiftLimit = sizeof(T) == 4 ? 60.0 : 600.0;

enum class GroupRule : int { none = 0, exclude_same = 1, only_same = 2 };

// Row-major rows in up to two pieces, columns contiguous: two views of a batch need no copy.
template <class T>
struct RowPieces {
  const T* first;
  const T* second;
  std::int64_t stride1, stride2;  // elements between rows
  std::int64_t count1, count2;
};

// Queries against keys, logits a_ij = beta s_ij with s the cosine (normalize) or the dot product.
// Without keys: one set against itself, without self-pairs; q's rules then hold for both
// sides and the k_ arrays repeat the q_ arrays.
template <class T>
struct PairProblem {
  RowPieces<T> q, k;
  std::int64_t dim;
  double beta;
  bool normalize;
  bool alone;           // one of many problems: one thread works on it
  bool symmetric;       // also the keys' own rows: every key against all queries
  bool skip_diagonal;   // two sets: the pair (i, i) counts for nothing
  std::int64_t offset;  // > 0: the positives are the pairs with |i - j| == offset (no id arrays)
  const std::int32_t* q_id;  // positives: equal ids; nullptr: none
  const std::int32_t* k_id;
  const std::int32_t* q_group;
  const std::int32_t* k_group;
  GroupRule group_rule;         // which negatives count
  const std::uint8_t* q_valid;  // 0: the row takes part in no pair
  const std::uint8_t* k_valid;
  const std::uint8_t* mask;  // (rows, columns): 0: the pair takes no part
  std::int64_t mask_stride;
  const T* weight;  // (rows, columns), >= 0: multiplies exp(a_ij), weighs the mean over positives
  std::int64_t weight_stride;
  int bits = 24;  // significant bits of q's and k's numbers: 8 of bfloat16, 11 of float16
  Precision precision = Precision::ieee;
  const Bfloat16* narrow_k = nullptr;  // the keys in place of k.first, where ManyKeys holds

  // Inlined, or each instruction set has a copy under one name.
  __attribute__((always_inline)) bool one_set() const {
    return k.first == nullptr && narrow_k == nullptr;
  }
};

// Few queries against many keys, which are taken block by block, and as bfloat16 where they are.
struct ManyKeys {
  std::int64_t rows, keys;
  bool normalize;
  bool one_sided;  // neither symmetric nor without a diagonal
  double beta;

  template <class T>
  __attribute__((always_inline)) bool hold() const {
    return normalize && one_sided && 2 * (beta < 0 ? -beta : beta) < kFixedShiftLimit<T> &&
           rows > 0 && rows <= 1024 && keys >= 8192 && keys >= 8 * rows;
  }
};

// Where the keys' gradient goes, contiguous: at most one is not null. narrow: with narrow_k.
template <class T>
struct KeyGradient {
  T* wide;
  Bfloat16* narrow;

  bool any() const { return wide != nullptr || narrow != nullptr; }
};

// Per row (queries, then keys where the problem is symmetric), all (rows):
//   sum over negatives exp(a) = exp(negative_shift) negative_total, the same for positives;
//   count: number, or weight, of the positives; logit: their (weighted) sum of a.
template <class T>
struct PairSums {
  T* negative_shift;
  T* positive_shift;
  T* negative_total;
  T* positive_total;
  T* count;
  T* logit;
  // nullptr: not asked for. Else kStatistics rows, statistics_stride apart: the negatives' summed
  // logit; the number of negatives, of positives; sum over all pairs of exp(-2 ||u_i - u_j||^2);
  // largest logit of the negatives, of the positives.
  T* statistics;
  std::int64_t statistics_stride;
  // One set, without statistics: where the forward leaves its exponentials (similarities where rows
  // have shifts of their own) for the backward, tile by tile, (rows + kKeptPadding) squared
  // elements of which half are written. nullptr: the backward computes them again.
  T* kept;
};
constexpr int kSumRows = 6;  // of PairSums, without statistics
constexpr int kStatistics = 6;
constexpr int kKeptPadding = 31;  // no panel has more than 32 rows

// Side of the square in which NT-Xent keeps its exponentials; 0: it does not. A quarter of the
// arithmetic is then not done twice. Half of the square is written: at most 2.2 MB of float32, or
// the size of two copies of the views, and the padding.
constexpr std::int64_t nt_xent_saved_side(std::int64_t rows, std::int64_t dim) {
  return rows <= 1024 || rows <= 4 * dim ? rows + kKeptPadding : 0;
}

template <class T>
struct PairKernels {
  // out: (3, rows): log-sum-exp of the row's negatives; of its positives; and the gap, log-sum-exp
  // minus (weighted) mean of the positives' logits: 0 for a single positive. -inf, -inf and 0 where
  // a class is empty. q_scale (queries), k_scale (keys; unused for one set): 1 / norm, 0 for rows
  // with norm <= 1e-12; 1 without `normalize`.
  void (*forward)(const PairProblem<T>& problem, int threads, T* q_scale, T* k_scale,
                  const PairSums<T>& sums, T* out);
  // grad_out: (3, rows), contiguous. grad_q: contiguous; grad_k: none for keys without gradient and
  // for one set. Returns dL/dbeta.
  double (*backward)(const PairProblem<T>& problem, int threads, const T* q_scale, const T* k_scale,
                     const PairSums<T>& sums, const T* grad_out, T* grad_q,
                     const KeyGradient<T>& grad_k);
  // In words, what forms the products of a problem of this shape: "ieee", "bf16x3" and so on.
  const char* (*products)(const PairProblem<T>& problem);
};

// NT-Xent of two views (Chen et al. 2020, equation 1), the engine with offset = n and its row
// formula in one call. With x_i = log sum over negatives exp(a_ij) - a_{i p(i)}:
//   loss_i = log(1 + exp(x_i)),  1 - P_{i p(i)} = 1 / (1 + exp(-x_i)),
// which keep their digits when the batch has converged and both are 1e-8.
enum class Reduction : int { none = 0, sum = 1, mean = 2 };

// What the forward leaves of every row for the backward, each of (2n).
template <class T>
struct NtXentRows {
  T* one_minus_p;  // of the positive
  T* scale;        // 1 / norm, 0 for rows with norm <= 1e-12
  PairSums<T> sums;
};
constexpr int kNtXentRows = 2 + kSumRows;

// Where the forward leaves the gradients (n, dim) for an upstream gradient of 1, from exponentials
// that lie in working memory; null: not asked for, nor with Reduction::none.
template <class T>
struct FusedGradient {
  T* grad1;
  T* grad2;
};

// The loss's gradient: (2n), or with a reduction one number; elements `stride` apart.
template <class T>
struct UpstreamGradient {
  const T* data;
  std::int64_t stride;
};

template <class T>
struct NtXentKernels {
  // loss: (2n), or with a reduction one number, summed in float64.
  void (*forward)(const PairProblem<T>& problem, Reduction reduction, int threads,
                  const NtXentRows<T>& rows, const FusedGradient<T>& fused, T* loss);
  // grad1, grad2: (n, dim).
  void (*backward)(const PairProblem<T>& problem, Reduction reduction, int threads,
                   const NtXentRows<T>& rows, const UpstreamGradient<T>& upstream, T* grad1,
                   T* grad2);
  const char* (*products)(const PairProblem<T>& problem);  // as of PairKernels
};

// Many small NT-Xent problems at once: group g has lengths[g] (nullptr: n) rows per view, starting
// at z + g * group_stride. Per group the outputs hold 2 lengths[g] rows (z1's, then z2's) at the
// start of 2 n; the rest is not written. One group runs on one thread.
template <class T>
struct GroupedViews {
  const T* z1;
  const T* z2;
  std::int64_t row_stride1, row_stride2, group_stride1, group_stride2;
  std::int64_t groups, n, dim;
  const std::int64_t* lengths;
  double beta;
  bool normalize;
};

template <class T>
struct GroupedKernels {
  // loss: (groups, 2n); saved: (8, groups, 2n), the rows of NtXentRows in their order.
  void (*forward)(const GroupedViews<T>& views, int threads, T* loss, T* saved);
  // grad_loss: (groups, 2n); grad1, grad2: (groups, n, dim), contiguous.
  void (*backward)(const GroupedViews<T>& views, int threads, T* saved, const T* grad_loss,
                   T* grad1, T* grad2);
  // Both at once: loss[g] is the sum of group g's row losses, and weight times its gradient is
  // added to grad1 and grad2, which lie as z1 and z2 do.
  void (*fused)(const GroupedViews<T>& views, int threads, double weight, T* loss, T* grad1,
                T* grad2);
};

}  // namespace tsssl
