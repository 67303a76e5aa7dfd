// One side of a similarity product: rows normalised (or not), kept row-major and packed in panels;
// and how rows are cut into blocks.
#pragma once
#include <cmath>

#include "gemm/tiles.h"
#include "runtime/parallel.h"
#include "runtime/scratch.h"
#include "tsssl/contrastive.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Rows, whole panels: a gradient tile of 256 x 272 floats is 272 KiB of L2.
constexpr int kMaxBlock = TSSSL_VECTOR_BYTES == 64 ? 256 : 240;
constexpr double kTinyNorm = 1e-12;

template <class T>
TSSSL_INLINE std::int64_t count_rows(const RowPieces<T>& rows) {
  return rows.count1 + rows.count2;
}

template <class T>
TSSSL_INLINE const T* row_at(const RowPieces<T>& rows, std::int64_t i) {
  return i < rows.count1 ? rows.first + i * rows.stride1
                         : rows.second + (i - rows.count1) * rows.stride2;
}

// Columns whose products are summed in one go. At 512 x 1024 a single chain of additions gave 2.6
// times the error of torch's product.
constexpr std::int64_t kChain = 256;

template <class T>
__attribute__((noinline)) void deep_similarity(std::int64_t depth, const T* a, const T* b,
                                               Vec<Sum<T>> (&acc)[Shape::kRows][Shape::kVectors]) {
  constexpr int kPanel = Panel<T>::kRows;
  for (std::int64_t k = 0; k < depth; k += kChain) {
    Vec<Sum<T>> part[Shape::kRows][Shape::kVectors];
    similarity(min(kChain, depth - k), a + k * kPanel, b + k * kPanel, part);
    for (int r = 0; r < Shape::kRows; ++r) {
      for (int v = 0; v < Shape::kVectors; ++v) {
        acc[r][v] = k == 0 ? part[r][v] : acc[r][v] + part[r][v];
      }
    }
  }
}

// A similarity tile of any depth.
template <class T>
TSSSL_INLINE void tile_similarity(std::int64_t depth, const T* a, const T* b,
                                  Vec<Sum<T>> (&acc)[Shape::kRows][Shape::kVectors]) {
  if (depth <= kChain) {
    similarity(depth, a, b, acc);
    return;
  }
  Vec<Sum<T>> deep[Shape::kRows][Shape::kVectors];  // acc itself stays in registers
  deep_similarity(depth, a, b, deep);
  __builtin_memcpy(&acc, &deep, sizeof acc);
}

// How rows are cut: a function of their number alone, never of the thread count, so that every sum
// has one order. Few rows: small blocks, so that two or four threads find equal work; or the
// largest, where one thread works alone.
template <class T>
struct RowBlocks {
  std::int64_t rows, size, count;

  explicit RowBlocks(std::int64_t m, bool alone = false) : rows(m) {
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    const std::int64_t target = alone || m <= 3 * kPanel ? 1 : (m <= 8 * kMaxBlock ? 8 : 32);
    size = max(kPanel, min(round_up(ceil_div(m, target), kPanel), kMaxBlock / kPanel * kPanel));
    count = ceil_div(m, size);
  }
  std::int64_t begin(std::int64_t block) const { return block * size; }
  std::int64_t end(std::int64_t block) const { return min((block + 1) * size, rows); }
  // The last block owns the padding.
  std::int64_t padded_end(std::int64_t block) const {
    return block + 1 == count ? round_up(rows, Panel<T>::kRows) : (block + 1) * size;
  }
};

