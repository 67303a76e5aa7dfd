// Few queries against many keys that have a gradient: a block of keys is packed, meets all queries
// and gets its gradient while it lies in L2. What is written is that gradient, and the queries'
// sums of every piece of keys. Packed as a whole, 65,536 bfloat16 keys of 128 lay on 100 MB of
// working memory, and a call with 256 queries took 81 ms on an Intel Xeon with AMX, 25 by blocks.
#pragma once
#include "contrastive/pair_problem.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// How keys are cut for threads: a function of the sizes alone. Every piece has its own sums.
struct KeyPieces {
  std::int64_t keys, size, count;

  // tasks: how many of them a piece is.
  KeyPieces(std::int64_t all, std::int64_t tasks) : keys(all) {
    const std::int64_t wanted = min(ceil_div(keys, 4 * kMaxBlock), ceil_div(32, tasks));
    size = round_up(ceil_div(keys, max(wanted, 1)), kMaxBlock);
    count = ceil_div(keys, size);
  }

  // f(first key, number of keys) for the blocks of a piece; stops where f returns false.
  template <class F>
  bool each_block(std::int64_t piece, const F& f) const {
    const std::int64_t end = min((piece + 1) * size, keys);
    for (std::int64_t j = piece * size; j < end; j += kMaxBlock) {
      if (!f(j, min(kMaxBlock, end - j))) return false;
    }
    return true;
  }
};

// Unit rows with one shift for all exponents, whose queries' sums fit beside each other.
template <class T>
TSSSL_INLINE bool many_keys(const PairProblem<T>& problem) {
  const ManyKeys sizes{problem.q.count1, problem.k.count1, problem.normalize,
                       !problem.symmetric && !problem.skip_diagonal, problem.beta};
  return problem.q.count2 == 0 && problem.k.count2 == 0 && problem.offset == 0 && !problem.alone &&
         !problem.one_set() && sizes.hold<T>();
}

// The problem of all queries and keys [first, first + width); wide: memory for them where they are
// bfloat16.
template <class T>
inline PairProblem<T> with_keys(const PairProblem<T>& all, std::int64_t first, std::int64_t width,
                                T* wide) {
  PairProblem<T> part = all;
  const std::int64_t at = first * all.k.stride1;
  if (all.narrow_k == nullptr) {
    part.k.first += at;
  } else {
    for (std::int64_t r = 0; r < width; ++r) {
      const Bfloat16* const from = all.narrow_k + at + r * all.k.stride1;
      for (std::int64_t c = 0; c < all.dim; ++c) wide[r * all.dim + c] = T(from[c]);
    }
    part.k.first = wide;
    part.k.stride1 = all.dim;
  }
  part.k.count1 = width;
  const auto move = [first](const auto*& array) {
    if (array != nullptr) array += first;
  };
  move(part.k_id);
  move(part.k_group);
  move(part.k_valid);
  move(part.mask);
  move(part.weight);
  return part;
}

// f(i0, i1) for blocks of queries.
template <class Packed, class F>
inline void each_query_block(const Packed& q, const F& f) {
  for (std::int64_t i = 0; i < q.blocks.rows; i += kMaxBlock) {
    f(i, min(i + kMaxBlock, q.blocks.rows));
  }
}

// False where the operands can not hold the rows.
template <class Operands, class T>
bool sum_many_keys(const PairProblem<T>& problem, int threads, T* q_scale, T* k_scale,
                   const PairSums<T>& sums) {
  typedef typename Operands::Packed Packed;
  const Packed q = Operands::forward(problem, queries(problem), q_scale, false, threads);
  if (!Operands::usable(q)) return false;
  const ExponentShift<T> shift(std::fabs(problem.beta));
  const auto block = sums_of<T, true, Caller::pairs, Packed>(sums.statistics != nullptr);
  const KeyPieces pieces(problem.k.count1, 1);
  const std::int64_t all = q.padded * kQuantities;
  Scratch<double> parts(pieces.count * all);
  Scratch<std::uint8_t> usable(pieces.count);
  parallel_for(pieces.count, threads, [&](std::int64_t piece, int) {
    Side<T> rows(q.padded, shift.bound);
    Scratch<T> wide(problem.narrow_k == nullptr ? 0 : kMaxBlock * problem.dim);
    usable[piece] = pieces.each_block(piece, [&](std::int64_t j, std::int64_t width) {
      const PairProblem<T> part = with_keys(problem, j, width, wide.get());
      const Packed k = Operands::forward(part, keys(part), k_scale + j, false, 1);
      if (!Operands::usable(k)) return false;
      const PairRules<T> rules(part);
      Side<T> columns(k.padded, shift.bound);
      each_query_block(q, [&](std::int64_t i0, std::int64_t i1) {
        block(q, k, rules, {i0, i1, 0, width, false}, T(problem.beta), shift.power, rows, columns,
              nullptr);
      });
      return true;
    });
    __builtin_memcpy(parts.get() + piece * all, rows.sums.get(), all * sizeof(double));
  });
  Side<T> rows(q.padded, shift.bound);
  for (std::int64_t piece = 0; piece < pieces.count; ++piece) {
    if (usable[piece] == 0) return false;
    for (std::int64_t x = 0; x < all; ++x) {
      const double value = parts[piece * all + x];
      double& sum = rows.sums[x];
      if (is_maximum(static_cast<int>(x / q.padded))) {
        sum = value > sum ? value : sum;
      } else {
        sum += value;
      }
    }
  }
  finish_side(rows, q.blocks.rows, 0, shift.factor(), sums);
  return true;
}