// In float64, so that no finite float32 row over- or underflows.
template <class T>
inline double sum_of_squares(const T* x, std::int64_t count) {
  constexpr int kLanes = Simd<double>::kLanes, kParts = 4;  // sums that do not wait for each other
  typedef T Lanes __attribute__((vector_size(kLanes * sizeof(T))));
  Vec<double> parts[kParts] = {};
  std::int64_t k = 0;
  for (; k + kParts * kLanes <= count; k += kParts * kLanes) {
    for (int i = 0; i < kParts; ++i) {
      Lanes lanes;
      __builtin_memcpy(&lanes, x + k + i * kLanes, sizeof lanes);
      const Vec<double> wide = __builtin_convertvector(lanes, Vec<double>);
      parts[i] += wide * wide;
    }
  }
  double rest = 0;
  for (; k < count; ++k) rest += double(x[k]) * double(x[k]);
  return sum<double>((parts[0] + parts[1]) + (parts[2] + parts[3])) + rest;
}

// Over whole vectors: both operands are padded with zeros.
template <class T>
inline T dot(const T* a, const T* b, std::int64_t padded) {
  Vec<T> total{};
  for (std::int64_t k = 0; k < padded; k += Simd<T>::kLanes) total += load(a + k) * load(b + k);
  return sum<T>(total);
}

// Rows up to which every block's gradient is formed by itself, from exponentials that were kept,
// and every thread works on its own share of the rows. Two threads at 128 x 128 (forward with
// gradient, when it was chosen): 250 microseconds, 430 when blocks meet in pairs and are handed to
// whoever is free, 400 on one thread; beyond, writing each pair's tile twice costs more.
constexpr std::int64_t kOwnedRows = 512;

// f(index, thread) over parts of so many rows.
template <class F>
inline void for_rows(std::int64_t rows, std::int64_t count, int threads, const F& f) {
  if (rows <= kOwnedRows) {
    parallel_shares(count, threads, f);
  } else {
    parallel_for(count, threads, f);
  }
}

// A pass over few elements does not pay for waking a second thread: 1 to 4 microseconds where it
// still spins, 20 where it sleeps.
TSSSL_INLINE int threads_for(std::int64_t elements, int threads) {
  return elements < (1 << 13) ? 1 : threads;
}

// Which side of the products: one set against itself is both.
enum class Role { both, queries, keys };

// What one side of a product is made from.
template <class T>
struct RowsInput {
  RowPieces<T> rows;
  std::int64_t dim;
  bool normalize;
  const std::uint8_t* valid = nullptr;
  Role role = Role::both;
  bool packed = true;  // it takes part in a similarity product
  bool alone = false;  // one thread works on the whole problem
};

template <class T>
inline RowsInput<T> queries(const PairProblem<T>& problem) {
  const Role role = problem.one_set() ? Role::both : Role::queries;
  return {problem.q, problem.dim, problem.normalize, problem.q_valid, role, true, problem.alone};
}

template <class T>
inline RowsInput<T> keys(const PairProblem<T>& problem) {
  return {problem.k,  problem.dim, problem.normalize, problem.k_valid,
          Role::keys, true,        problem.alone};
}

template <class T>
class PackedRows {
 public:
  // Writes one factor a row to `scale`: 1 / norm where the input is normalised (0 for a norm of at
  // most kTinyNorm), else 1.
  static PackedRows forward(const RowsInput<T>& input, T* scale, int threads) {
    return PackedRows(input, scale, scale, threads);
  }
  // scale: the factors of the forward.
  static PackedRows backward(const RowsInput<T>& input, const T* scale, int threads) {
    return PackedRows(input, nullptr, scale, threads);
  }

  // Whether a block on the diagonal of one set is written by its upper half.
  static constexpr bool kHalfDiagonal = false;

  T* row(std::int64_t i) const { return rows_.get() + i * stride; }
  T* panel(std::int64_t p) const { return panels_.get() + p * Panel<T>::kRows * depth; }
  // First of Shape::kRows rows as a left operand; i is a multiple of Shape::kRows.
  const T* left(std::int64_t i) const { return panel(i / Panel<T>::kRows) + i % Panel<T>::kRows; }
  T scale(std::int64_t i) const { return scale_[i]; }
  std::int64_t packed_depth() const { return depth; }

  const RowBlocks<T> blocks;
  const std::int64_t depth, stride, padded;