// dL/dbeta into `slope`.
template <class Operands, class T>
bool many_keys_gradient(const PairProblem<T>& problem, int threads, const T* q_scale,
                        const T* k_scale, const PairSums<T>& sums, const LogitGradient<T>& logit,
                        T* grad_q, const KeyGradient<T>& grad_k, double& slope) {
  typedef typename Operands::Packed Packed;
  typedef typename Operands::Gradient Tile;
  const Packed q = Operands::backward(problem, queries(problem), q_scale, threads);
  if (!Operands::usable(q)) return false;
  const ExponentShift<T> shift(std::fabs(problem.beta));
  const std::int64_t dim = problem.dim;
  const double unit = tile_unit_scale(q, q.blocks.rows, logit);
  const LogitGradientSide<T> rows(q.padded, 0, q.blocks.rows, true, shift.power, sums, logit, unit);
  const LogitGradientSide<T> columns(kMaxBlock, 0, 0, false, shift.power, sums, logit, unit);
  const KeyPieces pieces(problem.k.count1, 1);
  const std::int64_t all = q.padded * q.stride;
  Scratch<T> query(pieces.count * all);
  Scratch<std::uint8_t> usable(pieces.count);
  const bool narrow = problem.narrow_k != nullptr;
  parallel_for(pieces.count, threads, [&](std::int64_t piece, int) {
    T* const own = query.get() + piece * all;
    for (std::int64_t x = 0; x < all; ++x) own[x] = T(0);
    Scratch<T> memory(Tile::size(q)), key(kMaxBlock * q.stride);
    Scratch<T> wide(narrow ? kMaxBlock * dim : 0),
        out(grad_k.narrow != nullptr ? kMaxBlock * dim : 0);
    usable[piece] = pieces.each_block(piece, [&](std::int64_t j, std::int64_t width) {
      const PairProblem<T> part = with_keys(problem, j, width, wide.get());
      const Packed k = Operands::backward(part, keys(part), k_scale + j, 1);
      if (!Operands::usable(k)) return false;
      const PairRules<T> rules(part);
      const bool wanted = grad_k.any();
      for (std::int64_t x = 0; wanted && x < k.padded * k.stride; ++x) key[x] = T(0);
      each_query_block(q, [&](std::int64_t i0, std::int64_t i1) {
        const Window window{i0, i1, 0, width, false};
        const Tile tile(memory.get(), q, k, window, wanted);
        gradient_tile<T, true, false, true>(q, k, rules, window, T(problem.beta), shift.power, rows,
                                            columns, static_cast<const T*>(nullptr), tile);
        tile.times_keys(own + i0 * q.stride);
        if (wanted) tile.times_queries(key.get());
      });
      if (!wanted) return true;
      T* const to = grad_k.narrow != nullptr ? out.get() : grad_k.wide + j * dim;
      finish_rows<Tile>(k, static_cast<const T*>(nullptr), key.get(), true, problem.beta, unit, 1,
                        to, static_cast<T*>(nullptr), width);
      if (grad_k.narrow != nullptr) {
        for (std::int64_t x = 0; x < width * dim; ++x) grad_k.narrow[j * dim + x] = Bfloat16(to[x]);
      }
      return true;
    });
  });
  for (std::int64_t piece = 0; piece < pieces.count; ++piece) {
    if (usable[piece] == 0) return false;
    for (std::int64_t x = 0; piece > 0 && x < all; ++x) query[x] += query[piece * all + x];
  }
  slope = finish_rows<Tile>(q, query.get(), static_cast<T*>(nullptr), true, problem.beta, unit,
                            threads, grad_q, static_cast<T*>(nullptr), q.blocks.rows);
  return true;
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