 private:
  PackedRows(const RowsInput<T>& input, T* written, const T* scale, int threads)
      : blocks(count_rows(input.rows), input.alone),
        depth(input.dim),
        stride(round_up(depth, Simd<T>::kLanes)),
        padded(round_up(blocks.rows, Panel<T>::kRows)),
        scale_(scale),
        rows_(padded * stride),
        panels_(input.packed ? padded * depth : 0) {
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    const int useful = blocks.count == 1 ? 1 : threads_for(padded * depth, threads);
    for_rows(blocks.rows, padded / kPanel, useful, [&](std::int64_t p, int) {
      const std::int64_t first = p * kPanel, last = min(first + kPanel, blocks.rows);
      for (std::int64_t i = first; i < last; ++i) {
        const T* x = row_at(input.rows, i);
        const bool live = input.valid == nullptr || input.valid[i] != 0;
        // In double: a rounded factor would leave the row one ulp off the unit sphere.
        const double factor = !live ? 0 : input.normalize ? inverse_norm(x) : 1;
        if (written != nullptr) written[i] = T(factor);
        T* u = row(i);
        for (std::int64_t k = 0; k < depth; ++k) u[k] = live ? T(x[k] * factor) : T(0);
        for (std::int64_t k = depth; k < stride; ++k) u[k] = T(0);
      }
      if (input.packed) pack_panel(row(first), stride, last - first, depth, panel(p));
    });
  }

  double inverse_norm(const T* x) const {
    const double norm = std::sqrt(sum_of_squares(x, depth));
    return norm <= kTinyNorm ? 0 : 1 / norm;
  }

  const T* scale_;
  Scratch<T> rows_, panels_;
};

// Every pair of blocks once, each block's meetings in one order whatever the thread count, those of
// different blocks side by side: f(block of rows, block of columns, thread).
//
// One set (both sides the same): the diagonal first, then a round-robin tournament, i <= j.
template <class F>
inline void block_pairs_within(std::int64_t blocks, int threads, const F& f) {
  Scratch<TaskMembers> list(blocks * (blocks + 1) / 2);
  std::int64_t count = 0;
  const auto add = [&](std::int64_t a, std::int64_t b) {
    list[count++] = {static_cast<std::int32_t>(min(a, b)), static_cast<std::int32_t>(max(a, b))};
  };
  for (std::int64_t b = 0; b < blocks; ++b) add(b, b);
  const std::int64_t players = round_up(blocks, 2), last = players - 1;
  for (std::int64_t round = 0; round < last; ++round) {
    for (std::int64_t k = 0; k < players / 2; ++k) {
      const std::int64_t a = k == 0 ? last : (round + k) % last;
      const std::int64_t b = k == 0 ? round : (round - k + last) % last;
      if (a < blocks && b < blocks) add(a, b);
    }
  }
  parallel_exclusive(list.get(), count, blocks, threads,
                     [&](std::int64_t i, int thread) { f(list[i].first, list[i].second, thread); });
}

// Two sets: in round r the shorter side's block b meets block (b + r) of the longer.
template <class F>
inline void block_pairs_across(std::int64_t rows, std::int64_t columns, int threads, const F& f) {
  Scratch<TaskMembers> list(rows * columns);
  std::int64_t count = 0;
  const std::int64_t shorter = min(rows, columns), longer = max(rows, columns);
  for (std::int64_t round = 0; round < longer; ++round) {
    for (std::int64_t b = 0; b < shorter; ++b) {
      const std::int64_t other = (b + round) % longer;
      const std::int64_t i = rows <= columns ? b : other, j = rows <= columns ? other : b;
      list[count++] = {static_cast<std::int32_t>(i), static_cast<std::int32_t>(rows + j)};
    }
  }
  parallel_exclusive(list.get(), count, rows + columns, threads, [&](std::int64_t i, int thread) {
    f(list[i].first, list[i].second - rows, thread);
  });
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
